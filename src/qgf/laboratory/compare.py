"""Run a study: train what is missing, choose on tuning episodes, play held-out ones, write tables of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec
import numpy as np

from qgf.data.folder import data_dir
from qgf.errors import UserError
from qgf.files import (
    Finite,
    as_written,
    locked,
    read_json,
    seal,
    settled,
    stays_inside,
    write_csv,
    write_json,
    write_table,
)
from qgf.laboratory.analysis import some_states
from qgf.laboratory.chosen import chosen_table
from qgf.laboratory.study import Environment, Method, Study
from qgf.laboratory.tables import Line, aggregate_table, measures, per_task_table
from qgf.laboratory.workshop import Job, Noted, Workshop
from qgf.playing.ledger import Ledger
from qgf.playing.offline import offline
from qgf.playing.rows import Row, columns
from qgf.playing.tune import Candidate, halving

OFFLINE_STATES = 256


class Results(NamedTuple):
    """What a study ends with: rows for tables and figures, whose CSV files are written."""

    folder: Path
    study: Study
    rows: list[Row]  # of results.csv, each with the median time of a decision
    tables: dict[str, list[Line]]  # by the name of their file


def compare(
    study: Study,
    out: str | Path = "runs/studies",
    data: str | Path | None = None,
    progress: Noted = lambda name, done, total, note: None,
    jobs: int | None = None,
) -> Results:
    """Run `study` into OUT/NAME: episodes.csv (all that was played), results.csv (tidy) and tables as CSV; its runs go
    to OUT/runs, where other studies find them. `jobs` runs are trained at a time, by default one
    per core on a CPU and one on a GPU.

    Continues where an earlier call stopped: finished runs and episodes are not repeated, and the CSV ends the same.
    Raises UserError if another process runs the same study, or writes a run that this one needs.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be at least 1, got {jobs}")
    shop = Workshop(study, Path(out), data_dir(data), progress, jobs)
    with locked(shop.out / study.name):
        stays_inside(shop.out / study.name)
        shop.train_all(
            job for env in study.environments for job in chain(to_choose(shop, env), to_report(shop, env, {}))
        )
        chosen = {env: choose(shop, env) for env in study.environments}
        shop.train_all(job for env in study.environments for job in to_report(shop, env, chosen[env][0]))
        rows = [row for env in study.environments for row in report(shop, env, *chosen[env])]
        return write_results(shop, rows, chosen_table(study, chosen))


def to_choose(shop: Workshop, env: Environment) -> Iterator[Job]:
    """The runs whose first tuning episodes are not played yet."""
    study, seed = shop.study, env.seeds[0]
    groups = [group for group in _groups(study, env).values() if len(group) > 1]
    for task in env.tasks[: study.tuning_tasks]:
        with shop.players(env, task) as player:
            for train, arm in (candidate for group in groups for candidate in group):
                if not player(train, seed).find(arm, "tuning", study.tuning_seed, 0, study.rungs[0]):
                    yield shop.job(env, task, train, seed)


def to_report(shop: Workshop, env: Environment, chosen: dict[str, Candidate]) -> Iterator[Job]:
    """The runs whose held-out episodes are not played yet, with any arm; of a method that has more than one training to
    choose from, once it is `chosen`.
    """
    study = shop.study
    for task, seed in product(env.tasks, env.seeds):
        with shop.players(env, task) as player:
            for name, method in study.methods.items():
                options = [chosen[name]] if name in chosen else method.candidates(env)
                if len({train for train, _ in options}) > 1:
                    continue
                known = (
                    player(train, seed).find(arm, "held-out", study.seed, 0, study.episodes) for train, arm in options
                )
                if not any(known):
                    yield shop.job(env, task, options[0].train, seed)


def _groups(study: Study, env: Environment) -> dict[str, list[Candidate]]:
    """What there is to choose from by playing, for every method."""
    return {name: method.candidates(env) for name, method in study.methods.items() if method.tune != "offline"}


