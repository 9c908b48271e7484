"""A dataset on the disk of which parts are read: record shards, as `qgf.data.converting` writes them.

A folder:

  meta.json        what a row is, how many rows every shard has, and all that was measured of them (`Meta`)
  episodes.npy     [E, 2] int64: every episode's last row, and the steps after which its task first ends, or 0
  rows-00000.npy   whole episodes, a record a row: a plain .npy of a structured type, which NumPy can map
  held-out/        the same of what is held out
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qgf.data.actions import Range, how_scaled, same, scaled
from qgf.data.dataset import Dataset
from qgf.data.labels import Rewarded
from qgf.data.layout import Hazard
from qgf.data.scaling import Moments, settled
from qgf.data.shards import EPISODES, FORMAT, HELD_OUT, META, Files, Meta, load_array
from qgf.errors import UserError
from qgf.files import check, read_json

IMAGES = "images/"
BLOCK = 2**14
"""Rows that are read together."""
SAMPLE = 64 * 10**6
"""Bytes of held-out data that are kept in memory; of more, random episodes."""


def reads(path: Path) -> bool:
    """Whether the folder holds record shards."""
    return (path / META).is_file() and (path / EPISODES).is_file()


def read(path: Path, keys: Any = ()) -> dict[str, np.ndarray]:
    """All rows as arrays of the documented format."""
    stored = Stored.of(path)
    stored.chosen(keys)
    whole = stored.whole()
    arrays = dict(observations=whole.observations, actions=whole.actions, terminals=whole.ends)
    arrays |= {name: x for name in ("rewards", "masks", "goals") if (x := getattr(whole, name)) is not None}
    return arrays | {IMAGES + name: x for name, x in whole.images.items()}


@dataclass(frozen=True)
class Stored:
    """What a `Dataset` says of itself, without its rows; these are read when they are asked for (`part`)."""

    name: str
    path: Path
    meta: Meta
    last: np.ndarray  # [E] every episode's last row
    ended: np.ndarray  # [E] steps after which its task first ended, 0 if it did not
    validation: Dataset | None = None
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    labels: Path | None = None
    references: tuple[float, float] | None = None
    action_range: Range | None = None
    rewarded: Rewarded | None = None
    held_out: float | None = None  # what is held out was settled when it was converted

    @staticmethod
    def of(path: Path, name: str | None = None) -> Stored:
        """The data of a folder. Raises UserError if a file of it is missing, or is not what was written."""
        meta = read_json(path / META, Meta, "a folder of record shards")
        if meta.format != FORMAT:
            raise UserError(f"{path}: record shards of format {meta.format}, this version reads {FORMAT}")
        check(path / EPISODES)
        episodes = load_array(path / EPISODES)
        if episodes.ndim != 2 or episodes.shape[1] != 2 or episodes.dtype != np.int64:
            raise UserError(f"{path / EPISODES}: is no table of episodes")
        last, ended = episodes.T
        if len(last) == 0 or last[-1] != meta.rows - 1 or sum(shard.rows for shard in meta.shards) != meta.rows:
            raise UserError(f"{path}: {META} and {EPISODES} are not of the same {meta.rows:,} rows")
        held_out = Stored.of(path / HELD_OUT).sample(SAMPLE) if (path / HELD_OUT / META).exists() else None
        found = Stored(
            name or str(path), path, meta, last.copy(), ended.copy(), held_out,
            tuple(Hazard(text) if hazard else text for text, hazard in meta.notes), tuple(meta.keys), None,
            meta.references, None if meta.range is None else (np.array(meta.range[0]), np.array(meta.range[1])),
        )  # fmt: skip
        _ = found.files
        return found

    def chosen(self, keys: Any, rewards: Any = None) -> None:
        """Raises UserError if the data are to be read as others than they were converted to."""
        if rewards is not None or (keys and tuple(keys) != self.keys):
            raise UserError(f"{self.path}: what its observations and rewards are was settled when it was converted")

    # What it holds

    def _shape(self, name: str) -> tuple[int, ...] | None:
        return next((tuple(shape) for field, _, shape in self.meta.fields if field == name), None)

    @property
    def obs_dim(self) -> int:
        return (self._shape("observations") or (0,))[0]

    @property
    def action_dim(self) -> int:
        return (self._shape("actions") or (0,))[0]

    @property
    def goal_dim(self) -> int:
        return (self._shape("goals") or (0,))[0]

    @property
    def cameras(self) -> tuple[tuple[str, tuple[int, int, int]], ...]:
        shapes = {name.removeprefix(IMAGES): shape for name, _, shape in self.meta.fields if name.startswith(IMAGES)}
        return tuple((name, shapes[name]) for name in sorted(shapes))  # type: ignore[misc]

    @property
    def kind(self) -> np.dtype:
        """The type of observations."""
        return self.meta.record["observations"].base

    @property
    def nbytes(self) -> int:
        """Of all rows."""
        return self.meta.rows * self.meta.record.itemsize

    @property
    def first(self) -> np.ndarray:
        """[E] every episode's first row."""
        return np.concatenate([[0], self.last[:-1] + 1])

    @property
    def lengths(self) -> np.ndarray:
        """[E] transitions of the episodes."""
        return np.diff(self.last, prepend=-1) - 1

    @property
    def transitions(self) -> int:
        return self.meta.rows - len(self.last)

    @property
    def extent(self) -> Range:
        return tuple(np.array(x, np.float32) for x in self.meta.extent)  # type: ignore[return-value]

    @property
    def scaled_by_extent(self) -> bool:
        return self.action_range is not None and same(self.action_range, self.extent)

    @property
    def scaled_extent(self) -> np.ndarray:
        """The least and the most of the actions as networks see them, [2, A]."""
        ends = np.stack(self.extent)
        return ends if self.action_range is None else scaled(ends, self.action_range)

    @property
    def scaling(self) -> str:
        return how_scaled(self.action_range, self.extent)

    @property
    def reward_unit(self) -> float:
        return 1.0 if self.meta.rewards is None else self.meta.rewards.unit

    @property
    def rewards(self) -> np.ndarray | None:
        """The least and the most of them, which is all that a critic is prepared by, [2] float32."""
        found = self.meta.rewards
        return None if found is None else np.array([found.low, found.high], np.float32)

    def scales(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = [x for x in (self.meta.observations, self.meta.goals) if x is not None]
        columns = [Moments(*(np.array(x) for x in (p.mean, p.std, p.low, p.high))) for p in parts]
        typed = [m._replace(low=m.low.astype(self.kind), high=m.high.astype(self.kind)) for m in columns]
        return settled(typed, self.kind)

    def normaliser(self) -> tuple[np.ndarray, np.ndarray]:
        return self.scales()[:2]

    def short(self, horizon: int) -> int:
        """How many episodes are shorter than a chunk, so that nothing starts in them."""
        return int(np.sum(self.lengths < horizon))

    # Its rows

    @cached_property
    def files(self) -> Files:
        return Files(self.path, self.meta)

    def part(self, first: np.ndarray, rows: np.ndarray, capacity: int | None = None) -> Dataset:
        """Pieces of episodes, `rows` [P] from `first` [P] on, laid end to end: the last row of each counts as its final
        state. Up to `capacity` rows they are repeated, as episodes without a step.
        """
        total = int(rows.sum())
        records = np.empty(capacity or total, self.meta.record)
        self.files.ahead(first, rows)
        at = 0
        for start, n in zip(first.tolist(), rows.tolist(), strict=True):
            self.files.into(records[at : at + n], start)
            at += n
        records[total:] = records[np.arange(len(records) - total) % total]
        ends = np.arange(len(records)) >= total
        ends[np.cumsum(rows) - 1] = True
        return self._dataset({name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}, ends)

    def whole(self) -> Dataset:
        """All of it, in memory."""
        arrays = {name: np.empty((self.meta.rows, *shape), kind) for name, kind, shape in self.meta.fields}
        at = 0
        for records in self.blocks():
            for name, x in arrays.items():
                x[at : at + len(records)] = records[name]
            at += len(records)
        ends = np.zeros(self.meta.rows, bool)
        ends[self.last] = True
        return replace(self._dataset(arrays, ends), validation=self.validation)

    def blocks(self) -> Iterator[np.ndarray]:
        """All records, some at a time, in their order."""
        at = 0
        for shard in self.meta.shards:
            for begin in range(0, shard.rows, BLOCK):
                records = np.empty(min(BLOCK, shard.rows - begin), self.meta.record)
                self.files.into(records, at + begin)
                yield records
            at += shard.rows

    def steps(self) -> Iterator[np.ndarray]:
        """The same without the rows that hold a final state."""
        at = 0
        for records in self.blocks():
            k, m = np.searchsorted(self.last, (at, at + len(records)))
            yield np.delete(records, self.last[k:m] - at)
            at += len(records)

    def sample(self, most: int, seed: int = 0) -> Dataset:
        """As many random episodes as there are in `most` bytes, in their order; all of it if it is no larger."""
        if self.nbytes <= most:
            return self.whole()
        rows = most // self.meta.record.itemsize
        chosen = np.random.default_rng(seed).permutation(len(self.last))
        lengths = self.lengths[chosen] + 1
        chosen = np.sort(chosen[: max(1, np.searchsorted(np.cumsum(lengths), rows, "right"))])
        return self.part(self.first[chosen], np.minimum(self.lengths[chosen] + 1, max(rows, 2)))

    def _dataset(self, arrays: dict[str, np.ndarray], ends: np.ndarray) -> Dataset:
        images = {name.removeprefix(IMAGES): x for name, x in arrays.items() if name.startswith(IMAGES)}
        known: dict[str, Any] = {name: x for name, x in arrays.items() if not name.startswith(IMAGES)}
        described = {
            key: getattr(self, key) for key in ("path", "keys", "labels", "references", "action_range", "notes")
        }
        return Dataset(self.name, ends=ends, images=images, **known, **described)


AnyDataset = TypeVar("AnyDataset", Dataset, Stored, Dataset | Stored)
"""In memory or on the disk."""


def held(dataset: Dataset | Stored, most: int = SAMPLE) -> Dataset:
    """A dataset in memory; of one on the disk that is larger than `most` bytes, random episodes."""
    return dataset.sample(most) if isinstance(dataset, Stored) else dataset
