"""Where a study's datasets, runs and environments come from, made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

import jax

from qgf.data import Dataset
from qgf.data.stored import Stored
from qgf.environments import family_of
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError
from qgf.files import read_json
from qgf.laboratory.engines import ENGINES
from qgf.laboratory.engines.engine import LOCAL, Asked, Died, Engine, Here, perform
from qgf.laboratory.engines.local import Local
from qgf.laboratory.study import Environment, Study
from qgf.method.policy import Policy
from qgf.playing.arm import Arm
from qgf.playing.episodes import environments
from qgf.playing.ledger import Ledger, Player
from qgf.playing.measure import solved
from qgf.playing.rows import Row
from qgf.plugins import FILES
from qgf.processes import cores
from qgf.training.config import TrainConfig
from qgf.training.export import listed
from qgf.training.folder import FREE
from qgf.training.loop import train
from qgf.training.run import Run
from qgf.training.trained import Record, load_trained

POLICIES = 8
"""How many are held in memory, the latest."""
Noted = Callable[[str, int, int, str], None]
"""(name of the work, done, total, a word on it)."""


class Job(NamedTuple):
    """One run of a study. Of an environment with goals, whose runs serve all of them, the task is the first."""

    env: Environment
    task: int
    train: str
    seed: int


class Block(NamedTuple):
    """Episodes that one arm of a run's policy plays in one task."""

    job: Job
    task: int
    arm: Arm
    split: str
    seed: int
    first: int
    episodes: int

    @property
    def asked(self) -> tuple[Arm, str, int, int, int]:
        """What a player is asked for."""
        return self[2:]


Step: TypeAlias = Job | Block


class Place(NamedTuple):
    """What a task has to know of its study."""

    study: Study
    out: Path
    data: Path


@dataclass
class Workshop:
    study: Study
    out: Path
    data: Path
    progress: Noted
    jobs: int | None = None  # tasks at a time
    asked: Asked = LOCAL
    engine: Engine | None = None  # once something was missing
    policies: dict[Path, Policy] = field(default_factory=dict)
    envs: dict[tuple[Environment, int, int], Any] = field(default_factory=dict)  # of one task, by horizon
    said: SimpleQueue = field(default_factory=SimpleQueue)  # by tasks

    def close(self) -> None:
        """End the processes of the engine and of environments."""
        if self.engine:
            self.engine.close()
            self.engine = None
        self._close_envs()

    def _close_envs(self) -> None:
        while self.envs:
            self.envs.popitem()[1].close()

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

    def make(self, jobs: Iterable[Job], blocks: Iterable[Block] = ()) -> None:
        """Train what is missing of `jobs`, play what is missing of `blocks`, after what they need, several at a time.

        On this machine every process has cores of its own: small networks do not fill a machine. How many cores is a
        property of the study and the machine, as sums over another number of them differ in the last bit. Raises
        UserError if a step fails; the others are stopped, and go on in the next call.
        """
        missing = [block for block in dict.fromkeys(blocks) if not self.found(block)]
        runs: dict[Job, list[Job]] = {}
        for job in dict.fromkeys([*jobs, *(block.job for block in missing)]):
            self._add_missing(job, runs)
        steps: dict[Step, Collection[Step]] = {job: lenders for job, lenders in runs.items()}
        steps |= {block: [block.job] if block.job in runs else [] for block in missing}
        if steps:
            self.engine = self.engine or self._engine()
            for env in {job.env: None for job in runs}:
                self.collected(env)
            played: list[Row] = []
            try:
                done = lambda step, future: self._done(step, future, played)
                perform(self.engine, steps, self._submit, done, self.said, self.progress)
            finally:
                self.ledger.add(*played)

    def _engine(self) -> Engine:
        files = [file.resolve() for file in dict.fromkeys([*FILES, *self.study.use])]
        if self.asked.name != LOCAL.name:
            return ENGINES.find(self.asked.name)(self.asked, files, self.out.absolute() / self.study.name / "jobs")
        teams, own = self._teams(), cores()
        if teams == 1:
            return Here(self.progress)
        share = len(own) // teams
        tell = lambda *words: self.said.put(words)
        return Local([own[k * share :][:share] for k in range(teams)], files, tell)

    def _submit(self, step: Step) -> Future:
        assert self.engine
        place = Place(self.study, self.out.absolute(), self.data.absolute())
        return self.engine.submit(train_job if isinstance(step, Job) else play_block, place, step)

    def _done(self, step: Step, future: Future, played: list[Row]) -> None:
        """Note what a step returned. A large ledger is written when a hundredth of its rows is new, since it is written
        whole: so writing takes a time for each row that does not grow.
        """
        try:
            result = future.result()
        except Died as error:
            what = "its training" if isinstance(step, Job) else f"playing {step.arm.label}"
            raise UserError(f"{self.directory(step if isinstance(step, Job) else step.job)}: {what} {error}") from None
        if isinstance(step, Block):
            played.append(result)
            if 100 * len(played) >= len(self.ledger.rows):
                self.ledger.add(*played)
                played.clear()

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
            lenders = [lender for lender in self.lenders(job) if lender and not self.finished(lender)]
            for lender in lenders:
                self._add_missing(lender, missing)
            missing[job] = lenders

    def policy(self, job: Job) -> Policy:
        directory = self.run(job)
        if directory not in self.policies:
            while len(self.policies) >= POLICIES:
                del self.policies[next(iter(self.policies))]
            self.policies[directory] = load_trained(directory).policy()
        return self.policies[directory]

    def block(self, env: Environment, task: int, train: str, seed: int, *asked: Any) -> Block:
        return Block(self.job(env, task, train, seed), task, *asked)

    def found(self, block: Block) -> Row | None:
        """The row of a block, if it has been played."""
        return self.player(block.job.env, block.task, block.job.train, block.job.seed).find(*block.asked)

    def player(self, env: Environment, task: int, train: str, seed: int) -> Player:
        """The player of one task with one run's policy; the players of a task share environment processes."""
        config, where = self.study.trainings[train].config, f"{env.name} {task}"
        tell = lambda arm, done, wins, total: self.progress(f"{where}, {arm}", done, total, solved(wins))
        policy = lambda: self.policy(self.job(env, task, train, seed))
        own = lambda: self._environments(env, task, config.horizon)
        return Player(policy, env.full(task), self.ledger, own, train, seed, seed, config.steps, env.success, tell)

    def _environments(self, env: Environment, task: int, horizon: int) -> Any:
        if any(whose[:2] != (env, task) for whose in self.envs):
            self._close_envs()
        if (whose := (env, task, horizon)) not in self.envs:
            most = max(self.study.episodes, *self.study.rungs)
            self.envs[whose] = environments(env.full(task), horizon, most, rule=env.success)
        return self.envs[whose]


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


def train_job(place: Place, job: Job, tell: Noted) -> None:
    """The task of an engine: a run, trained to its end after those that it borrows from."""
    _workshop(place, tell).run(job)


def play_block(place: Place, block: Block, tell: Noted) -> Row:
    """The task of an engine: a block of episodes, with what was measured, for whoever writes the ledger."""
    shop = _workshop(place, tell)
    return shop.player(block.job.env, block.task, block.job.train, block.job.seed).played(*block.asked)


_own: dict[str, Workshop] = {}
"""The workshop of a process that performs tasks, which has its policies and its environments for the next."""


def _workshop(place: Place, tell: Noted) -> Workshop:
    known = repr(place)
    if known not in _own:
        for other in _own.values():
            other.close()
        _own.clear()
        _own[known] = Workshop(*place, tell)
    _own[known].progress = tell
    return _own[known]
