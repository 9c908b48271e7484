"""Run a study: train what is missing, choose on tuning episodes, play held-out ones, write tables and figures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import jax
import numpy as np

from qgf.analysis import some_states
from qgf.checkpoint import load_trained
from qgf.config import TrainConfig, read_json, write_json
from qgf.data import Dataset, load_dataset
from qgf.data.sources import data_dir
from qgf.errors import UserError
from qgf.evaluation import Arm
from qgf.files import atomic_path, locked
from qgf.ledger import Ledger, Player, Row, outcomes
from qgf.sampling import Policy
from qgf.study import Environment, Method, Study
from qgf.study_tables import across_tasks, aggregate_table, markdown, per_task_table
from qgf.training import FREE, Run, train
from qgf.tuning import Candidate, halving, offline

Progress = Callable[[str, int, int, str], None]
OFFLINE_STATES = 256


@dataclass
class Workshop:
    """Where a study's datasets, runs and environments come from, made when they are first needed."""

    study: Study
    out: Path
    data: Path
    progress: Progress
    policies: dict[Path, Policy] = field(default_factory=dict)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.out / self.study.name / "episodes.csv")

    def dataset(self, env: Environment, task: int) -> Dataset:
        """The dataset of an environment, collected if it is not there. Raises UserError if it is there in another size
        than the study's.
        """
        path = self.data / f"{env.data}-v0.npz"
        if not path.exists() and env.transitions:
            from qgf.data.collect import collect

            tell = lambda done, total: self.progress(f"collect {env.name}", done, total, "")
            collect(env.data, env.transitions, directory=self.data, progress=tell)
        dataset = load_dataset(env.trained(task), self.data)
        if env.transitions:
            from qgf.data.collect import episode_length, training_episodes

            wanted = training_episodes(path.stem, env.transitions) * (episode_length(path.stem) - 1)
            if dataset.transitions != wanted:
                raise UserError(
                    f"{path} holds {dataset.transitions} transitions, {self.study.name} is a study of {wanted}; use "
                    f"another --data-dir, or change the transitions of {env.name} in the study"
                )
        return dataset

    def directory(self, env: Environment, task: int, name: str, seed: int) -> Path:
        which = env.name if env.goals else f"{env.name}-task{task}"
        return self.out / "runs" / f"{which}-{name}-seed{seed}"

    def run(self, env: Environment, task: int, name: str, seed: int) -> Path:
        """The run directory, trained to its end. One flow serves all tasks of an environment and seed."""
        training, directory = self.study.trainings[name], self.directory(env, task, name, seed)
        config = replace(training.config, seed=seed)
        if finished(directory, config):
            return directory
        lender, first = training.flow or name, env.tasks[0]
        itself = lender == name and (env.goals or task == first)
        flow = None if itself else self.run(env, first, lender, seed)
        critic = self.run(env, task, training.critic_from, seed) if training.critic_from else None

        def tell(step, logs):
            self.progress(f"train {directory.name}", step, config.steps, f"{logs['updates_per_second']:.0f}/s")

        train(self.dataset(env, task), config, directory, flow, critic, progress=tell)
        return directory

    def policy(self, env: Environment, task: int, name: str, seed: int) -> Policy:
        directory = self.run(env, task, name, seed)
        if directory not in self.policies:
            self.policies[directory] = load_trained(directory).policy()
        return self.policies[directory]

    @contextmanager
    def players(self, env: Environment, task: int) -> Iterator[Callable[[str, int], Player]]:
        """Players of one task, by training settings and seed, on one set of environment processes."""
        with ExitStack() as opened:

            @cache
            def envs(horizon: int):
                from qgf.envs import make_vector_env, parse_name

                return opened.enter_context(closing(make_vector_env(parse_name(env.full(task)).env, horizon)))

            def player(name: str, seed: int) -> Player:
                config, where = self.study.trainings[name].config, f"{env.name} {task}"
                tell = lambda arm, done, wins, total: self.progress(f"{where}, {arm}", done, total, f"{wins} solved")
                policy = lambda: self.policy(env, task, name, seed)
                own = lambda: envs(config.horizon)
                return Player(policy, env.full(task), self.ledger, own, name, seed, config.steps, tell)

            yield player


def compare(
    study: Study,
    out: str | Path = "runs/studies",
    data: str | Path | None = None,
    progress: Progress = lambda name, done, total, note: None,
) -> Path:
    """Run `study` into OUT/NAME: episodes.csv (all that was played), results.csv (tidy), tables and figures; its runs
    go to OUT/runs, where other studies find them. Returns OUT/NAME.

    Continues where an earlier call stopped: finished runs and episodes are not repeated, and the CSV ends the same.
    Raises UserError if another process runs the same study, or writes a run that this one needs.
    """
    shop = Workshop(study, Path(out), data_dir(data), progress)
    with locked(shop.out / study.name):
        rows = [row for env in study.environments for row in report(shop, env, *choose(shop, env))]
        write_results(shop, rows)
    return shop.out / study.name


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
                    found[rival].append(outcomes(row))
                    played.append(row)
        return {rival: np.concatenate(x) for rival, x in found.items()}

    groups = {name: method.candidates(env) for name, method in study.methods.items() if method.tune != "offline"}
    return halving(groups, play, study.rungs)[0], played


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
                mine = row["env"] == env.full(task)
                if mine and Candidate(row["train"], _arm_of(row)) in method.candidates(env):
                    rows.append(_tidy(row, env, task, name, shop.ledger))
    return rows


