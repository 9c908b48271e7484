"""Means with their intervals, the way that tables of measurements have them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


def mean_interval(x) -> tuple[float, float, float]:
    """Mean of x[B] and its 95 % interval, mean -+ 1.96 standard errors; NaN (no direction to speak of) is left out."""
    x = np.asarray(x, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing left, or a single state: NaN, as it should be
        mean, error = np.nanmean(x), 1.96 * np.nanstd(x, ddof=1) / np.sqrt(np.isfinite(x).sum())
    return float(mean), float(mean - error), float(mean + error)


def named(name: str, x) -> dict[str, Any]:
    """The same as three columns."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(x), strict=True))
