"""Which weight? Chosen on tuning episodes by successive halving and reported on others; or chosen from data alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.files import Count, Number, write_json
from qgf.method.guides import GUIDES, find
from qgf.method.schedules import schedule as find_schedule
from qgf.method.strength import default_strength
from qgf.playing.arm import Arm, arms
from qgf.playing.ledger import Player
from qgf.playing.measure import Measure, paired
from qgf.playing.rows import ARM, LATER, MORE, Row

STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SCALES = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""For guides whose weight has no scale (CFGRL)."""
RUNGS = (10, 15, 25)
"""Episodes that each rung adds; after each the better third goes on."""
KEEP = 1 / 3
TUNING_SEED = 1
"""Of the episodes on which arms are chosen. Results are reported on seed 0, whose episodes are others."""


def candidates(
    guides: Iterable[str],
    strengths: Sequence[float] = (),
    weights: Sequence[float] = (),
    best_of: Iterable[int] = (1,),
    schedules: Iterable[str] = ("constant",),
    **asked: Any,
) -> list[Arm]:
    """The grid to choose from, by default the guide's own strengths; `asked` are the ways to ask an ensemble, as
    `arms` has them. Raises UserError if it has two scales, or for an unknown guide, schedule or way.
    """
    guides, schedules = tuple(guides), tuple(schedules)
    for known, names in ((find, guides), (find_schedule, schedules)):
        for name in names:
            known(name)

    def grid(guide: str) -> Sequence[float]:
        own = SCALES if getattr(find(guide), "scale_free", False) else STRENGTHS
        return strengths or (() if weights else own)

    ways = [arms([guide], grid(guide), weights, [n], schedules=schedules, **asked) for n in best_of for guide in guides]
    return list(dict.fromkeys(chain(*ways)))


class Candidate(NamedTuple):
    """An arm of the policy that one way of training makes."""

    train: str
    arm: Arm

    @property
    def preference(self) -> tuple[float, int]:
        return self.arm.preference


T = TypeVar("T", Arm, Candidate)


def halving(
    groups: Mapping[str, Sequence[T]],
    play: Callable[[list[T], int, int], dict[T, np.ndarray]],
    rungs: Sequence[int] = RUNGS,
) -> tuple[dict[str, T], dict[T, np.ndarray]]:
    """Successive halving (Jamieson & Talwalkar 2016) on paired episodes: every arm plays the first rung's, the better
    third of each group, at least two, the next rung's too, and so on. `play(arms, first, episodes)` returns each arm's
    successes, or returns.

    Returns the winner of each group and all that was played. Ties go to the arm whose strength is nearest 1, then to
    the cheaper. An arm without rivals in its group plays nothing. Raises UserError for a rung without episodes.
    """
    if not rungs or min(rungs) < 1:
        raise UserError(f"rungs must be numbers of episodes, at least one of at least 1, got {list(rungs)}")
    played: dict[T, np.ndarray] = {}
    alive, first = {name: list(arms) for name, arms in groups.items()}, 0
    for number, episodes in enumerate(rungs):
        rivals = list(dict.fromkeys(arm for group in alive.values() if len(group) > 1 for arm in group))
        for arm, scores in (play(rivals, first, episodes) if rivals else {}).items():
            played[arm] = np.append(played.get(arm, []), scores)
        first += episodes
        for group in alive.values():
            if len(group) > 1:
                group.sort(key=lambda x: (-played[x].mean(), *x.preference))
            if number < len(rungs) - 1:
                del group[max(2, round(len(group) * KEEP)) :]
    return {name: group[0] for name, group in alive.items()}, played


class Tuned(NamedTuple):
    """What tuning ends with."""

    arm: Arm
    trials: dict[Arm, np.ndarray]  # successes, or returns, on the tuning episodes
    reports: dict[str, tuple[Arm, Row]]  # chosen, none, placebo, default: on the held-out episodes
    p: dict[str, float]  # of `chosen` against each of the others, on the same episodes (`paired`)
    cautions: list[str]
    measure: Measure = "success"


def tune(
    player: Player,
    arms: Sequence[Arm],
    rungs: Sequence[int] = RUNGS,
    episodes: int = 50,
    seed: int = 0,
    tuning_seed: int = TUNING_SEED,
) -> Tuned:
    """Choose among `arms` on the episodes of `tuning_seed`, then report on those of `seed` beside `none`, the placebo
    and the default strength. Raises UserError if the two seeds are equal, or if there is nothing to choose from.
    """
    if seed == tuning_seed:
        raise UserError(f"seed and tuning seed are both {seed}: the weight would be chosen on the episodes reported")
    if not arms:
        raise UserError("nothing to choose from: give at least one guide")

    def play(rivals, first, n):
        return {arm: player.play(arm, "tuning", tuning_seed, first, n).scores for arm in rivals}

    winners, trials = halving(dict(all=arms), play, rungs)
    chosen = winners["all"]
    shown = dict(chosen=chosen, none=Arm("none")) | controls(chosen)
    reports = {name: (arm, player.play(arm, "held-out", seed, 0, episodes)) for name, arm in shown.items()}
    scores, measure = {name: row.scores for name, (_, row) in reports.items()}, reports["chosen"][1].measure
    p = {name: paired(scores["chosen"], x, measure) for name, x in scores.items() if name != "chosen"}
    ratio = reports["chosen"][1].ratio
    return Tuned(chosen, trials, reports, p, cautions(chosen, arms, ratio, scores), measure)


