"""Arms: the ways of acting that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from qgf.errors import UserError
from qgf.method.policy import Policy
from qgf.method.strength import DEFAULT_STRENGTH


@dataclass(frozen=True)
class Arm:
    """One way of acting with a trained policy."""

    guide: str = "qgf"
    strength: float | None = None
    weight: float | None = None
    best_of: int = 1
    steps: int | None = None
    schedule: str = "constant"

    @property
    def label(self) -> str:
        strength = DEFAULT_STRENGTH if self.strength is None else self.strength
        amount = f" {strength:g}" if self.weight is None else f" w={self.weight:g}"
        schedule = "" if self.schedule == "constant" else f" {self.schedule}"
        several = f" best-of-{self.best_of}" if self.best_of > 1 else ""
        steps = f" T={self.steps}" if self.steps else ""
        return f"{self.guide}{'' if self.guide == 'none' else schedule + amount}{several}{steps}"

    @property
    def preference(self) -> tuple[float, int]:
        """What decides among equals, the least first: how far the strength is from the default, in factors; samples."""
        factor = 1.0 if self.strength is None else self.strength / DEFAULT_STRENGTH
        return abs(float(np.log(factor))) if factor > 0 else float("inf"), self.best_of

    def of(self, policy: Policy) -> Policy:
        """The policy acting this way."""
        return policy.guided(self.guide, self.strength, self.weight, self.best_of, self.steps, self.schedule)


def arms(
    guides: Iterable[str],
    strengths: Iterable[float] | None = None,
    weights: Iterable[float] | None = None,
    best_of: Iterable[int] = (1,),
    steps: int | None = None,
    schedules: Iterable[str] = ("constant",),
) -> list[Arm]:
    """All combinations; "none" has no strength. Raises UserError if strengths and weights are both given."""
    if strengths and weights:
        raise UserError("give strengths or weights, not both")
    amounts: list[dict[str, Any]] = (
        [dict(weight=w) for w in weights] if weights else [dict(strength=s) for s in strengths or (DEFAULT_STRENGTH,)]
    )
    return [
        Arm(guide, best_of=n, steps=steps, **how)
        for n in best_of
        for guide in guides
        for how in ([{}] if guide == "none" else [amount | dict(schedule=s) for s in schedules for amount in amounts])
    ]


def possible(policy: Policy, guides: Iterable[str]) -> dict[str, str]:
    """Which guides this policy can run: name -> "" or what it lacks."""
    lacks = {}
    for guide in guides:
        try:
            _shapes(policy.guided(guide))
            lacks[guide] = ""
        except UserError as error:
            lacks[guide] = str(error)
    return lacks


def _shapes(policy: Policy) -> None:
    """Trace the policy without running it, so that what it lacks is known before anything is played."""
    obs = jax.ShapeDtypeStruct((1, *policy.velocity.mean.shape), np.float32)  # type: ignore[attr-defined]
    jax.eval_shape(policy.act, obs, jax.random.key(0))
