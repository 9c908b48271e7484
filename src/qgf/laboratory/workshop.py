"""Where a study's datasets, runs and environments come from, made when they are first needed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from graphlib import TopologicalSorter
from itertools import product
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import jax

from qgf.data import Dataset
from qgf.data.stored import Stored
from qgf.environments import family_of
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError
from qgf.files import read_json
from qgf.laboratory.study import Environment, Study
from qgf.method.policy import Policy
from qgf.playing.episodes import environments
from qgf.playing.ledger import Ledger, Player
from qgf.playing.measure import solved
from qgf.plugins import FILES, use
from qgf.processes import Worker, cores, end_with, start, stay_on
from qgf.training.config import TrainConfig
from qgf.training.export import listed
from qgf.training.folder import FREE
from qgf.training.loop import train
from qgf.training.run import Run
from qgf.training.trained import Record, load_trained

Noted = Callable[[str, int, int, str], None]
"""(name of the work, done, total, a word on it)."""


class Job(NamedTuple):
    """One run of a study. Of an environment with goals, whose runs serve all of them, the task is the first."""

    env: Environment
    task: int
    train: str
    seed: int


@dataclass
class Workshop:
    study: Study
    out: Path
    data: Path
    progress: Noted
    jobs: int | None = None  # runs trained at a time
    policies: dict[Path, Policy] = field(default_factory=dict)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.out / self.study.name / "episodes.csv")

    def collected(self, env: Environment) -> Path:
        """The data file of an environment, collected if it is not there and the study says how many transitions."""
        family, data = family_of(env.name), env.trained(env.tasks[0])
        path = self.data / f"{family.file(data)}.npz"
        if not path.exists() and env.transitions:
            tell = lambda done, total: self.progress(f"collect {env.name}", done, total, "")
            family.collect(data, env.transitions, directory=self.data, progress=tell)
        return path

    def dataset(self, env: Environment, task: int) -> Dataset | Stored:
        """The dataset of an environment. Raises UserError if it is there in another size than the study's."""
        path = self.collected(env)
        dataset = load_dataset(env.trained(task), self.data)
        if env.transitions:
            wanted = family_of(env.name).transitions(env.trained(task), env.transitions)
            if dataset.transitions != wanted:
                raise UserError(
                    f"{path} holds {dataset.transitions} transitions, {self.study.name} is a study of {wanted}; use "
                    f"another --data-dir, or change the transitions of {env.name} in the study"
                )
        return dataset

    def job(self, env: Environment, task: int, train: str, seed: int) -> Job:
        return Job(env, env.tasks[0] if env.goals else task, train, seed)

    def directory(self, job: Job) -> Path:
        which = job.env.name if job.env.goals else f"{job.env.name}-task{job.task}"
        return self.out / "runs" / f"{which}-{job.train}-seed{job.seed}"

    def config(self, job: Job) -> TrainConfig:
        return replace(self.study.trainings[job.train].config, seed=job.seed)

    def finished(self, job: Job) -> bool:
        return finished(self.directory(job), self.config(job))

    def lenders(self, job: Job) -> tuple[Job | None, Job | None]:
        """The runs whose flow and critic a run uses. One flow serves all tasks of an environment and seed."""
        training = self.study.trainings[job.train]
        shares = training.flow or training.config.method.lends["flow"]  # EDP's only flow is what it trains for a task
        flow = job._replace(task=job.env.tasks[0], train=training.flow or job.train) if shares else job
        critic = job._replace(train=training.critic_from) if training.critic_from else None
        return None if flow == job else flow, critic

    def run(self, job: Job) -> Path:
        """The run directory, trained to its end."""
        directory, config = self.directory(job), self.config(job)
        if not self.finished(job):
            flow, critic = (lender and self.run(lender) for lender in self.lenders(job))

            def tell(step, logs):
                self.progress(f"train {directory.name}", step, config.steps, f"{logs['updates_per_second']:.0f}/s")

            dataset = self.dataset(job.env, job.task)
            train(dataset, config, directory, flow, critic, progress=tell, log=self.study.log)
        return directory

    def train_all(self, wanted: Iterable[Job]) -> None:
        """Train what is missing of `wanted`, and what it borrows, several runs at a time.

        Every run has a process and cores of its own: small networks do not fill a machine. How many cores is a
        property of the study and the machine, as sums over another number of them differ in the last bit. Raises
        UserError if a training fails; the others are stopped, and go on in the next call.
        """
        missing: dict[Job, list[Job]] = {}
        for job in dict.fromkeys(wanted):
            self._add_missing(job, missing)
        if missing and (teams := self._teams()) > 1:
            for env in {job.env: None for job in missing}:
                self.collected(env)
            own = cores()
            share = len(own) // teams
            _side_by_side(self, missing, [own[k * share :][:share] for k in range(teams)])

    def _teams(self) -> int:
        most = self.jobs or (len(cores()) if jax.default_backend() == "cpu" else 1)
        runs = {
            self.directory(self.job(env, task, candidate.train, seed))
            for env in self.study.environments
            for task, seed, method in product(env.tasks, env.seeds, self.study.methods.values())
            for candidate in method.candidates(env)
        }
        return min(most, len(cores()), len(runs))

    def _add_missing(self, job: Job, missing: dict[Job, list[Job]]) -> None:
        if job not in missing and not self.finished(job):
            missing[job] = [lender for lender in self.lenders(job) if lender and not self.finished(lender)]
            for lender in missing[job]:
                self._add_missing(lender, missing)

    def policy(self, job: Job) -> Policy:
        directory = self.run(job)
        if directory not in self.policies:
            self.policies[directory] = load_trained(directory).policy()
        return self.policies[directory]

    @contextmanager
    def players(self, env: Environment, task: int) -> Iterator[Callable[[str, int], Player]]:
        """Players of one task, by training settings and seed, on one set of environment processes."""
        with ExitStack() as opened:

            @cache
            def envs(horizon: int):
                most = max(self.study.episodes, *self.study.rungs)
                return opened.enter_context(closing(environments(env.full(task), horizon, most, rule=env.success)))

            def player(name: str, seed: int) -> Player:
                config, where = self.study.trainings[name].config, f"{env.name} {task}"
                tell = lambda arm, done, wins, total: self.progress(f"{where}, {arm}", done, total, solved(wins))
                policy = lambda: self.policy(self.job(env, task, name, seed))
                own = lambda: envs(config.horizon)
                more = (name, seed, seed, config.steps, env.success, tell)
                return Player(policy, env.full(task), self.ledger, own, *more)

            yield player