def choose(shop: Workshop, env: Environment) -> tuple[dict[str, Candidate], list[Row]]:
    """What every method that is tuned by playing acts with, by success over all tasks with the first training seed; and
    what was played for it.
    """
    study = shop.study
    played: list[Row] = []

    def play(rivals: Sequence[Candidate], first: int, episodes: int) -> dict[Candidate, np.ndarray]:
        found: dict[Candidate, list[np.ndarray]] = {rival: [] for rival in rivals}
        for task in env.tasks[: study.tuning_tasks]:
            with shop.players(env, task) as player:
                for rival in rivals:
                    own = player(rival.train, env.seeds[0])
                    row = own.play(rival.arm, "tuning", study.tuning_seed, first, episodes)
                    found[rival].append(row.scores)
                    played.append(row)
        return {rival: np.concatenate(x) for rival, x in found.items()}

    return halving(_groups(study, env), play, study.rungs)[0], played


def report(shop: Workshop, env: Environment, chosen: dict[str, Candidate], tuning: list[Row]) -> list[Row]:
    """The rows of one environment: every method's held-out episodes, and the tuning episodes of its candidates."""
    study, rows = shop.study, []
    for task in env.tasks:
        with shop.players(env, task) as player:
            for seed in env.seeds:
                for name, method in study.methods.items():
                    train, arm = chosen.get(name) or offline_choice(shop, env, task, seed, method)
                    row = player(train, seed).play(arm, "held-out", study.seed, 0, study.episodes)
                    rows.append(_tidy(row, env, task, name, shop.ledger))
        for row in tuning:
            for name, method in study.methods.items():
                mine = row.env == env.full(task)
                if mine and Candidate(row.train, row.arm) in method.candidates(env):
                    rows.append(_tidy(row, env, task, name, shop.ledger))
    return rows


def offline_choice(shop: Workshop, env: Environment, task: int, seed: int, method: Method) -> Candidate:
    """What the data alone choose for one run; remembered beside the ledger."""
    path = shop.out / shop.study.name / "offline.json"
    known = read_json(path, dict[str, Finite]) if path.exists() else {}
    if known and not settled(path):  # a kill came before its sum
        seal(path)
    train, arm = method.candidates(env)[0]
    config = shop.study.trainings[train].config
    grid = ", ".join(one.label for one in method.arms)
    name = f"{env.full(task)}, {train}, seed {seed}, {config.steps} updates: {grid}"
    if name not in known:
        states = some_states(shop.dataset(env, task), config.horizon, OFFLINE_STATES).observations
        strengths = [arm.strength for arm in method.arms if arm.strength is not None]
        policy = shop.policy(shop.job(env, task, train, seed))
        known[name] = offline(policy, states, jax.random.key(seed), arm, strengths).strength
        write_json(path, known)
    return Candidate(train, replace(arm, strength=known[name]))


def _tidy(row: Row, env: Environment, task: int, method: str, ledger: Ledger) -> Row:
    """A ledger row under its method's name, with the operations per action of its arm, which are counted, and the
    median time of a decision, which was measured in all its blocks.
    """
    costs = ledger.costs_of(row)
    own = dict(env=env.name, task=task, method=method)
    if costs:
        own |= dict(gflop=costs[0].gflop, decision_ms=float(np.median([cost.decision_ms for cost in costs])))
    return as_written(msgspec.structs.replace(row, **own))


def write_results(shop: Workshop, rows: list[Row], chosen: list[Line]) -> Results:
    """results.csv, which has nothing in it that was measured with a clock, and the tables as CSV."""
    folder = shop.out / shop.study.name
    rest = (name for name in columns(rows) if name != "env")
    write_csv(folder / "results.csv", rows, ("env", "task", "method", *rest, "gflop"))
    environments = [env.name for env in shop.study.environments]
    tables = {"per_task": per_task_table(rows)}
    if len(measures(rows)) == 1:  # success and return have no mean
        tables["aggregate"] = aggregate_table(rows)
    tables |= {f"aggregate-{name}": aggregate_table(rows, name) for name in environments if len(environments) > 1}
    if chosen:
        tables["chosen"] = chosen
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    return Results(folder, shop.study, rows, tables)
