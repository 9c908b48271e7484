"""Datasets by name or path turned into record shards, some episodes at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from qgf.data import converting
from qgf.data.converting import Source
from qgf.data.dataset import Dataset
from qgf.data.folder import data_dir
from qgf.data.labels import Rewarded, read_labels
from qgf.data.readers import folder as numbered
from qgf.data.readers import is_data, parts
from qgf.data.streams import ends_of
from qgf.environments.datasets import beside_of, caution, laid_out
from qgf.environments.family import Label, family_of, find_family
from qgf.errors import UserError
from qgf.files import at_home


def convert(
    name: str | Path,
    target: str | Path,
    directory: str | Path | None = None,
    keys: Sequence[str] = (),
    labels: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    rewards: Rewarded | None = None,
) -> Path:
    """Write data as a folder of record shards (`qgf.data.stored`) without holding them; the arguments are those of
    `load_dataset`. What is held out goes with them. Rewards, or goals, of an environment's name are computed part by
    part.

    Raises UserError for what `load_dataset` refuses, and for what is there already.
    """
    source = _source(str(name), directory, keys, None if labels is None else Path(labels), rewards)
    return converting.convert(source, at_home(target), overwrite, progress)


def _source(
    name: str, directory: str | Path | None, keys: Sequence[str], labels: Path | None, rewards: Rewarded | None
) -> Source:
    if (is_data(name) or Path(name).exists()) and find_family(name) is None:
        return _of_files(name, Path(name), lambda arrays, path: arrays, keys, labels, rewards)
    family = family_of(name)
    if keys or labels or rewards:
        raise UserError(f"{name} is an environment's name, whose data are whole: leave out keys, labels and rewards")
    place = Path(directory) if directory is not None and is_data(directory) else data_dir(directory) / family.file(name)
    path = place if place.is_dir() or is_data(place) else place.with_name(f"{place.name}.npz")
    if not path.exists():
        raise UserError(f"{path}: no such dataset; {family.source(name)}")
    return _of_files(family.check(name), path, family.labeller(name))


def _of_files(
    name: str,
    path: Path,
    label: Label,
    keys: Sequence[str] = (),
    labels: Path | None = None,
    rewards: Rewarded | None = None,
) -> Source:
    if numbered.reads(path):
        files, held_out = numbered.files(path), numbered.files(path, numbered.HELD_OUT)
    else:
        files, held_out = [path], [beside] if (beside := beside_of(path)).exists() else []
    said = None if labels is None else beside_of(labels)
    made = [
        Source(name, partial(_parts, which, label, keys, said, rewards), [x for file in which for x in _inside(file)])
        for which, said in ((files, labels), (held_out, said))
    ]
    return replace(made[0], held_out=made[1] if held_out else None)


def _inside(path: Path) -> list[Path]:
    return [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]


def _parts(
    files: Sequence[Path], label: Label, keys: Sequence[str], labels: Path | None, rewards: Rewarded | None
) -> Iterator[Dataset]:
    """Whole episodes of files, laid out, some at a time."""
    said, at = None if labels is None else read_labels(labels), 0
    for file in files:
        row = 0
        for arrays in parts(file, keys):
            where = str(file) if row == 0 else f"{file} from row {row:,} on"
            n = int(ends_of(arrays).sum()) if said is not None and "terminals" in arrays else 0
            mine = None if said is None else said[at : at + n]
            made = laid_out(arrays, file, where, label, mine, keys, rewards)
            caution(file, made.notes)
            yield made
            row, at = row + len(np.atleast_1d(arrays["terminals"])), at + n
    if said is not None and at != len(said):
        raise UserError(f"{labels}: {len(said)} success labels for {at} episodes")
