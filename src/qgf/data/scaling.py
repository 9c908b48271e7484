"""How observations and rewards are scaled before networks see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

TINY = 1e-6
"""The least deviation, in any unit, that is more than rounding."""
STILL = 5e-5
"""The least deviation of a sensor that moves, in parts of its mean (a robot's joints, held still, have 1e-4)."""
FINE = 1e-3
"""What deviates by more is no jitter, however large its mean is: a clock, a pressure in Pa."""
BEYOND, LEAST = 2.0, 10.0
"""Observations are clipped at twice what the data reached, and not within ten deviations."""
UNITS = 32
SQUARED = 1e-15, 1e15
"""Between these the squares of rewards, and of what follows from them, are numbers of float32."""
BLOCK = 2**14
"""Rows that are looked at together."""


def still(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Which of the observations with these moments do not move, [S] bool."""
    return (std < TINY) | (std < np.minimum(STILL * np.abs(mean), FINE))


class Moments(NamedTuple):
    """Of columns, [S] each: in float64, and the ends of their ranges as they are."""

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray


Rows = Callable[[], Iterable[np.ndarray]]
"""The same rows [N, S] whenever it is called, some at a time: data that do not fit in memory are passed over twice."""


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of an array, some at a time."""
    return (x[i : i + BLOCK] for i in range(0, len(x), BLOCK))


def moments(rows: Rows) -> Moments:
    """Of the columns of rows [N, S]. Sums go row by row in float64, as NumPy's own, however the rows are divided."""
    n, total, low, high = 0, np.zeros(()), [], []
    for x in rows():
        n, total = n + len(x), _added(total, x.astype(np.float64))
        low.append(x.min(axis=0))
        high.append(x.max(axis=0))
    mean, squares = total / n, np.zeros(())
    for x in rows():
        squares = _added(squares, (x - mean) ** 2)
    return Moments(mean, np.sqrt(squares / n), np.min(low, axis=0), np.max(high, axis=0))


def _added(total: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The sum [S] of float64 rows that are no longer needed and what was summed before."""
    rows[0] += total
    return np.add.reduce(rows, axis=0)


def observed(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation and limits of the columns of all parts [N, *] side by side, [S] each of the parts' type."""
    return settled([moments(partial(blocks, x)) for x in parts], np.result_type(*parts))


def settled(parts: Sequence[Moments], kind: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation and limits of columns with these moments side by side, [S] each of a type.

    What does not move has deviation 1. Limits are how far from 0 normalised observations may go when a policy acts:
    twice as far as the data, at least ten deviations; what does not move in the data no farther than there, for
    networks learned nothing about it.
    """
    mean, std, low, high = (np.concatenate(x) for x in zip(*parts, strict=True))
    rests = still(mean, std)
    mean, std = mean.astype(kind), np.where(rests, 1.0, std).astype(kind)
    reached = np.maximum(np.abs((low - mean) / std), np.abs((high - mean) / std))
    return mean, std, np.where(rests, reached, np.maximum(BEYOND * reached, LEAST)).astype(kind)


def reward_unit(rewards: np.ndarray) -> float:
    """What rewards [N] are divided by before a critic learns from them; k times the rewards have k times the unit.

    Where they are whole multiples, up to 32, of the least step between them (0 among them), that step: 1 for {-1, 0},
    for {0, 1} and for -9, -8 ... 0. Else the largest magnitude; 1 if all are 0.
    """
    values = np.unique(np.append(rewards, 0)).astype(np.float64)
    most = np.abs(values).max()
    if most == 0:
        return 1.0
    if len(values) <= 2 * UNITS + 1:
        step = np.diff(values).min()
        counts = values / step
        if most / step <= UNITS + 0.5 and np.allclose(counts, np.round(counts), atol=1e-3):
            return float(step)
    return float(most)


def squared(unit: float) -> str:
    """What is to be said of rewards of this size, "" if they can be squared."""
    if SQUARED[0] <= unit <= SQUARED[1]:
        return ""
    return f"rewards have a size of {unit:.3g}, which float32 cannot square: multiply them by {1 / unit:.0e}"
