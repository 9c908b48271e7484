"""The endless order in which the chunks of a dataset pass through a window that does not hold all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Order:
    """Episodes in random order, one permutation after another, and in each episode its chunks in their own.

    Of several hosts each has the same share of the episodes at all times, every n-th. A function of seed and host
    alone: where it is does not depend on how it got there.
    """

    lengths: np.ndarray  # [E] transitions
    first: np.ndarray  # [E] first rows
    steps: int  # of a chunk, and the state after it
    seed: int = 0
    host: int = 0
    hosts: int = 1

    @cached_property
    def episodes(self) -> np.ndarray:
        """The host's own, that are long enough."""
        return np.flatnonzero(self.lengths >= self.steps)[self.host :: self.hosts]

    @cached_property
    def chunks(self) -> np.ndarray:
        """How many start in each of `episodes`."""
        return self.lengths[self.episodes] - self.steps + 1

    @cached_property
    def total(self) -> int:
        return int(self.chunks.sum())

    def most_pieces(self, chunks: int) -> int:
        """Of how many episodes so many chunks in a row can be, from a multiple of so many on."""
        if len(np.unique(self.chunks)) == 1 and chunks % self.chunks[0] == 0:
            return chunks // int(self.chunks[0])
        return int(np.searchsorted(np.cumsum(np.sort(np.repeat(self.chunks, 2))), chunks, "right")) + 2

    def rows(self, chunks: int) -> int:
        """How many rows so many chunks in a row can need, from a multiple of so many on."""
        return chunks + self.steps * self.most_pieces(chunks)

    def pieces(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """First rows and numbers of rows [P] of the pieces of episodes in which the chunks `begin` to `end` of the
        order, and the states after them, are.
        """
        parts, at = [], begin
        while at < end:
            epoch, inside = divmod(at, self.total)
            until = min(self.total, inside + end - at)
            parts.append(self._within(epoch, inside, until))
            at += until - inside
        first, rows = (np.concatenate(x) for x in zip(*parts, strict=True))
        return first, rows

    def _within(self, epoch: int, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        order, after = self._permutation(epoch)
        k, last = np.searchsorted(after, (begin, end - 1), "right")
        which = order[k : last + 1]
        before = after[k : last + 1] - self.chunks[which]
        low, high = np.maximum(begin, before), np.minimum(end, after[k : last + 1])
        return self.first[self.episodes[which]] + low - before, high - low + self.steps

    def _permutation(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of an epoch, and how many chunks there are up to each of its episodes."""
        kept = self._kept.get("last")
        if kept is None or kept[0] != epoch:
            order = np.random.default_rng([self.seed, epoch, self.host]).permutation(len(self.episodes))
            kept = self._kept["last"] = (epoch, order, np.cumsum(self.chunks[order]))
        return kept[1:]

    @cached_property
    def _kept(self) -> dict:
        return {}

    def some(self, chunks: int) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of one chunk each, drawn from all evenly, [n] each: the same ones whatever the seed."""
        which = np.sort(np.random.default_rng(0).integers(self.total, size=chunks))
        after = np.cumsum(self.chunks)
        k = np.searchsorted(after, which, "right")
        first = self.first[self.episodes[k]] + which - (after - self.chunks)[k]
        return first, np.full(chunks, self.steps + 1)
