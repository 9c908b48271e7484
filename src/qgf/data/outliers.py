"""Numbers far from all others: one of them decides how a whole column is scaled."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from qgf.data.scaling import blocks, moments

ALONE = 10.0
"""Times as far from the median as all the others."""
FEW = 20
"""At most one row in so many."""
FAR = 4.0
"""Deviations from the mean, within which nothing is looked for."""
LOOK = 50_000
"""Rows that say what is usual."""


class Outlier(NamedTuple):
    """What stands apart in a column."""

    column: int
    rows: int
    value: float  # the farthest


def outliers(x: np.ndarray) -> list[Outlier]:
    """The columns of x[N, D] in which a few rows lie `ALONE` times as far from the median as all the others do, or more
    than a few are one and the same number, `ALONE` times as large as all the others (-9999 for what was not measured).

    Where most rows are the same (a contact, a sparse reward) nothing is usual, and nothing stands apart.
    """
    known = moments(partial(blocks, x))
    reach = np.maximum(known.high - known.mean, known.mean - known.low)
    found = [_apart(x[:, i], int(i)) for i in np.flatnonzero(reach > FAR * known.std)]
    some = x[:: max(len(x) // LOOK, 1)]
    for ends in (known.low, known.high):
        often = (some == ends).mean(axis=0) > 1 / FEW
        found += [_coded(x[:, i], int(i), float(ends[i])) for i in np.flatnonzero(often)]
    return [one for one in found if one is not None]


def _coded(x: np.ndarray, column: int, value: float) -> Outlier | None:
    """What stands for something else than a number: one value of x[N], larger than any other by far."""
    others = x[x != value]
    apart = others.size and others.min() < others.max() and abs(value) > ALONE * np.abs(others).max()
    return Outlier(column, len(x) - len(others), value) if apart else None


def _apart(x: np.ndarray, column: int) -> Outlier | None:
    x = x.astype(np.float64)
    ends = [x.argmin(), x.argmax()]
    some = np.append(x[:: max(len(x) // LOOK, 1)], x[ends])  # of many rows not all, but the farthest
    middle = np.median(some)
    off = np.abs(some - middle)
    few = max(len(off) // FEW, 1)
    tail = np.sort(np.partition(off, len(off) - few - 1)[len(off) - few - 1 :])
    jumps = np.flatnonzero(tail[1:] > ALONE * tail[:-1])
    if not jumps.size or not np.median(off):
        return None
    rows = int((np.abs(x - middle) > tail[jumps[0]]).sum())
    return Outlier(column, rows, float(max(x[ends], key=lambda value: abs(value - middle))))
