"""By what arms are compared: success where an environment says what that is, else return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from qgf.statistics import bootstrap, mcnemar, paired_permutation, wilson

Measure: TypeAlias = Literal["success", "return"]

UNKNOWN = "–"
"""What stands where nothing says whether a task was solved; never 0 %."""


def kind(measure: Measure) -> Literal["rate", "number"]:
    """What its mean is, for `statistics.joint_bootstrap`."""
    return "rate" if measure == "success" else "number"


def interval(scores: np.ndarray, measure: Measure) -> tuple[float, float]:
    """The 95 % interval of the mean of scores [episodes]: Wilson's of a rate, the bootstrap's of returns."""
    if measure == "success":
        return wilson(int(scores.sum()), len(scores))
    return bootstrap(scores)


def paired(a: np.ndarray, b: np.ndarray, measure: Measure) -> float:
    """p of no difference on the same episodes: McNemar's test of successes, a permutation test of returns."""
    return mcnemar(a, b) if measure == "success" else paired_permutation(a, b)


TESTS: dict[Measure, str] = dict(success="McNemar", **{"return": "permutation"})  # type: ignore[assignment]
"""What the test is called."""


def number(x: float, measure: Measure) -> str:
    """A mean for people: "62 %", "-153.2"."""
    if not np.isfinite(x):
        return UNKNOWN
    return f"{100 * x:.0f} %" if measure == "success" else f"{x:.1f}"


def span(ends: Sequence[float], measure: Measure) -> str:
    """An interval likewise: "50 to 73 %", "-170.1 to -140.2"."""
    low, high = ends
    if not np.isfinite([low, high]).all():
        return UNKNOWN
    return f"{100 * low:.0f} to {100 * high:.0f} %" if measure == "success" else f"{low:.1f} to {high:.1f}"


def amount(x: float | None) -> str:
    """What was measured of actions, nothing where it was not."""
    return "" if x is None or not np.isfinite(x) else f"{x:.3g}"


def share(x: float | None) -> str:
    """A share of decisions likewise."""
    return "" if x is None or not np.isfinite(x) else f"{100 * x:.0f} %"


def solved(wins: int | None) -> str:
    """What a bar says beside its episodes; nothing as long as it is not known what success is."""
    return "" if wins is None else f"{wins} solved"


def normalised(x: float, references: tuple[float, float]) -> float:
    """A return on the scale on which the two references are 0 and 100 (D4RL's)."""
    low, high = references
    return 100 * (x - low) / (high - low)