def finished(directory: Path, config: TrainConfig) -> bool:
    """Whether a run of these settings is there, trained to its end.

    Raises UserError if it is one of other settings: its results would be taken for those of the study.
    """
    if not (directory / "policy" / "config.json").exists():
        return False
    there = Run(directory).config
    updates = read_json(directory / "policy" / "config.json", Record).updates
    same = replace(there, **{name: getattr(config, name) for name in FREE}) == config
    if not same or updates > config.steps:
        raise UserError(
            f"{directory} holds a run of other settings or more updates than the study's; give the [train] section "
            "another name, or use another --out"
        )
    return updates == config.steps and listed(directory / "policy")


def _side_by_side(shop: Workshop, missing: dict[Job, list[Job]], teams: list[list[int]]) -> None:
    """Train each job, after those that it needs, in a process on one of the teams of cores."""
    order = TopologicalSorter(missing)
    order.prepare()
    ready: list[Job] = []
    running: dict[Any, tuple[Worker, Job, list[int]]] = {}  # by connection
    try:
        while order.is_active():
            ready += order.get_ready()
            while ready and teams:
                job, team = ready.pop(0), teams.pop(0)
                worker = start(_train)
                running[worker.connection] = worker, job, team
                with suppress(OSError):  # it is dead already: seen below
                    for message in (team, [*FILES, *shop.study.use], (shop.study, shop.out, shop.data, job)):
                        worker.connection.send(message)
            connection: Any
            for connection in wait(list(running)):
                worker, job, team = running[connection]
                try:
                    told = connection.recv()
                except (EOFError, OSError):
                    if status := worker.process.wait():
                        raise UserError(
                            f"{shop.directory(job)}: its training ended with status {status}; fewer --jobs need less "
                            "memory"
                        ) from None
                    del running[connection]
                    connection.close()
                    teams.append(team)
                    order.done(job)
                else:
                    if isinstance(told, UserError):
                        raise told
                    shop.progress(*told)
    except BaseException:
        for worker, *_ in running.values():
            worker.process.terminate()
        for worker, *_ in running.values():
            worker.wait(seconds=60)  # for a checkpoint after the compiled call that runs
        raise
    finally:
        for worker, *_ in running.values():
            worker.stop()


def _train(parent: Connection) -> None:
    """Train the job that the other end sends, after the cores to use and the user's files that it may be made of."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the other end's way to stop it
    stay_on(parent.recv())
    for file in parent.recv():
        use(file)
    study, out, data, job = parent.recv()
    end_with(parent)
    try:
        Workshop(study, out, data, lambda *message: parent.send(message)).run(job)
    except UserError as error:
        parent.send(error)
