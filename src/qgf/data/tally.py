"""What is kept of data that pass by in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from qgf.data.actions import UNIT, Range, equal, same, shown, within
from qgf.data.dataset import Dataset
from qgf.data.doctor import BINS
from qgf.data.layout import Hazard
from qgf.data.scaling import UNITS, reward_unit
from qgf.data.shards import Rewards
from qgf.errors import UserError

NOTES = 6
"""That are kept of what was said of the parts."""


@dataclass
class Distinct:
    """The rewards of steps: how often each, as long as they are few."""

    low: float = np.inf
    high: float = -np.inf
    counts: dict[float, int] | None = field(default_factory=dict)  # None: too many

    def add(self, rewards: np.ndarray) -> None:
        self.low, self.high = min(self.low, float(rewards.min())), max(self.high, float(rewards.max()))
        if self.counts is None:
            return
        for value, n in zip(*(x.tolist() for x in np.unique(rewards, return_counts=True)), strict=True):
            self.counts[value] = self.counts.get(value, 0) + n
        if len(self.counts) > 2 * UNITS + 1:
            self.counts = None

    def told(self, rows: Callable[[], Iterable[np.ndarray]]) -> Rewards:
        """The same as meta.json has it; a histogram where there are many, of all `rows`."""
        unit = max(abs(self.low), abs(self.high))
        if self.counts is not None:
            unit = reward_unit(np.array(list(self.counts), np.float32))
        if self.counts is not None and len(self.counts) <= BINS:
            values = sorted(self.counts)
            return Rewards(self.low, self.high, unit, values, [self.counts[value] for value in values])
        edges = np.histogram_bin_edges(np.array([self.low, self.high], np.float32), BINS)
        counts = np.sum([np.histogram(x, edges)[0] for x in rows()], axis=0)
        return Rewards(self.low, self.high, unit, edges[:-1].tolist(), counts.tolist())


@dataclass
class Tally:
    """What `add` saw."""

    low: np.ndarray | None = None
    high: np.ndarray | None = None
    said: Range | None = None  # what the data say of their own actions
    whole: bool = True  # every action is a whole number
    rewards: Distinct | None = None
    references: tuple[float, float] | None = None
    keys: list[str] = field(default_factory=list)
    pictures: dict[str, tuple[np.ndarray, bool]] = field(default_factory=dict)  # the first, and whether all are it
    heard: dict[str, None] = field(default_factory=dict)

    def add(self, part: Dataset) -> None:
        """Raises UserError for a part that does not go with those before it."""
        low, high = extent = part.extent
        if part.action_range is not None and not same(part.action_range, extent):
            if self.said is not None and not equal(self.said, part.action_range):
                raise UserError(
                    f"{part.name}: the range of actions is {shown(part.action_range)}, before it was {shown(self.said)}"
                )
            self.said = part.action_range
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        actions = part.actions[~part.ends]
        self.whole = self.whole and bool((actions == np.round(actions)).all())
        if part.rewards is not None:
            self.rewards = self.rewards or Distinct()
            self.rewards.add(part.rewards[~part.ends])
        self.references, self.keys = part.references or self.references, list(part.keys)
        for name, x in part.images.items():
            first, still = self.pictures.get(name, (x[0].copy(), True))
            self.pictures[name] = first, still and bool((x == first).all())
        self.heard |= dict.fromkeys(part.notes)

    @property
    def extent(self) -> Range:
        assert self.low is not None and self.high is not None
        return self.low, self.high

    @property
    def range(self) -> Range | None:
        """What -1 and 1 mean to the networks, as `Dataset.from_arrays` has it."""
        return self.said if self.said is not None or within(self.extent, UNIT) else self.extent

    @property
    def still(self) -> list[str]:
        """The cameras all of whose pictures are the same."""
        return [name for name, (_, still) in self.pictures.items() if still]

    @property
    def notes(self) -> list[tuple[str, bool]]:
        """What was said of the parts, and whether it is a hazard; of many, the first."""
        kept = sorted(self.heard, key=lambda note: not isinstance(note, Hazard))[:NOTES]
        more = len(self.heard) - len(kept)
        others = [(f"and {more} more was said of its parts", False)] if more else []
        return [(str(note), isinstance(note, Hazard)) for note in kept] + others
