"""Tables of a study: many methods on the same tasks, from the rows of its results file.

A row is one policy (`policy_seed`) of one `method` on one `task` of an `env`, with the outcome of every episode. Tables
show held-out rows; success is in percent with 95 % intervals. A method that has not the same number of policies on
every task has no aggregate: it is left out by name, not filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from qgf.errors import UserError, unknown
from qgf.playing.measure import Measure, interval, paired
from qgf.playing.rows import Row
from qgf.statistics import iqm, mean, probability_of_improvement, rates, stratified_bootstrap

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
    """[runs, tasks, episodes], nan where a run has fewer episodes; None unless every task has as many runs.

    A run is one policy: further episode seeds of it are more episodes, not more runs.
    """
    runs = []
    for task in tasks:
        by_policy: dict[int, list[np.ndarray]] = {}
        for (policy_seed, _), outcomes in sorted(by_task.get(task, {}).items(), key=lambda item: item[0]):
            by_policy.setdefault(policy_seed, []).append(outcomes)
        runs.append([np.concatenate(parts) for parts in by_policy.values()])
    if len({len(task) for task in runs}) > 1:
        return None
    longest = max((len(run) for task in runs for run in task), default=0)
    padded = lambda run: np.pad(run.astype(float), (0, longest - len(run)), constant_values=np.nan)
    return np.stack([[padded(run) for run in task] for task in runs], axis=1) if longest else None


def per_task_table(rows: Iterable[Row], over: str = "none") -> list[Line]:
    """One dict per env, task and method: success, % over all seeds, with Wilson's interval, which takes episodes for
    independent; p of the exact McNemar test against `over`, not corrected for many tests, if both played the same
    episodes. Where nothing says what success is, the return, the bootstrap's interval and a permutation test.
    """
    rows = list(rows)
    held, table = held_out(rows), []
    known = {row.env: row.measure for row in rows if row.split == "held-out"}
    for task, method in product(_tasks(held), held):
        played = held[method].get(task)
        if played is None:
            continue
        scores, own = _pooled(played), known[task[0]]
        line: Line = dict(env=task[0], task=task[1], method=method, runs=len({policy for policy, _ in played}))
        line["episodes"] = len(scores)
        for measure in sorted(set(known.values()), reverse=True):
            if measure == "success":
                line["successes"] = int(scores.sum()) if own == measure else ""
            ends = (float(scores.mean()), *interval(scores, own)) if own == measure else None
            line |= _triple(measure, ends, own)
        p = _paired_p(played, held.get(over, {}).get(task, {}), own) if method != over else ""
        table.append(line | {f"p against {over}": p})
    return table


def _paired_p(a: Played, b: Played, measure: Measure) -> float | str:
    if {seeds: len(x) for seeds, x in a.items()} != {seeds: len(x) for seeds, x in b.items()}:
        return ""
    return float(f"{paired(_pooled(a), _pooled(b), measure):.3g}")


def _p_over_tasks(held: Held, method: str, other: str, tasks: Sequence[Task], measure: Measure) -> float | str:
    """The paired test on the episodes of all tasks together."""
    sides = [[held[name].get(task, {}) for task in tasks] for name in (method, other)]
    if method == other or not all(sides[0]):
        return ""
    as_one = [{(*task, *seeds): x for task, played in zip(tasks, side, strict=True) for seeds, x in played.items()}
              for side in sides]  # fmt: skip
    return _paired_p(as_one[0], as_one[1], measure)


def _triple(name: str, values: Interval | None, measure: Measure = "success") -> Line:
    scale = 100 if measure == "success" else 1
    shown = ("", "", "") if values is None else (round(scale * float(x), 2) for x in values)
    return dict(zip((name, f"{name}_low", f"{name}_high"), shown, strict=True))


def aggregate_table(rows: Iterable[Row], env: str | None = None, over: str = "none") -> list[Line]:
    """One dict per method over the tasks of `env` (all if None): mean and interquartile mean of success, probability
    that a run improves on a run of `over`, each in % with its stratified bootstrap interval; p of the paired test
    against `over` and against the placebo, if both played the same episodes; median cost per action. Means of returns,
    where nothing says what success is, are no percentages.
    """
    rows = list(rows)
    held, measure = held_out(rows), measure_of(rows, env)
    tasks = _tasks(held, env)
    scores = {method: _scores(held[method], tasks) for method in held}
    costs = {name: _costs(rows, name, tasks) for name in ("gflop", "decision_ms")}
    table = []
    for method, mine in scores.items():
        played = [held[method].get(task, {}) for task in tasks]
        if not any(played):
            continue
        better = None if method == over else _estimate(probability_of_improvement, mine, scores.get(over))
        table.append(
            dict(method=method, tasks=sum(map(bool, played)), runs="" if mine is None else len(mine))
            | dict(episodes=sum(len(x) for seeds in played for x in seeds.values()))
            | _triple("mean", _estimate(mean, mine), measure)
            | _triple("iqm", _estimate(iqm, mine), measure)
            | _triple(f"better than {over}", better)
            | {f"p against {x}": _p_over_tasks(held, method, x, tasks, measure) for x in (over, "placebo") if x in held}
            | {name: cost.get(method, "") for name, cost in costs.items()}
        )
    return table


def _estimate(statistic, *scores: np.ndarray | None) -> Interval | None:
    """The statistic of [runs, tasks, episodes] with its interval; None if a method has no aggregate."""
    known = tuple(x for x in scores if x is not None)
    if len(known) < len(scores):
        return None
    return statistic(*map(rates, known)), *stratified_bootstrap(known, statistic)


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
