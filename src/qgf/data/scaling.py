"""How observations and rewards are scaled before networks see them."""

from __future__ import annotations

from collections.abc import Sequence

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


def still(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Which of the observations with these moments do not move, [S] bool."""
    return (std < TINY) | (std < np.minimum(STILL * np.abs(mean), FINE))


def observed(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation and limits of the columns of all parts [N, *] side by side, [S] each of the parts' type.

    What does not move has deviation 1. Limits are how far from 0 normalised observations may go when a policy acts:
    twice as far as the data, at least ten deviations; what does not move in the data no farther than there, for
    networks learned nothing about it. Moments are computed in float64.
    """
    mean, std = (np.concatenate([f(x, 0, dtype=np.float64) for x in parts]) for f in (np.mean, np.std))
    kind, rests = np.result_type(*parts), still(mean, std)
    mean, std = mean.astype(kind), np.where(rests, 1.0, std).astype(kind)
    columns = np.split(np.arange(len(mean)), np.cumsum([x.shape[1] for x in parts])[:-1])
    most = [np.abs((x - mean[own]) / std[own]).max(axis=0) for x, own in zip(parts, columns, strict=True)]
    reached = np.concatenate(most)
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
