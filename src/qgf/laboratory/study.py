"""What a study file says: environments, training settings and methods to compare."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path
from typing import Any, Literal

from qgf.environments import family_of
from qgf.environments.family import named_by
from qgf.environments.simulators import Missing
from qgf.environments.success import Rule
from qgf.errors import UserError, unknown
from qgf.files import convert, placed, quoted, read_toml
from qgf.laboratory.study_file import SHARED, File, Tasks, Tuning, Way, options_of, several, swept
from qgf.playing.arm import Arm
from qgf.playing.tune import TUNING_SEED, Candidate, candidates
from qgf.plugins import is_used
from qgf.training.config import TrainConfig, configured
from qgf.training.loggers import LOGGERS


@dataclass(frozen=True)
class Environment:
    """Tasks of one dataset, or goals: those of pointmaze-medium-navigate-oraclerep have one run for all of them."""

    name: str  # environment and kind of data, pointmaze-medium-navigate
    tasks: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)  # training seeds
    transitions: int | None = None  # to collect, default as published
    train: str = ""  # the training settings of its runs, by default the only ones there are
    success: str = ""  # what that is, if the environment does not say (a rule, see `playing.evaluate`)

    def full(self, task: int) -> str:
        """The name of the environment of one task."""
        return family_of(self.name).task(self.name, task)

    @property
    def goals(self) -> bool:
        """Whether one run serves all tasks."""
        return self.trained(self.tasks[0]) != self.full(self.tasks[0])

    def trained(self, task: int) -> str:
        """The name of the data that the run which plays `task` is trained on."""
        full = self.full(task)
        return family_of(full).trained(full)


@dataclass(frozen=True)
class Training:
    """One way to train; `flow` and `critic_from` name other ways whose networks are used."""

    config: TrainConfig
    flow: str = ""
    critic_from: str = ""


@dataclass(frozen=True)
class Method:
    """A row of the results: one arm, or several to choose from on tuning episodes (`tune`)."""

    arms: tuple[Arm, ...]
    tune: Literal["halving", "offline", "never"] = "halving"
    trains: tuple[str, ...] = ()  # training settings, by default the environment's; of several the best is chosen too

    def candidates(self, env: Environment) -> list[Candidate]:
        """What there is to choose from."""
        return [Candidate(train, arm) for train in self.trains or (env.train,) for arm in self.arms]


@dataclass(frozen=True)
class Study:
    name: str
    environments: tuple[Environment, ...]
    trainings: dict[str, Training]
    methods: dict[str, Method]
    episodes: int = 50  # per task and training seed, held out
    seed: int = 0  # of the held-out episodes
    tuning_seed: int = TUNING_SEED
    tuning_policy_seed: int | None = None  # training seed that plays them, default the first that is reported
    rungs: tuple[int, ...] = (8, 16)  # tuning episodes per task
    tuning_tasks: int | None = None  # tune on the first so many tasks of each environment, default all
    use: tuple[Path, ...] = field(default=())  # files of what is one's own
    log: tuple[str, ...] = ()  # loggers of the trainings


def read_study(path: str | Path) -> Study:
    """Read a study file (TOML). Raises UserError naming the place in it that is wrong.

    Files named by `use` are those of one's own that it needs. They are code: they have to be used already.
    """
    path = Path(path)
    content = swept(path, read_toml(path, File))
    files = tuple(path.parent / name for name in content.use or ())
    for file in files:
        if not is_used(file):
            told = shlex.join(["qgf", "--use", str(file), "compare", str(path)])
            raise UserError(f"{path}: at use: {file} is code, which would run with your rights; read it, then: {told}")
    with placed(path, "log"):
        for name in content.log:
            LOGGERS.find(name)
    for name in ("environment", "train", "method"):
        if not getattr(content, name):
            raise UserError(f"{path}: no [{name}] section, a study needs at least one")
    tuning = convert(path, content.tuning, Tuning, "tuning")
    grids = {name: _trainings(path, name, fields) for name, fields in content.train.items()}
    trainings = {name: training for grid in grids.values() for name, training in grid.items()}
    if twice := _first_of_two(name for grid in grids.values() for name in grid):
        raise UserError(f"{path}: at train.{quoted(twice)}: a list makes this of another section, too; rename one")
    _check_donors(path, trainings)
    alike: dict[str, str] = {}
    for name in trainings:  # a run's folder has the name in its own
        if (other := alike.setdefault(name.casefold(), name)) != name:
            raise UserError(f"{path}: at train: {other} and {name} differ in their case alone, which some disks ignore")
    parts = [convert(path, x, Tasks, f"environment[{k}]") for k, x in enumerate(content.environment)]
    environments = tuple(_environment(path, f"environment[{k}]", x, trainings) for k, x in enumerate(parts))
    if twice := _first_of_two(env.name for env in environments):
        raise UserError(f"{path}: at environment: {twice} is there twice; put its tasks and seeds together")
    methods = _methods(path, content.method, grids)
    study = Study(
        name=path.stem,
        environments=environments,
        trainings=trainings,
        methods={"none": Method((Arm("none"),), "never")} | methods,  # none is what everything is compared with
        episodes=content.episodes,
        seed=content.seed,
        tuning_seed=TUNING_SEED if tuning.seed is None else tuning.seed,
        tuning_policy_seed=tuning.policy_seed,
        tuning_tasks=tuning.tasks,
        use=files,
        log=tuple(content.log),
    )
    study = study if tuning.rungs is None else replace(study, rungs=tuple(tuning.rungs))
    if study.seed == study.tuning_seed:
        raise UserError(f"{path}: seed and the tuning seed are both {study.seed}; results must be on other episodes")
    if own := [env.name for env in environments if tuning.policy_seed in env.seeds]:
        told = f"reported for {own[0]}; leave it out to tune on the first that is, or take one that is not"
        raise UserError(f"{path}: at tuning.policy_seed: training seed {tuning.policy_seed} is {told}")
    return study


def _first_of_two(names: Iterable[str]) -> str:
    """A name that is there twice, or none."""
    return next((name for name, n in Counter(names).items() if n > 1), "")


def _environment(path: Path, at: str, part: Tasks, trainings: Mapping[str, Training]) -> Environment:
    train = part.train or next(iter(trainings))
    if train not in trainings:
        raise UserError(f"{path}: at {at}.train: {unknown('training', train, trainings)}")
    with placed(path, f"{at}.success"):
        _ = part.success and Rule.of(part.success)
    env = Environment(part.name, tuple(part.tasks), tuple(part.seeds), part.transitions, train, part.success)
    named_by(path, env.name)
    for task in env.tasks:
        try:
            family_of(env.name).check(env.full(task))
        except Missing:  # no simulators here, but what was played can be read
            break
        except UserError as error:
            raise UserError(f"{path}: at {at}: {env.name}, task {task}: {error}") from None
    return env


def _trainings(path: Path, name: str, fields: Any) -> dict[str, Training]:
    """[train.NAME]: NAME, or of options that are lists every combination, NAME-alpha-3, NAME-alpha-10."""
    at = f"train.{quoted(name)}"
    table = convert(path, fields, dict[str, Any], at)
    many = {key: x for key, x in table.items() if isinstance(x, list) and (key not in SHARED or key == "critic")}
    for key, x in many.items():
        if not x:
            raise UserError(f"{path}: at {at}.{key}: an empty list; give one value, or several to choose from")
    made = {}
    for values in product(*many.values()):
        one = dict(zip(many, values, strict=True))
        made["-".join([name, *(f"{key}-{x}" for key, x in one.items())])] = _training(path, at, table | one)
    return made


def _training(path: Path, at: str, fields: Any) -> Training:
    """The options of `qgf train`, of its method and its critic, and `flow` and `critic_from`."""
    known = dict(options_of(path, at, fields))
    donors = {key: known.pop(key, "") for key in ("flow", "critic_from")}
    with placed(path, at):
        return Training(configured(**known), **donors)


def _check_donors(path: Path, trainings: Mapping[str, Training]) -> None:
    """Raises UserError if `flow` or `critic_from` name no other training, or if trainings wait for one another."""
    waits: dict[str, set[str]] = {}
    for name, training in trainings.items():
        for key in ("flow", "critic_from"):
            lender = getattr(training, key)
            if lender and lender not in trainings:
                raise UserError(f"{path}: at train.{quoted(name)}.{key}: {unknown('training', lender, trainings)}")
        waits[name] = {training.flow, training.critic_from} - {""}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        raise UserError(f"{path}: trainings borrow from one another: {' -> '.join(error.args[1])}") from None


Grids = Mapping[str, Mapping[str, Training]]


def _methods(path: Path, sections: Mapping[str, Any], grids: Grids) -> dict[str, Method]:
    """[method.NAME]: one method, or with `each` a method of every arm and training, NAME 0.5, NAME 1."""
    made: dict[str, Method] = {}
    for name, fields in sections.items():
        at = f"method.{quoted(name)}"
        way = convert(path, fields, Way, at)
        method = _method(path, at, way, grids)
        rows = _each(path, name, method) if way.each else {name: method}
        if twice := [row for row in rows if row in made or (row != name and row in sections)]:
            raise UserError(f"{path}: at {at}: {twice[0]} is another section, too; rename one")
        made |= rows
    return made


def _method(path: Path, at: str, way: Way, grids: Grids) -> Method:
    """Lists are grids to choose from, and so is a [train.NAME] with lists."""
    for name in several(way.train):
        if name not in grids:
            raise UserError(f"{path}: at {at}.train: {unknown('training', name, grids)}")
    trains = tuple(dict.fromkeys(train for name in several(way.train) for train in grids[name]))
    with placed(path, at):
        arms = candidates(
            several(way.guide), several(way.strength), several(way.weight), several(way.best_of), several(way.schedule),
            members=[str(x) for x in several(way.members)], choose=[str(x) for x in several(way.choose)],
            robust=way.robust, fallback=several(way.fallback), cap_step=way.cap_step, cap_dim=way.cap_dim,
            execute=several(way.execute) or (None,), warm=way.warm, steps=way.steps, solver=way.solver,
            guide_steps=several(way.guide_steps) or (None,), metric=several(way.metric), guided_dims=way.guided_dims,
        )  # fmt: skip
    choices = len(arms) * max(1, len(trains))
    tune = way.tune or ("halving" if choices > 1 and not way.each else "never")
    if way.each and way.tune not in (None, "never"):
        raise UserError(f"{path}: at {at}: each reports all that is in the lists, nothing is chosen; leave tune out")
    if tune == "never" and choices > 1 and not way.each:
        raise UserError(
            f"{path}: at {at}: {choices} arms and nothing to choose by; for a row of results of each write each = true"
        )
    same = {replace(arm, strength=None) for arm in arms}
    if tune == "offline" and (len(same) > 1 or arms[0].strength is None or len(trains) > 1):
        more = "one training" if len(trains) > 1 else "one of everything else, and no weight"
        raise UserError(f"{path}: at {at}: offline chooses among strengths; give {more}")
    return Method(tuple(arms), tune, trains)


def _each(path: Path, name: str, method: Method) -> dict[str, Method]:
    """A method of everything in the lists, under a name that says what is in more than one way."""
    differ = lambda key: len({getattr(arm, key) for arm in method.arms}) > 1
    words = dict(guide="{}", schedule="{}", strength="{:g}", weight="w={:g}", best_of="best-of-{}")
    words |= dict(members="members {}", choose="choose {}", fallback="fallback {}")
    words |= dict(execute="execute {}", guide_steps="asked {}")
    shown = {key: word for key, word in words.items() if differ(key)}
    rows: dict[str, Method] = {}
    for train, arm in product(method.trains or ("",), method.arms):
        told = [word.format(x) for key, word in shown.items() if (x := getattr(arm, key)) is not None]
        row = " ".join([name, *told, *([train] if len(method.trains) > 1 else [])])
        if row in rows:
            raise UserError(f"{path}: at method.{quoted(name)}: two of its rows would be called {row}; write two")
        rows[row] = Method((arm,), "never", (train,) if train else ())
    return rows
