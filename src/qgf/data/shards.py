"""The files of record shards: what they are called, what meta.json says, and how rows are read of them."""

from __future__ import annotations

import os
import sys
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np
from numpy.lib import format as npy

from qgf.errors import UserError
from qgf.files import check, real_size

META, EPISODES, HELD_OUT = "meta.json", "episodes.npy", "held-out"
FORMAT = 1


class Shard(msgspec.Struct, forbid_unknown_fields=True):
    """One file of rows."""

    file: str
    rows: int


class Columns(msgspec.Struct, forbid_unknown_fields=True):
    """`Moments` of observations or goals."""

    mean: list[float]
    std: list[float]
    low: list[float]
    high: list[float]


class Rewards(msgspec.Struct, forbid_unknown_fields=True):
    """Of the steps: their range, their unit (`scaling.reward_unit`), and how often which (`Examination.rewards`)."""

    low: float
    high: float
    unit: float
    values: list[float]
    counts: list[int]


class Meta(msgspec.Struct, forbid_unknown_fields=True):
    """meta.json."""

    format: int
    name: str  # of the data that were converted
    fields: list[tuple[str, str, tuple[int, ...]]]  # of a record: name, type and shape
    rows: int
    shards: list[Shard]
    fingerprint: str
    observations: Columns
    goals: Columns | None
    extent: tuple[list[float], list[float]]  # of the actions of steps
    rewards: Rewards | None
    still: list[str]  # cameras all of whose pictures are the same
    whole: bool  # every action is a whole number
    apart: dict[str, list[tuple[int, int, float]]]  # of "observation", "action" and "reward" (`outliers`)
    range: tuple[list[float], list[float]] | None  # what -1 and 1 mean to the networks
    references: tuple[float, float] | None
    keys: list[str]
    notes: list[tuple[str, bool]]  # and whether it is a hazard
    sources: list[tuple[str, int]]  # the files, and their bytes

    @property
    def record(self) -> np.dtype:
        return np.dtype([(name, kind, shape) for name, kind, shape in self.fields])


class Files:
    """The open shards."""

    def __init__(self, folder: Path, meta: Meta):
        self.paths = [folder / shard.file for shard in meta.shards]
        self.begin = [0, *accumulate(shard.rows for shard in meta.shards)]
        self.size = meta.record.itemsize
        self.heads: list[int] = []
        self.handles: list[int] = []
        self.states: list[int] = []
        written = (folder / META).stat().st_mtime_ns if (folder / META).exists() else sys.maxsize  # after all shards
        for path, shard in zip(self.paths, meta.shards, strict=True):
            self._open(path, shard, meta.record, written)

    def _open(self, path: Path, shard: Shard, record: np.dtype, written: int) -> None:
        real_size(path)
        handle = os.open(path, os.O_RDONLY)
        self.handles.append(handle)
        with open(path, "rb") as file:
            try:
                npy.read_magic(file)
                shape, _, kind = npy.read_array_header_1_0(file)
            except (ValueError, SyntaxError, TypeError, EOFError) as error:
                raise UserError(f"{path}: is no shard of records ({str(error)[:100]})") from None
            self.heads.append(file.tell())
        found = os.fstat(handle)
        wanted = self.heads[-1] + shard.rows * record.itemsize
        if kind != record or shape != (shard.rows,) or found.st_size != wanted:
            raise UserError(
                f"{path}: is not what was written: {found.st_size:,} bytes, {META} says {wanted:,}; restore it or "
                "convert again"
            )
        if found.st_mtime_ns >= written:  # it was touched, or copied: then all of it is looked at
            check(path)
        self.states.append(found.st_mtime_ns)

    def ahead(self, first: np.ndarray, rows: np.ndarray) -> None:
        """Have the disk look for pieces [P], each of which lies in one shard, before they are read one by one: it finds
        many sooner than as many after one another.
        """
        if hasattr(os, "posix_fadvise"):
            for start, n in zip(first.tolist(), rows.tolist(), strict=True):
                k, at = self._place(start)
                os.posix_fadvise(self.handles[k], at, n * self.size, os.POSIX_FADV_WILLNEED)

    def _place(self, row: int) -> tuple[int, int]:
        """The number of the shard, and the byte in it, at which a row begins."""
        k = bisect_right(self.begin, row) - 1
        return k, self.heads[k] + (row - self.begin[k]) * self.size

    def into(self, records: np.ndarray, first: int) -> None:
        """Read the records from row `first` on, which lie in one shard. Raises UserError if that was changed since."""
        (k, at), memory = self._place(first), memoryview(records.view(np.uint8).data)
        try:
            done = 0
            while done < len(memory):
                read = os.preadv(self.handles[k], [memory[done:]], at + done)
                if not read:
                    raise UserError(f"{self.paths[k]}: ended while it was read; restore it or convert again")
                done += read
            state = os.fstat(self.handles[k]).st_mtime_ns
        except OSError as error:
            raise UserError(f"{self.paths[k]}: cannot be read ({error.strerror or error})") from None
        if state != self.states[k]:
            raise UserError(f"{self.paths[k]}: was changed while it was read; restore it or convert again")

    def __del__(self):
        for handle in self.handles:
            os.close(handle)


def load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read, it is truncated or no .npy ({str(error)[:100]})") from None
