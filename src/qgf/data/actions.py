"""The range of actions: what -1 and 1, between which networks act, mean to an environment. Nothing here needs JAX."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from qgf.data.layout import Arrays
from qgf.errors import UserError

Range: TypeAlias = tuple[np.ndarray, np.ndarray]
"""low and high, [A] each."""

RANGE = ("action_low", "action_high")
"""What the two are called in a file."""
UNIT: Range = (np.array(-1.0), np.array(1.0))
ROUNDING = 1e-5


def extent(actions: np.ndarray) -> Range:
    """The least and the most of every number of actions [N, A]."""
    return actions.min(axis=0), actions.max(axis=0)


def within(inner: Range, outer: Range) -> bool:
    """Whether one range lies in the other, up to rounding."""
    return bool(np.all(inner[0] >= outer[0] - ROUNDING) and np.all(inner[1] <= outer[1] + ROUNDING))


def equal(one: Range, other: Range) -> bool:
    return within(one, other) and within(other, one)


def same(one: Range | None, other: Range | None) -> bool:
    """Whether two datasets' actions are scaled alike; None is not at all."""
    if one is None or other is None:
        return one is other
    return equal(one, other)


def middle(range: Range) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a range and half its width, [A] each: action = middle + half * what the networks say."""
    low, high = (np.asarray(x, np.float64) for x in range)
    return (low + high) / 2, (high - low) / 2


def scaled(actions: np.ndarray, range: Range) -> np.ndarray:
    """Actions [N, A] in [-1, 1], [N, A] float32: what is beyond the range is cut off, what never changes is 0."""
    centre, half = middle(range)
    return np.clip((actions - centre) / np.where(half > 0, half, 1), -1, 1).astype(np.float32)


def declared(arrays: Arrays, dim: int, name: str) -> Range | None:
    """The range that a file gives of its own actions, None if it gives none, or one without ends. UserError if it is
    none.
    """
    if not any(key in arrays for key in RANGE):
        return None
    for key in RANGE:
        if key not in arrays:
            raise UserError(f"{name}: missing key {key!r}: a range of actions has two ends")
    low, high = (np.asarray(arrays[key]) for key in RANGE)
    if not (low.shape == high.shape == (dim,) and low.dtype.kind in "fiu" and high.dtype.kind in "fiu"):
        raise UserError(
            f"{name}: 'action_low' and 'action_high' must be numbers [{dim}], got {low.shape}, {high.shape}"
        )
    if not np.all(low <= high):  # nor NaN
        raise UserError(f"{name}: 'action_low' must not be above 'action_high', got {low} and {high}")
    return (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None


def how_scaled(range: Range | None, seen: Range) -> str:
    """How actions that fill the range `seen` become what networks see, a sentence; "" where they are that."""
    if range is None:
        return ""
    how = "their own range, unless --env tells another" if same(range, seen) else f"the range {shown(range)}"
    return f"actions from {shown(seen)} are scaled to [-1, 1] by {how}"


def outside(seen: Range, given: Range, name: str) -> str:
    """What is to be said of actions that leave the range that their file gives, "" if they do not. Raises UserError for
    numbers that vary where that range is a point, so that nothing would be left of them.
    """
    point = np.flatnonzero((given[0] == given[1]) & (seen[1] - seen[0] > ROUNDING))
    if point.size:
        raise UserError(f"{name}: action {point[0]} varies, and 'action_low' and 'action_high' are the same there")
    if within(seen, given):
        return ""
    return f"actions from {shown(seen)} leave the range from {shown(given)} that the file gives: they are cut off there"


def in_units_of(seen: Range, box: Range, what: str, where: str) -> bool:
    """Whether actions that fill the range `seen` are in the units of an environment that takes `box`, both [A]; False:
    they are in [-1, 1], and stand for parts of it.

    They are its own if they leave [-1, 1], or if the box itself does not. Raises UserError if they can be neither,
    naming `what` has the actions and `where` they should act.
    """
    bounded = np.isfinite(box[0]) & np.isfinite(box[1])
    if not within(seen, UNIT):
        low, high = (np.where(bounded, x, 0.0) for x in box)
        more = np.where(bounded, (high - low) / 4, np.inf)  # a little is what the environment cuts off
        if not within(seen, (low - more, high + more)):
            raise UserError(
                f"{what} has actions from {shown(seen)}, {where} takes {shown(box)}: they are neither its own nor "
                "scaled to [-1, 1]"
            )
        return True
    return not bounded.all() or (within(seen, box) and within(box, UNIT))


def shown(range: Range) -> str:
    """The least and the most of it."""
    return f"{np.min(range[0]):g} to {np.max(range[1]):g}"
