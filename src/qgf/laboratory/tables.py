"""Tables of a study: many methods on the same tasks, from the rows of its results file.

A row is one policy (`policy_seed`) of one `method` on one `task` of an `env`, with the outcome of every episode. Tables
show held-out rows; success is in percent with 95 % intervals. A method that has not the same number of policies on
every task has no aggregate: it is left out by name, not filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np

from qgf.errors import UserError, unknown
from qgf.playing.measure import Measure, interval, kind
from qgf.playing.rows import Row
from qgf.statistics import Paired, holm, iqm, joint_bootstrap, mean, paired, probability_of_improvement, ragged, rates

Line = dict[str, Any]  # of a table, for people to read
Task = tuple[str, int]
Played = dict[Any, np.ndarray]  # (policy seed, episode seed) -> success, or return, of each episode
Held = dict[str, dict[Task, Played]]  # by method, best first
Interval = tuple[float, float, float]  # estimate, low, high


def held_out(rows: Iterable[Row]) -> Held:
    """The outcomes of the held-out rows by method, task and seeds; methods by their mean over tasks, best first.

    Raises UserError if there are none, or if two rows claim the same episodes.
    """
    held: Held = {}
    for row in rows:
        if row.split != "held-out":
            continue
        task, seeds = (row.env, row.task or 0), (row.policy_seed, row.seed)
        where = f"{row.method} on {task[0]} task {task[1]}, policy seed {seeds[0]}, seed {seeds[1]}"
        if not len(row.scores):
            raise UserError(f"{where}: no outcomes of single episodes")
        played = held.setdefault(row.method, {}).setdefault(task, {})
        if seeds in played:
            raise UserError(f"{where}: two held-out rows; choose one strength and one number of updates")
        played[seeds] = row.scores
    if not held:
        raise UserError("no held-out rows: nothing to show")
    overall = {m: np.mean([_pooled(played).mean() for played in tasks.values()]) for m, tasks in held.items()}
    return {method: held[method] for method in sorted(held, key=lambda m: (-overall[m], m))}


def measures(rows: Iterable[Row], env: str | None = None) -> list[Measure]:
    """By what the held-out rows, of one env or all, are compared. What is measured in two ways has no common mean."""
    return sorted({row.measure for row in rows if row.split == "held-out" and env in (None, row.env)})


def measure_of(rows: Iterable[Row], env: str | None = None) -> Measure:
    """The only one. Raises UserError if there are two."""
    found = measures(rows, env)
    if len(found) > 1:
        raise UserError("some environments say what success is and some do not: there is no mean of both, name one")
    return found[0] if found else "success"


def _pooled(played: Played) -> np.ndarray:
    return np.concatenate([played[seeds] for seeds in sorted(played)])


def _tasks(held: Held, env: str | None = None) -> list[Task]:
    known = sorted({task for tasks in held.values() for task in tasks})
    if env is not None and env not in {name for name, _ in known}:
        raise unknown("environment", env, sorted({name for name, _ in known}))
    return [task for task in known if env in (None, task[0])]


def _scores(by_task: dict[Task, Played], tasks: list[Task]) -> np.ndarray | None:
    """[runs, tasks, episodes], nan where a run has fewer episodes; None unless every task has runs of the same seeds.

    A run is one policy: further episode seeds of it are more episodes, not more runs.
    """
    runs: list[dict[int, np.ndarray]] = []
    for task in tasks:
        by_policy: dict[int, list[np.ndarray]] = {}
        for (policy_seed, _), outcomes in sorted(by_task.get(task, {}).items(), key=lambda item: item[0]):
            by_policy.setdefault(policy_seed, []).append(outcomes)
        runs.append({policy: np.concatenate(parts) for policy, parts in by_policy.items()})
    if len({tuple(task) for task in runs}) > 1:
        return None
    if not runs or not runs[0]:
        return None
    every = ragged([run for task in runs for run in task.values()])
    return every.reshape(len(runs), -1, every.shape[1]).swapaxes(0, 1)


def per_task_table(rows: Iterable[Row], over: str = "none") -> list[Line]:
    """One dict per env, task and method: success over all training seeds and its difference to that of `over` on the
    same episodes, in % with 95 % intervals: `joint_bootstrap`'s, or of the episodes of a single seed
    (`measure.interval`). Where nothing says what success is, the same of the return.
    """
    rows = list(rows)
    held, table = held_out(rows), []
    known = {row.env: row.measure for row in rows if row.split == "held-out"}
    for task, method in product(_tasks(held), held):
        played = held[method].get(task)
        if played is None:
            continue
        scores, own = _pooled(played), known[task[0]]
        mine = _scores(held[method], [task])
        assert mine is not None
        line: Line = dict(env=task[0], task=task[1], method=method, runs=len(mine), episodes=len(scores))
        ends = joint_bootstrap(mine, of=kind(own)) if len(mine) > 1 else interval(scores, own)
        for measure in sorted(set(known.values()), reverse=True):
            if measure == "success":
                line["successes"] = int(scores.sum()) if own == measure else ""
            line |= _triple(measure, (float(mean(rates(mine))), *ends) if own == measure else None, own)
        against = _against(held, method, over, [task], own)
        table.append(line | _triple(f"difference to {over}", against and against[:3], own))
    return table


def _against(held: Held, method: str, other: str, tasks: Sequence[Task], measure: Measure) -> Paired | None:
    """The difference of two methods over the tasks; None unless both played the same episodes of all."""
    sides = [[held[name].get(task, {}) for task in tasks] if name in held else [] for name in (method, other)]
    blocks = [[{seeds: len(x) for seeds, x in played.items()} for played in side] for side in sides]
    if method == other or blocks[0] != blocks[1]:
        return None
    mine, theirs = _scores(held[method], list(tasks)), _scores(held[other], list(tasks))
    return None if mine is None or theirs is None else paired(mine, theirs, returns=measure == "return")


def _triple(name: str, values: Interval | None, measure: Measure = "success") -> Line:
    scale = 100 if measure == "success" else 1
    shown = ("", "", "") if values is None else (round(scale * float(x), 2) for x in values)
    return dict(zip((name, f"{name}_low", f"{name}_high"), shown, strict=True))


def aggregate_table(rows: Iterable[Row], env: str | None = None, over: str = "none") -> list[Line]:
    """One dict per method over the tasks of `env` (all if None): mean success, its value for each training seed,
    interquartile mean, and probability that a run improves on a run of `over`, in % with `joint_bootstrap` intervals;
    p of `paired`, whose unit is the run, against `over` and against the placebo, by Holm's correction for all p-values
    of the table; median cost per action. Means of returns, where nothing says what success is, are no percentages.

    Below three training seeds nothing is said of the spread over runs (interquartile mean, improvement); p needs two.
    """
    rows = list(rows)
    held, measure = held_out(rows), measure_of(rows, env)
    tasks = _tasks(held, env)
    scores = {method: _scores(held[method], tasks) for method in held}
    others = [x for x in (over, "placebo") if x in held]
    p = _corrected({(m, x): _against(held, m, x, tasks, measure) for m, x in product(held, others)})
    costs = {name: _costs(rows, name, tasks) for name in ("gflop", "decision_ms")}
    table = []
    for method, mine in scores.items():
        played = [held[method].get(task, {}) for task in tasks]
        if not any(played):
            continue
        several, better = mine is not None and len(mine) >= SEVERAL, None
        if mine is not None and several and method != over:
            trials = mine.shape[0] * mine.shape[1]
            better = _estimate(probability_of_improvement, mine, scores.get(over), trials=trials)
        table.append(
            dict(method=method, tasks=sum(map(bool, played)), runs="" if mine is None else len(mine))
            | dict(episodes=sum(len(x) for seeds in played for x in seeds.values()))
            | _triple("mean", _estimate(mean, mine, of=kind(measure)), measure)
            | {"per seed": "" if mine is None else _per_seed(mine, measure)}
            | _triple("iqm", _estimate(iqm, mine, of=kind(measure)) if several else None, measure)
            | _triple(f"better than {over}", better)
            | {f"p against {x}": p[method, x] for x in others}
            | {name: cost.get(method, "") for name, cost in costs.items()}
        )
    return table


SEVERAL = 3
"""Training seeds below which nothing is said of their spread."""


def shown_p(p: float) -> str:
    """As tables have it: two digits, never smaller than what so few runs can say, nothing for nan."""
    return "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def _corrected(found: dict[Any, Paired | None]) -> dict[Any, str]:
    """The p-values as tables show them, by Holm's correction for their number."""
    p = holm([np.nan if x is None else x.p for x in found.values()])
    return {which: shown_p(x) for which, x in zip(found, p, strict=True)}


