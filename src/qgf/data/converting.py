"""Any data, some episodes at a time, written as record shards (`qgf.data.stored`); never held as a whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.lib import format as npy

from qgf.data.dataset import Dataset
from qgf.data.outliers import LOOK, outliers
from qgf.data.scaling import moments
from qgf.data.shards import EPISODES, FORMAT, HELD_OUT, META, Columns, Meta, Shard
from qgf.data.stored import IMAGES, Stored
from qgf.data.tally import Tally
from qgf.errors import UserError
from qgf.files import locked, seal, write_json
from qgf.files.room import shown
from qgf.files.sums import read_sums

SHARD = 2**30
"""Bytes after which another file of rows is begun."""


@dataclass
class Source:
    """What is converted: its parts, laid out, in their order, and the files that they are from."""

    name: str
    parts: Callable[[], Iterable[Dataset]]
    files: list[Path]
    held_out: Source | None = None


def convert(
    source: Source, target: Path, overwrite: bool = False, progress: Callable[[int, int], None] = lambda a, b: None
) -> Path:
    """Write a folder of record shards. It is there when it is whole: until then it is called TARGET.partial.

    `progress(rows, of)`. Raises UserError if something is there that `overwrite` does not give up, if the disk has
    no room for it, and for what is wrong with a part.
    """
    partial, gone = target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if target.exists() and not partial.exists():
        _check_target(target, overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error
    try:
        with locked(partial):
            try:
                if target.exists():  # it was killed at the end, or writes over what is there
                    _check_target(target, overwrite)
                _replace(source, target, partial, progress)
            finally:
                partial.rename(gone)
    finally:
        shutil.rmtree(gone, ignore_errors=True)
    return target


def _replace(source: Source, target: Path, partial: Path, progress: Callable[[int, int], None]) -> None:
    new = partial / "new"
    shutil.rmtree(new, ignore_errors=True)
    _write(source, new, progress)
    if source.held_out is not None:
        _write(source.held_out, new / HELD_OUT, progress)
    if target.exists():
        target.rename(partial / "old")
    new.rename(target)


def _check_target(target: Path, overwrite: bool) -> None:
    if not overwrite:
        raise UserError(f"{target} is there already; pass --overwrite to write it anew")
    if not (target / META).is_file():
        raise UserError(f"{target} is no folder of record shards; use another name")


def _write(source: Source, folder: Path, progress: Callable[[int, int], None]) -> None:
    _check_room(source, folder)
    try:
        written = _rows(source, folder, progress, None)
    except _Finer:  # a later part needs float64: all of it does
        shutil.rmtree(folder)
        folder.mkdir()
        written = _rows(source, folder, progress, np.dtype(np.float64))
    if not written.rows:
        raise UserError(f"{source.name}: no rows")
    np.save(folder / EPISODES, np.stack([np.concatenate(written.last), np.concatenate(written.ended)], axis=1))
    for name in (EPISODES, *(shard.file for shard in written.shards)):
        seal(folder / name)
    write_json(folder / META, msgspec.to_builtins(_measured(source, folder, written)))


def _check_room(source: Source, folder: Path) -> None:
    """Raises UserError if there is surely too little space: data take at least what their packed files do."""
    folder.mkdir(parents=True, exist_ok=True)
    least, free = sum(path.stat().st_size for path in source.files), shutil.disk_usage(folder).free
    if least > free:
        raise UserError(
            f"{folder.parent}: {shown(free)} of the disk are free, {source.name} has {shown(least)} of files, and more "
            "when it is unpacked; convert to another disk"
        )


class _Finer(Exception):
    """Observations are float64 after some were written as float32."""


@dataclass
class _Written:
    """What is known when all rows are."""

    record: np.dtype | None = None
    rows: int = 0
    shards: list[Shard] = field(default_factory=list)
    last: list[np.ndarray] = field(default_factory=list)
    ended: list[np.ndarray] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def _rows(source: Source, folder: Path, progress: Callable[[int, int], None], kind: np.dtype | None) -> _Written:
    """Write the shards."""
    done, file = _Written(), None
    try:
        for part in source.parts():
            kind = kind or part.observations.dtype
            if part.observations.dtype.itemsize > kind.itemsize:
                raise _Finer
            record = _record(part, kind)
            done.record = done.record or record
            if record != done.record:
                raise UserError(
                    f"{source.name}: {part.name} has {_told(record)}, what was before it {_told(done.record)}"
                )
            for piece in _shards(part, done.record.itemsize):
                if file is None:
                    path = folder / f"rows-{len(done.shards):05d}.npy"
                    file = path.open("wb")
                    done.shards.append(Shard(path.name, 0))
                    _head(file, done.record, 0)
                _records(piece, done.record).tofile(file)
                done.shards[-1].rows += len(piece.ends)
                if done.shards[-1].rows * done.record.itemsize >= SHARD:
                    _close(file, done)
                    file = None
            last, ended = part.episodes
            done.last.append(done.rows + last)
            done.ended.append(ended)
            done.rows += len(part.ends)
            done.tally.add(part)
            progress(done.rows, 0)
        if file is not None:
            _close(file, done)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        if file is not None:
            file.close()
    return done


def _close(file: BinaryIO, done: _Written) -> None:
    file.seek(0)
    assert done.record is not None
    _head(file, done.record, done.shards[-1].rows)
    file.close()


def _head(file: BinaryIO, record: np.dtype, rows: int) -> None:
    """NumPy's, which has the same length whatever the number of rows."""
    npy.write_array_header_1_0(file, dict(descr=npy.dtype_to_descr(record), fortran_order=False, shape=(rows,)))