def offline_choice(shop: Workshop, env: Environment, task: int, seed: int, method: Method) -> Candidate:
    """What the data alone choose for one run; remembered beside the ledger."""
    path = shop.out / shop.study.name / "offline.json"
    known = read_json(path, "a study") if path.exists() else {}
    train, arm = method.candidates(env)[0]
    config = shop.study.trainings[train].config
    name = f"{env.full(task)} {train} {seed} {config.steps} {method.arms}"
    if name not in known:
        states = some_states(shop.dataset(env, task), config.horizon, OFFLINE_STATES)
        strengths = [arm.strength for arm in method.arms if arm.strength is not None]
        policy = shop.policy(env, task, train, seed)
        known[name] = offline(policy, states, jax.random.key(seed), arm, strengths).strength
        write_json(path, known)
    return Candidate(train, replace(arm, strength=known[name]))


def _arm_of(row: Row) -> Arm:
    number = lambda x: None if x == "" else float(x)
    return Arm(
        row["guide"], number(row["strength"]), number(row["weight"]), int(row["best_of"]),
        None if row["steps"] == "" else int(row["steps"]), row["schedule"],
    )  # fmt: skip


def _costs(row: Row, ledger: Ledger) -> list[Row]:
    """What was measured while the arm of a row was played, in all its blocks."""
    mine = (row["env"], row["train"], row["policy_seed"], _arm_of(row).label)
    return [c for c in ledger.costs if (c["env"], c["train"], c["policy_seed"], c["arm"]) == mine]


def _tidy(row: Row, env: Environment, task: int, method: str, ledger: Ledger) -> Row:
    """A ledger row under its method's name, with the operations per action of its arm, which are counted."""
    gflop = next((cost["gflop"] for cost in _costs(row, ledger)), "")
    own = {name: x for name, x in row.items() if name != "env"}
    return dict(env=env.name, task=str(task), method=method) | own | dict(gflop=gflop)


def _timed(row: Row, env: Environment, ledger: Ledger) -> Row:
    """A row of results with the median time of a decision: measured, so that it has no place in results.csv."""
    times = [float(cost["decision_ms"]) for cost in _costs(row | dict(env=env.full(int(row["task"]))), ledger)]
    return row | dict(decision_ms=f"{np.median(times):.2f}" if times else "")


def write_results(shop: Workshop, rows: list[Row]) -> None:
    """results.csv, the tables as CSV and Markdown, and the figures."""
    folder = shop.out / shop.study.name
    write_table(folder / "results.csv", rows)
    environments = {env.name: env for env in shop.study.environments}
    rows = [_timed(row, environments[row["env"]], shop.ledger) for row in rows]
    tables = {
        "per_task": per_task_table(rows),
        "aggregate": aggregate_table(rows),
    } | {f"aggregate-{env.name}": aggregate_table(rows, env.name) for env in shop.study.environments}
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
        shown = across_tasks(table) if name == "per_task" else table
        with atomic_path(folder / f"{name}.md") as temporary:
            temporary.write_text(markdown(shown))
    for name, figure in _figures(shop.study, rows):
        with atomic_path(folder / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def _figures(study: Study, rows: list[Row]):
    from qgf import study_plots as figures

    for env in study.environments:
        yield f"tasks-{env.name}", figures.task_bars(rows, env.name)
        yield f"aggregate-{env.name}", figures.aggregates(rows, env.name)
    yield "aggregate", figures.aggregates(rows)
    if "none" in study.methods and len(study.methods) > 1:
        yield "improvement", figures.improvement(rows)
    for x in ("gflop", "decision_ms"):
        if any(float(row[x] or 0) > 0 for row in rows):
            yield f"cost-{x}", figures.success_against_cost(rows, x)
    curves = {name for name, m in study.methods.items() if len({replace(arm, strength=None) for arm in m.arms}) == 1}
    shown = [row for row in rows if row["method"] in curves]
    if any(row["split"] == "tuning" and row["strength"] for row in shown):
        yield "strength", figures.strength_curves(shown)


def write_table(path: Path, rows: Sequence[dict]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def finished(directory: Path, config: TrainConfig) -> bool:
    """Whether a run of these settings is there, trained to its end.

    Raises UserError if it is one of other settings: its results would be taken for those of the study.
    """
    if not (directory / "policy" / "config.json").exists():
        return False
    there = Run(directory).config
    updates = read_json(directory / "policy" / "config.json", "a policy")["updates"]
    same = replace(there, **{name: getattr(config, name) for name in FREE}) == config
    if not same or updates > config.steps:
        raise UserError(
            f"{directory} holds a run of other settings or more updates than the study's; give the [train] section "
            "another name, or use another --out"
        )
    return updates == config.steps
