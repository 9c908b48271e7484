"""Arms: the ways of acting that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import numpy as np

from qgf.errors import UserError
from qgf.method.choosing import find_fallback
from qgf.method.guides import GUIDES, WRAPPERS
from qgf.method.members import OTHERS, check_way, way
from qgf.method.policy import Policy
from qgf.method.shaping import check_metric
from qgf.method.strength import default_strength

EVEN = 1.0
"""Ties go to the strength nearest this, whatever the default: what a study chose follows from its episodes for good."""


@dataclass(frozen=True)
class Arm:
    """One way of acting with a trained policy."""

    guide: str = "qgf"
    strength: float | None = None
    weight: float | None = None
    best_of: int = 1
    steps: int | None = None
    schedule: str = "constant"
    execute: int | None = None  # actions of each chunk that are played before the next, all of them if not given
    warm: float | None = None  # time at which the next chunk starts from what is left of the last
    members: str | None = None  # how the critic's ensemble is asked for guidance, a number being one of them
    choose: str | None = None  # and for the best of several
    robust: bool = False  # whether the unit of strength is the robust one
    fallback: str | None = None  # when to act without guidance
    cap_step: float | None = None  # of |v|, the most that guidance adds in a step
    cap_dim: float | None = None  # of sigma_a, the most that it pushes a number by
    solver: str | None = None  # how a denoising step is taken
    guide_steps: int | None = None  # how often the guide is asked on the way
    metric: str | None = None  # in which the guide's direction is taken
    guided_dims: str | None = None  # the numbers of an action that are guided, "0 1 2"; all if not given

    @property
    def label(self) -> str:
        strength = default_strength(self.guide) if self.strength is None else self.strength
        amount = f" {strength:g}" if self.weight is None else f" w={self.weight:g}"
        schedule = "" if self.schedule == "constant" else f" {self.schedule}"
        several = f" best-of-{self.best_of}" if self.best_of > 1 else ""
        steps = (f" {self.solver}" if self.solver else "") + (f" T={self.steps}" if self.steps else "")
        steps += f" asked {self.guide_steps}" if self.guide_steps else ""
        asked = f" members {self.members}" if self.members else ""
        asked += (f" choose {self.choose}" if self.choose else "") + (" robust" if self.robust else "")
        asked += f" fallback {self.fallback}" if self.fallback else ""
        asked += (f" metric {self.metric}" if self.metric else "") + (
            f" dims {self.guided_dims}" if self.guided_dims else ""
        )
        asked += "".join(f" cap {x:g} {of}" for x, of in ((self.cap_step, "v"), (self.cap_dim, "sigma")) if x)
        execute = (f" execute {self.execute}" if self.execute else "") + (f" warm {self.warm:g}" if self.warm else "")
        return f"{self.guide}{'' if self.guide == 'none' else schedule + amount}{several}{asked}{steps}{execute}"

    @property
    def preference(self) -> tuple[float, int]:
        """What decides among equals, the least first: how far the strength is from EVEN, in factors; samples."""
        factor = 1.0 if self.strength is None else self.strength / EVEN
        return abs(float(np.log(factor))) if factor > 0 else float("inf"), self.best_of

    def of(self, policy: Policy) -> Policy:
        """The policy acting this way."""
        more = ("members", "choose", "robust", "fallback", "cap_step", "cap_dim", "solver", "guide_steps", "metric")
        how: dict[str, Any] = {name: getattr(self, name) for name in more}
        how["guided_dims"] = None if self.guided_dims is None else [int(k) for k in self.guided_dims.split()]
        return policy.guided(self.guide, self.strength, self.weight, self.best_of, self.steps, self.schedule, **how)

    def asking(
        self,
        members: str | None = None,
        choose: str | None = None,
        robust: bool = False,
        fallback: str | None = None,
        cap_step: float | None = None,
        cap_dim: float | None = None,
        guide_steps: int | None = None,
        metric: str | None = None,
        guided_dims: Iterable[int] = (),
    ) -> Arm:
        """The arm that asks its critic so, so often, and is held back so, where that makes a difference: what does not
        count is left out, so that one way of acting is one arm. Raises UserError for ways and fallbacks that are none.
        """
        members, choose = (None if way(told) is None else told for told in (members, choose))
        choose = choose if self.best_of > 1 else None
        members = members if self.guide != "none" or choose == OTHERS else None
        check_way(way(members))
        check_way(way(choose), way(members))
        robust = robust and self.guide != "none" and self.weight is None
        held: dict[str, Any] = dict(fallback=fallback, cap_step=cap_step, cap_dim=cap_dim, guide_steps=guide_steps)
        check_metric(metric)
        held |= dict(metric=metric, guided_dims=" ".join(map(str, sorted(set(guided_dims)))) or None)
        held = held if self.guide != "none" else {}
        if fallback and getattr(find_fallback(fallback), "asks", False) and held:
            check_way(OTHERS, way(members))
        return replace(self, members=members, choose=choose, robust=robust, **held)


def arms(
    guides: Iterable[str],
    strengths: Iterable[float] | None = None,
    weights: Iterable[float] | None = None,
    best_of: Iterable[int] = (1,),
    steps: int | None = None,
    schedules: Iterable[str] = ("constant",),
    execute: Iterable[int | None] = (None,),
    members: Iterable[str | None] = (None,),
    choose: Iterable[str | None] = (None,),
    robust: bool = False,
    fallback: Iterable[str | None] = (None,),
    cap_step: float | None = None,
    cap_dim: float | None = None,
    warm: float | None = None,
    solver: str | None = None,
    guide_steps: Iterable[int | None] = (None,),
    metric: Iterable[str | None] = (None,),
    guided_dims: Iterable[int] = (),
) -> list[Arm]:
    """All combinations; "none" has no strength. Raises UserError if strengths and weights are both given, or for ways
    to ask an ensemble that are none.
    """
    if strengths and weights:
        raise UserError("give strengths or weights, not both")
    given: list[dict[str, Any]] = [dict(weight=w) for w in weights or ()] or [dict(strength=s) for s in strengths or ()]

    def amounts(guide: str) -> list[dict[str, Any]]:
        pushes = given or [dict(strength=default_strength(guide))]
        return [{}] if guide == "none" else [push | dict(schedule=s) for s in schedules for push in pushes]

    made = [
        Arm(guide, best_of=n, steps=steps, execute=k, warm=warm, solver=solver, **how).asking(
            m, c, robust, f, cap_step, cap_dim, asked, x, guided_dims
        )
        for n in best_of
        for guide in guides
        for k, m, c, f, asked, x in product(
            execute, members, choose, map(_named, fallback), guide_steps, map(_named, metric)
        )
        for how in amounts(guide)
    ]
    return list(dict.fromkeys(made))


def _named(told: str | None) -> str | None:
    return None if told == "none" else told


def possible(policy: Policy, guides: Iterable[str], observations=None) -> dict[str, str]:
    """Which guides this policy can run: name -> "" or what it lacks. A policy that was not trained here, and does not
    know what it observes, is asked with `observations` [B, S].
    """
    lacks = {}
    for guide in guides:
        try:
            check(policy.guided(guide, weight=0.0), observations)
            lacks[guide] = ""
        except UserError as error:
            lacks[guide] = str(error)
    return lacks


def runnable(policy: Policy, observations, guides: Iterable[str] = ()) -> list[str]:
    """The guides named, or without names all that the policy can run; controls and "none" only if they are named.

    Raises UserError for a name that is unknown or asks for a network that the policy does not have.
    """
    named = list(guides)
    lacks = possible(policy, named or [g for g in GUIDES if g != "none" and g not in WRAPPERS], observations)
    if named and (lack := next(filter(None, lacks.values()), "")):
        raise UserError(lack)
    return [guide for guide, lack in lacks.items() if not lack]


def check(policy: Policy, observations=None) -> None:
    """Trace the policy without running it, so that what it lacks is known before anything is played: UserError."""
    if observations is None:
        assert policy.obs_spec is not None, "trained policies know their observation"
        observations = policy.obs_spec.batch(1)
    jax.eval_shape(policy.act, observations, jax.random.key(0))
