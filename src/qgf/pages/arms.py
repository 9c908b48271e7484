"""What a run's page says of its arms: every episode counted once, every environment by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from qgf.environments.family import find_family
from qgf.method.guides import GUIDES
from qgf.method.strength import default_strength
from qgf.playing.arm import Arm
from qgf.playing.measure import Measure, kind, number, span
from qgf.playing.rows import MEASURED, Row
from qgf.statistics import bootstrap, joint_bootstrap, ragged, wilson


@dataclass(frozen=True)
class Shown:
    """One arm in one environment, over all training seeds of the run."""

    arm: Arm
    successes: int | None  # None where nothing says whether the task is solved
    episodes: int
    returns: float = nan  # means over the episodes
    value: float = nan
    ratio: float = nan
    decision_ms: float = nan
    displacement: float = nan
    nats: float = nan
    jerk: float = nan
    agreement: float = nan
    fallbacks: float = nan
    scores: tuple[float, ...] = ()  # returns of the episodes, where there are no successes
    spread: tuple[float, float] | None = None  # 95 % interval over several training seeds

    @property
    def measure(self) -> Measure:
        return "return" if self.successes is None else "success"

    @property
    def label(self) -> str:
        return self.arm.label

    @property
    def score(self) -> float:
        """The success rate, or the mean return."""
        return float(np.mean(self.scores)) if self.successes is None else self.successes / self.episodes

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval: over training seeds if there are several, else of the episodes (`measure.interval`)."""
        if self.spread:
            return self.spread
        return wilson(self.successes, self.episodes) if self.successes is not None else bootstrap(self.scores)

    @property
    def shown(self) -> str:
        return number(self.score, self.measure)

    @property
    def shown_interval(self) -> str:
        return span(self.interval, self.measure)

    @property
    def usual(self) -> bool:
        """Whether nothing but the guide and its strength differ from the defaults."""
        return replace(self.arm, guide="none", strength=None, weight=None, best_of=1) == Arm("none")


def place(env: str) -> str:
    """The environment that a row counts for: a policy for several goals is shown over all of them."""
    family = find_family(env)
    return family.trained(env) if family and family.goal(env) else env


def newest(rows: Iterable[Row]) -> dict[str, list[Shown]]:
    """The arms of the newest policy by environment, in the order in which these were played first."""
    rows = list(rows)
    updates = max((row.updates for row in rows), default=0)
    played: dict[str, dict[Arm, list[Row]]] = {}
    for row in rows:
        if row.updates == updates:
            where = f"{place(row.env)} ({row.rule})" if row.rule else place(row.env)
            played.setdefault(where, {}).setdefault(row.arm, []).append(row)
    return {env: _ordered(_shown(arm, once(group)) for arm, group in arms.items()) for env, arms in played.items()}


def once(rows: Iterable[Row]) -> list[Row]:
    """Rows of one arm without those that tell of episodes which a longer one tells of, too."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: -row.episodes):
        whose = lambda x: (x.env, x.policy_seed, x.stream, x.seed)
        rivals = [other for other in kept if whose(other) == whose(row)]
        if all(row.first >= x.first + x.episodes or x.first >= row.first + row.episodes for x in rivals):
            kept.append(row)
    return kept


def _shown(arm: Arm, rows: Sequence[Row]) -> Shown:
    counts = [row.episodes for row in rows]
    known = lambda name: [nan if (x := getattr(row, name)) is None else x for row in rows]
    names = ("returns", "value", "ratio", "decision_ms", *MEASURED)
    means = {name: float(np.average(known(name), weights=counts)) for name in names}
    scores = () if all(row.measure == "success" for row in rows) else tuple(x for row in rows for x in row.scores)
    successes = None if scores else sum(row.successes or 0 for row in rows)
    return Shown(arm, successes, sum(counts), **means, scores=scores, spread=_spread(rows))


def _spread(rows: Sequence[Row]) -> tuple[float, float] | None:
    """The interval of several policies and their episodes; None of one, or where single episodes are not known."""
    by_policy: dict[int, list[np.ndarray]] = {}
    for row in sorted(rows, key=lambda row: (row.env, row.seed, row.first)):
        by_policy.setdefault(row.policy_seed, []).append(row.scores)
    scores = [np.concatenate(parts) for parts in by_policy.values()]
    known = sum(map(len, scores)) == sum(row.episodes for row in rows) and len({row.measure for row in rows}) == 1
    if len(scores) < 2 or not known:
        return None
    return joint_bootstrap(ragged(scores)[:, None], of=kind(rows[0].measure))


def _ordered(shown: Iterable[Shown]) -> list[Shown]:
    """The cloned policy first, then guides in their order, strengths rising."""
    rank = {guide: i for i, guide in enumerate(GUIDES)}
    amount = lambda arm: arm.weight if arm.strength is None else arm.strength
    key = lambda x: (x.arm.best_of, rank.get(x.arm.guide, len(rank)), amount(x.arm) or 0)
    return sorted(shown, key=key)


def default(shown: Iterable[Shown], guide: str) -> Shown | None:
    """The arm of a guide nearest the default strength: not the luckiest one."""
    mine = [x for x in shown if x.arm.guide == guide and x.arm.best_of == 1]
    mine = [x for x in mine if guide == "none" or x.arm.strength is not None]
    return min(mine, key=lambda x: (not x.usual, abs((x.arm.strength or 0) - default_strength(guide))), default=None)