def _record(part: Dataset, kind: np.dtype) -> np.dtype:
    """The type of a row."""
    fields = [("observations", kind.str, part.observations.shape[1:]), ("actions", "<f4", part.actions.shape[1:])]
    fields += [(name, "<f4", ()) for name in ("rewards", "masks") if getattr(part, name) is not None]
    fields += [] if part.goals is None else [("goals", "<f4", part.goals.shape[1:])]
    return np.dtype(fields + [(IMAGES + name, "|u1", shape) for name, shape in part.cameras])


def _told(record: np.dtype) -> str:
    return ", ".join(f"{name} {list(record[name].shape)}" for name in record.names or ())


def _records(part: Dataset, record: np.dtype) -> np.ndarray:
    """Rows as records."""
    made = np.empty(len(part.ends), record)
    for name in record.names or ():
        made[name] = part.images[name.removeprefix(IMAGES)] if name.startswith(IMAGES) else getattr(part, name)
    return made


def _shards(part: Dataset, size: int) -> Iterator[Dataset]:
    """A part, cut after episodes where it is larger than a shard needs to be."""
    last, begin, most = np.flatnonzero(part.ends), 0, max(1, SHARD // size)
    while begin < len(part.ends):
        k = min(int(np.searchsorted(last, begin + most - 1)), len(last) - 1)
        end = int(last[k]) + 1
        yield part.rows(slice(begin, end))
        begin = end


def _apart(found: Stored) -> dict[str, list[tuple[int, int, float]]]:
    """What lies far from all others, by rows that are spread evenly and the farthest."""
    steps = {} if found.rewards is None else dict(reward="rewards")
    steps |= dict(action="actions") if found.scaled_by_extent else {}
    every = max(found.meta.rows // LOOK, 1)
    rows = _some(found.blocks(), ["observations"], every) | _some(found.steps(), list(steps.values()), every)
    named = dict(observation="observations") | steps
    return {what: [(one.column, one.rows, one.value) for one in outliers(rows[name])] for what, name in named.items()}


def _some(parts: Iterator[np.ndarray], names: list[str], every: int) -> dict[str, np.ndarray]:
    """Every so manieth row of these columns [n, D], and those at the ends of their ranges."""
    kept: dict[str, list[np.ndarray]] = {name: [] for name in names}
    at = 0
    for records in parts if names else ():
        which = np.arange(-at % every, len(records), every)
        for name in names:
            x = records[name].reshape(len(records), -1)
            more = np.union1d(x.argmin(axis=0), x.argmax(axis=0)) if every > 1 and x.size else which[:0]
            kept[name].append(x[np.union1d(which, more).astype(int)])
        at += len(records)
    return {name: np.concatenate(x) for name, x in kept.items()}


def _measured(source: Source, folder: Path, done: _Written) -> Meta:
    """meta.json. The rows are passed over twice more."""
    assert done.record is not None
    tally, sums = done.tally, read_sums(folder)
    told = lambda range: tuple(x.tolist() for x in range)
    empty = Columns([], [], [], [])
    fields = [(n, done.record[n].base.str, done.record[n].shape) for n in done.record.names or ()]
    meta = Meta(
        FORMAT, source.name, fields, done.rows, done.shards, "", empty, None, told(tally.extent), None, tally.still,
        tally.whole, {},
        None if (range := tally.range) is None else told(range), tally.references, tally.keys, tally.notes,
        [(path.name, path.stat().st_size) for path in source.files],
    )  # fmt: skip
    found = Stored(
        source.name, folder, meta, np.concatenate(done.last), np.concatenate(done.ended), action_range=tally.range
    )
    column = lambda name: Columns(*(x.tolist() for x in moments(lambda: (x[name] for x in found.blocks()))))
    meta.observations = column("observations")
    meta.goals = column("goals") if found.goal_dim else None
    if tally.rewards is not None:
        meta.rewards = tally.rewards.told(lambda: (records["rewards"] for records in found.steps()))
    meta.apart = _apart(found)
    digests = [sums[name][0] for name in (EPISODES, *(shard.file for shard in done.shards))]
    meta.fingerprint = hashlib.sha256(repr((fields, digests)).encode()).hexdigest()[:16]
    return meta
