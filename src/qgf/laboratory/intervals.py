"""Means with their intervals, the way that tables of measurements have them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy


def mean_interval(x, episodes=None) -> tuple[float, float, float]:
    """Mean of x[B] and its 95 % interval; NaN (no direction to speak of) is left out.

    `episodes` [B] says which episode each came from: states of one episode are alike, so the interval is for new
    episodes, mean -+ t(G - 1) se, se^2 = G / (G - 1) sum_g (sum_{i in g} (x_i - mean))^2 / B^2 of G episodes (the
    cluster-robust variance, Liang & Zeger 1986), and NaN for a single one. Without it every state counts for itself,
    mean -+ 1.96 standard errors.
    """
    x = np.asarray(x, float)
    known = np.isfinite(x)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing left, or a single state: NaN, as it should be
        mean = np.nanmean(x)
        if episodes is None:
            half = 1.96 * np.nanstd(x, ddof=1) / np.sqrt(known.sum())
        else:
            names, group = np.unique(np.asarray(episodes)[known], return_inverse=True)
            g, sums = len(names), np.bincount(group, x[known] - mean)
            deviation = np.sqrt(g / (g - 1) * np.sum(sums**2)) if g > 1 else np.nan
            half = scipy.stats.t.ppf(0.975, g - 1) * deviation / known.sum()
    return float(mean), float(mean - half), float(mean + half)


def named(name: str, x, episodes=None) -> dict[str, Any]:
    """The same as three columns."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(x, episodes), strict=True))