class Trial(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What an arm did, as tuned.json has it."""

    guide: str
    strength: float | None
    weight: float | None
    best_of: Count
    steps: Count | None
    schedule: str
    execute: Count | None = None
    members: str | None = None
    choose: str | None = None
    robust: bool = False
    fallback: str | None = None
    cap_step: float | None = None
    cap_dim: float | None = None
    warm: float | None = None
    solver: str | None = None
    guide_steps: Count | None = None
    metric: str | None = None
    guided_dims: str | None = None
    label: str
    successes: Number | None
    episodes: Count
    returns: list[float] = []  # of every episode, where nothing says whether the task is solved

    @property
    def arm(self) -> Arm:
        return Arm(**{name: getattr(self, name) for name in (*ARM, *MORE)})


class Reported(Trial):
    """The same on the held-out episodes."""

    name: str  # chosen, none, placebo, default
    ratio: float | None
    p: float | None  # against the chosen arm


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """tuned.json: what was chosen and what came of it."""

    arm: Arm
    trials: list[Trial]
    reports: list[Reported]
    cautions: list[str]


def save(tuned: Tuned, path: Path) -> None:
    """What was chosen and what came of it, as JSON, for the report."""

    def named(arm: Arm) -> dict[str, Any]:
        more = {name: x for name in MORE if (x := getattr(arm, name)) != LATER[name]}
        return {name: getattr(arm, name) for name in ARM} | more

    def told(arm: Arm, scores: np.ndarray) -> dict[str, Any]:
        known = dict(successes=int(scores.sum())) if tuned.measure == "success" else dict(successes=None)
        returns = {} if tuned.measure == "success" else dict(returns=[float(x) for x in scores])
        return named(arm) | dict(label=arm.label, episodes=len(scores)) | known | returns

    trials = [Trial(**told(arm, x)) for arm, x in tuned.trials.items()]
    reports = [
        Reported(
            **told(arm, row.scores), name=name, p=tuned.p.get(name),
            ratio=row.ratio if isfinite(row.ratio) else None,
        )
        for name, (arm, row) in tuned.reports.items()
    ]  # fmt: skip
    saved = msgspec.to_builtins(Saved(tuned.arm, trials, reports, tuned.cautions))
    write_json(path, saved | dict(arm=named(tuned.arm)))


def controls(chosen: Arm) -> dict[str, Arm]:
    """What the chosen arm should be held against: a random direction as long as its own, and the untuned default.

    No direction is random where none is given while denoising, nor around a guide that is wrapped already.
    """
    if chosen.guide == "none":
        return {}
    default = replace(chosen, strength=default_strength(chosen.guide), weight=None)
    if getattr(find(chosen.guide), "climbs", 0) or chosen.guide not in GUIDES:
        return dict(default=default)
    return dict(placebo=replace(chosen, guide=f"placebo:{chosen.guide}"), default=default)


def at_edge(chosen: Arm, arms: Iterable[Arm]) -> str:
    """What to say of a strength or weight that is the first or the last of those offered; nothing otherwise."""
    amount = lambda arm: arm.strength if arm.weight is None else arm.weight
    grid = sorted({amount(arm) for arm in arms if arm.guide == chosen.guide and amount(arm) is not None})
    if len(grid) < 2 or amount(chosen) not in (grid[0], grid[-1]):
        return ""
    name = "strength" if chosen.weight is None else "weight"
    return f"the best {name}, {amount(chosen):g}, lies at the edge of the grid: try a wider one"


def cautions(chosen: Arm, arms: Sequence[Arm], ratio: float, scores: dict[str, np.ndarray]) -> list[str]:
    """What should make one doubt the choice, a sentence each."""
    notes = []
    if chosen.guide != "none":
        if ratio < 0.01 and not getattr(find(chosen.guide), "climbs", 0):
            notes.append(f"guidance is negligible: |w g| is {100 * ratio:.2g} % of |v|, too little to explain a gain")
        if ratio > 1:
            notes.append(f"guidance dominates: |w g| is {ratio:.1f} times |v|, the reference policy hardly matters")
        notes += filter(None, [at_edge(chosen, arms)])
    placebo = scores.get("placebo")
    if placebo is not None and placebo.mean() >= scores["chosen"].mean():
        notes.append("a random direction of the same length does as well: it is not the gradient that helps")
    return notes