def _per_seed(scores: np.ndarray, measure: Measure) -> str:
    """The mean over tasks of every training seed."""
    scale, digits = (100, 0) if measure == "success" else (1, 1)
    return ", ".join(f"{scale * x:.{digits}f}" for x in rates(scores).mean(axis=1))


def _estimate(
    statistic, *scores: np.ndarray | None, trials: int | None = None, of: Literal["rate", "number"] = "rate"
) -> Interval | None:
    """The statistic of [runs, tasks, episodes] with its interval; None if a method has no aggregate."""
    known = tuple(x for x in scores if x is not None)
    if len(known) < len(scores):
        return None
    return float(statistic(*map(rates, known))), *joint_bootstrap(known, statistic, trials=trials, of=of)


def _costs(rows: Iterable[Row], name: str, tasks: list[Task]) -> dict[str, float]:
    """Cost per action by method: mean over tasks of the median over runs, which one interrupted run does not move."""
    seen: dict[str, dict[Task, list[float]]] = {}
    for row in rows:
        task, cost = (row.env, row.task or 0), getattr(row, name)
        if row.split == "held-out" and task in tasks and cost is not None:
            seen.setdefault(row.method, {}).setdefault(task, []).append(cost)
    costs = {
        m: np.mean([np.median(x) for x in by_task.values()])
        for m, by_task in seen.items()
        if set(by_task) == set(tasks)
    }
    return {method: float(f"{cost:.4g}") for method, cost in costs.items() if cost > 0}
