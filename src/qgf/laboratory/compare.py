"""Run a study: train what is missing, choose on tuning episodes, play held-out ones, write tables of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec
import numpy as np

from qgf.data.folder import data_dir
from qgf.errors import UserError, unknown
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
from qgf.laboratory.engines import ENGINES
from qgf.laboratory.engines.engine import LOCAL, Asked
from qgf.laboratory.study import Environment, Method, Study
from qgf.laboratory.tables import Line, aggregate_table, measures, per_task_table
from qgf.laboratory.workshop import Block, Job, Noted, Workshop
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
    engine: Asked = LOCAL,
) -> Results:
    """Run `study` into OUT/NAME: episodes.csv (all that was played), results.csv (tidy) and tables as CSV; its runs go
    to OUT/runs, where other studies find them. `jobs` runs are trained, or blocks of episodes
    played, at a time, by default one per core on a CPU and one on a GPU; or `engine` performs them elsewhere.

    Continues where an earlier call stopped: finished runs and episodes are not repeated, and the CSV ends the same.
    Raises UserError if another process runs the same study, or writes a run that this one needs.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be at least 1, got {jobs}")
    if engine.name not in (known := [LOCAL.name, *ENGINES]):
        raise unknown("engine", engine.name, known)
    shop = Workshop(study, Path(out), data_dir(data), progress, jobs, engine)
    with locked(shop.out / study.name), closing(shop):
        stays_inside(shop.out / study.name)
        shop.make((job for env in study.environments for job in to_report(shop, env, {})), to_begin(shop))
        chosen = {env: choose(shop, env) for env in study.environments}
        shop.make(job for env in study.environments for job in to_report(shop, env, chosen[env][0]))
        asked = {env: list(to_play(shop, env, chosen[env][0])) for env in study.environments}
        shop.make((), (block for blocks in asked.values() for _, block in blocks))
        rows = [row for env in study.environments for row in report(shop, env, asked[env], chosen[env][1])]
        return write_results(shop, rows, chosen_table(study, chosen))


def to_begin(shop: Workshop) -> Iterator[Block]:
    """What is played whatever becomes of it: the first tuning episodes, and what methods with one arm are judged by."""
    study = shop.study
    for env in study.environments:
        rivals = {rival: None for group in _groups(study, env).values() if len(group) > 1 for rival in group}
        yield from _tuning(shop, env, rivals, 0, study.rungs[0])
        single = {name: options[0] for name, options in _groups(study, env).items() if len(options) == 1}
        for task, seed, (train, arm) in product(env.tasks, env.seeds, single.values()):
            yield shop.block(env, task, train, seed, arm, "held-out", study.seed, 0, study.episodes)


def to_report(shop: Workshop, env: Environment, chosen: dict[str, Candidate]) -> Iterator[Job]:
    """The runs whose held-out episodes are not played yet, with any arm; of a method that has more than one training to
    choose from, once it is `chosen`.
    """
    study = shop.study
    for task, seed, (name, method) in product(env.tasks, env.seeds, study.methods.items()):
        options = [chosen[name]] if name in chosen else method.candidates(env)
        if len({train for train, _ in options}) > 1:
            continue
        held_out = ("held-out", study.seed, 0, study.episodes)
        if not any(shop.found(shop.block(env, task, train, seed, arm, *held_out)) for train, arm in options):
            yield shop.job(env, task, options[0].train, seed)


def to_play(shop: Workshop, env: Environment, chosen: dict[str, Candidate]) -> Iterator[tuple[str, Block]]:
    """What every method is judged by, by its name. What data alone choose is chosen meanwhile."""
    study = shop.study
    for task, seed, (name, method) in product(env.tasks, env.seeds, study.methods.items()):
        train, arm = chosen.get(name) or offline_choice(shop, env, task, seed, method)
        yield name, shop.block(env, task, train, seed, arm, "held-out", study.seed, 0, study.episodes)


def _groups(study: Study, env: Environment) -> dict[str, list[Candidate]]:
    """What there is to choose from by playing, for every method."""
    return {name: method.candidates(env) for name, method in study.methods.items() if method.tune != "offline"}


def choose(shop: Workshop, env: Environment) -> tuple[dict[str, Candidate], list[Row]]:
    """What every method that is tuned by playing acts with, by success over all tasks with the first training seed; and
    what was played for it.
    """
    played: list[Row] = []

    def play(rivals: Sequence[Candidate], first: int, episodes: int) -> dict[Candidate, np.ndarray]:
        blocks = list(_tuning(shop, env, rivals, first, episodes))
        rows = _played(shop, blocks)
        played.extend(rows)
        each = dict(zip(blocks, rows, strict=True))
        mine = lambda rival: [row for x, row in each.items() if Candidate(x.job.train, x.arm) == rival]
        return {rival: np.concatenate([row.scores for row in mine(rival)]) for rival in rivals}

    return halving(_groups(shop.study, env), play, shop.study.rungs)[0], played


def _tuning(
    shop: Workshop, env: Environment, rivals: Iterable[Candidate], first: int, episodes: int
) -> Iterator[Block]:
    """A block of tuning episodes for each rival in each task."""
    study = shop.study
    tuned_on = env.seeds[0] if study.tuning_policy_seed is None else study.tuning_policy_seed
    for task, (train, arm) in product(env.tasks[: study.tuning_tasks], rivals):
        yield shop.block(env, task, train, tuned_on, arm, "tuning", study.tuning_seed, first, episodes)


def _played(shop: Workshop, blocks: Sequence[Block]) -> list[Row]:
    """The rows of blocks, played where they are missing."""
    shop.make((), blocks)
    return [row for block in blocks if (row := shop.found(block))]


def report(shop: Workshop, env: Environment, asked: Sequence[tuple[str, Block]], tuning: list[Row]) -> list[Row]:
    """The rows of one environment: every method's held-out episodes, and the tuning episodes of its candidates."""
    study, rows = shop.study, []
    for task in env.tasks:
        mine = [(name, block) for name, block in asked if block.task == task]
        held_out = _played(shop, [block for _, block in mine])
        for (name, _), row in zip(mine, held_out, strict=True):
            rows.append(_tidy(row, env, task, name, shop.ledger))
        for row in tuning:
            for name, method in study.methods.items():
                known = row.env == env.full(task)
                if known and Candidate(row.train, row.arm) in method.candidates(env):
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
