"""An .npz file, some whole episodes at a time: never more of it in memory, packed or not."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from qgf.data.dataset import KEYS
from qgf.data.episodes import PART
from qgf.data.layout import Arrays, gaps
from qgf.data.names import SYNONYMS
from qgf.data.npz import DAMAGE, Head, damaged, head, members_of, named, read
from qgf.errors import UserError
from qgf.files import Room, check, real_size

LEAST = 1024
"""Rows of a part."""


class Column(NamedTuple):
    """An array of a file that is being read."""

    file: IO[bytes]
    head: Head

    def take(self, rows: int) -> np.ndarray:
        """The next rows. Raises EOFError if there are no more."""
        shape = (rows, *self.head.shape[1:])
        wanted = math.prod(shape) * self.head.kind.itemsize
        found = self.file.read(wanted)
        if len(found) < wanted:
            raise EOFError("fewer rows than declared")
        return np.frombuffer(found, self.head.kind).reshape(shape)


def stream(path: Path, keys: Sequence[str] = ()) -> Iterator[Arrays]:
    """What `npz.read` gives, in parts that end where episodes do. Raises UserError as that does."""
    room = Room(path, real_size(path)).unheld()
    try:
        with ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(path))
            members = members_of(path, archive, KEYS) | members_of(path, archive, tuple(keys))
            columns = {}
            for key, member in members.items():
                file = opened.enter_context(archive.open(member))
                found = Column(file, head(path, key, member, file))
                room.take(found.head.nbytes, f"{key!r}")
                columns[key if key in keys else SYNONYMS.get(key, key)] = found
            n = columns["terminals"].head.shape[:1] if "terminals" in columns else ()
            rows = {key: column for key, column in columns.items() if n and column.head.shape[:1] == n}
            once = len(columns) == len(members)  # else something is there under two names
            if once and "observations" in rows.keys() | keys and not any(c.head.by_column for c in rows.values()):
                check(path)
                others = {key: x.take(*x.head.shape[:1] or (1,)) for key, x in columns.items() if key not in rows}
                for part in _with_labels(_parts(rows, n[0]), others):
                    yield named(part, part, keys, path) if keys else part
                return
    except DAMAGE as error:
        raise damaged(path, error) from error
    yield read(path, keys)  # which says what is wrong with it, or that is laid out by columns


def _parts(columns: dict[str, Column], rows: int) -> Iterator[Arrays]:
    """Rows that end where an episode does."""
    size = sum(column.head.nbytes for column in columns.values()) // max(rows, 1)
    most, at, held = max(LEAST, PART // max(size, 1)), 0, Arrays()
    while at < rows:
        n = min(most, rows - at)
        more = {key: column.take(n) for key, column in columns.items()}
        held = {key: np.concatenate([held[key], x]) if held else x for key, x in more.items()}
        at += n
        found = np.flatnonzero(ends_of(held)[:-1] if at < rows else [])
        cut = int(found[-1]) + 1 if found.size else 0
        if at == rows:
            yield held
        elif cut:
            yield {key: x[:cut] for key, x in held.items()}
            held = {key: x[cut:].copy() for key, x in held.items()}
    for column in columns.values():
        column.file.read(1)  # at its end what was read is compared with its checksum


def ends_of(arrays: Arrays) -> np.ndarray:
    """The rows of raw arrays that end an episode, [N], as `layout.lay_out` finds them."""
    arrays = {SYNONYMS.get(key, key): x for key, x in arrays.items()}
    ends = np.array(arrays["terminals"], bool)
    if "timeouts" in arrays:
        ends |= np.asarray(arrays["timeouts"], bool)
    after = {key.removeprefix("next_"): x for key, x in arrays.items() if key.startswith("next_")}
    after = {key: x for key, x in after.items() if key in arrays and arrays[key].shape == x.shape}
    if after and len(ends):
        ends |= gaps(arrays, after, ends, [])
    if len(ends):
        ends[-1] = True
    return ends


def _with_labels(parts: Iterator[Arrays], others: Arrays) -> Iterator[Arrays]:
    """Parts with what is no row; of labels of episodes, those of its own."""
    labels, at = others.pop("success", None), 0
    for part in parts:
        mine = {}
        if labels is not None:
            n = int(ends_of(part).sum())
            mine, at = dict(success=labels[at : at + n]), at + n
        yield part | others | mine
    if labels is not None and at != len(labels):
        raise UserError(f"{len(labels)} success labels for {at} episodes")
