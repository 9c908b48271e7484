"""What a study file says: environments, training settings and methods to compare."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from qgf.environments import family_of
from qgf.environments.simulators import Missing
from qgf.errors import UserError, unknown
from qgf.playing.arm import Arm
from qgf.playing.tune import TUNING_SEED, Candidate, candidates
from qgf.training.config import TrainConfig
from qgf.training.options import make_method, options


@dataclass(frozen=True)
class Environment:
    """Tasks of one dataset, or goals: those of pointmaze-medium-navigate-oraclerep have one run for all of them."""

    name: str  # environment and kind of data, pointmaze-medium-navigate
    tasks: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)  # training seeds
    transitions: int | None = None  # to collect, default as published
    train: str = ""  # the training settings of its runs, by default the only ones there are

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
    rungs: tuple[int, ...] = (8, 16)  # tuning episodes per task, on the first training seed
    tuning_tasks: int | None = None  # tune on the first so many tasks of each environment, default all
    use: tuple[Path, ...] = field(default=())  # files of one's own estimators and methods


class Kind(NamedTuple):
    """What a key of the file may hold."""

    words: str
    holds: Callable[[Any], bool]


def several(kind: Kind, distinct: bool = False) -> Kind:
    """A list of at least one."""
    single = lambda x: not distinct or len(set(x)) == len(x)
    holds = lambda x: isinstance(x, list) and len(x) > 0 and all(map(kind.holds, x)) and single(x)
    return Kind(f"a list, each {kind.words}{', none twice' if distinct else ''}", holds)


def grid(kind: Kind) -> Kind:
    """One, or a list to choose from."""
    return Kind(f"{kind.words}, or a list", lambda x: kind.holds(x) or several(kind).holds(x))


SEED = Kind("a whole number from 0", lambda x: type(x) is int and x >= 0)
COUNT = Kind("a whole number from 1", lambda x: type(x) is int and x >= 1)
WHOLE = Kind("a whole number", lambda x: type(x) is int)
NUMBER = Kind("a number", lambda x: type(x) in (int, float) and isfinite(x))
TEXT = Kind("text", lambda x: isinstance(x, str))
FLAG = Kind("true or false", lambda x: isinstance(x, bool))
TABLE = Kind("a table", lambda x: isinstance(x, dict))
TABLES = Kind("tables, [[environment]]", lambda x: isinstance(x, list) and all(map(TABLE.holds, x)))
TYPES = {int: WHOLE, float: NUMBER, str: TEXT, bool: FLAG}

ARM = dict(guide=grid(TEXT), strength=grid(NUMBER), weight=grid(NUMBER), best_of=grid(COUNT), schedule=grid(TEXT))
STUDY = dict(
    environment=TABLES, train=TABLE, method=TABLE, tuning=TABLE, episodes=COUNT, seed=SEED, use=several(TEXT)
)  # fmt: skip
ENVIRONMENT = dict(
    name=TEXT, tasks=several(COUNT, distinct=True), seeds=several(SEED, distinct=True), transitions=COUNT, train=TEXT
)  # fmt: skip
SHARED = dict(method=TEXT, flow=TEXT, critic_from=TEXT)  # keys of every training
TUNING = dict(rungs=several(COUNT), seed=SEED, tasks=COUNT)
METHOD = ARM | dict(steps=COUNT, tune=TEXT, train=grid(TEXT))


def read_study(path: str | Path) -> Study:
    """Read a study file (TOML). Raises UserError naming the section and key that is wrong.

    Files named by `use` are imported first, so that what they add can be named here.
    """
    from qgf.plugins import use as import_file

    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not a study file ({error})") from error
    _check(f"{path}", content, STUDY)
    files = tuple(path.parent / name for name in content.get("use", ()))
    for file in files:
        import_file(file)
    for name in ("environment", "train", "method"):
        if not content.get(name):
            raise UserError(f"{path}: no [{name}] section, a study needs at least one")
    tuning = content.get("tuning", {})
    _check(f"{path}, [tuning]", tuning, TUNING)
    grids = {name: _trainings(f"{path}, [train.{name}]", name, x) for name, x in content["train"].items()}
    trainings = {name: training for grid in grids.values() for name, training in grid.items()}
    if twice := [name for name, n in Counter(name for grid in grids.values() for name in grid).items() if n > 1]:
        raise UserError(f"{path}: [train.{twice[0]}] is what a list makes of another section too; rename one")
    _check_donors(path, trainings)
    environments = tuple(_environment(f"{path}, [environment]", x, trainings) for x in content["environment"])
    if len({env.name for env in environments}) < len(environments):
        raise UserError(f"{path}, [environment]: one name twice; put its tasks and seeds together")
    methods = {name: _method(f"{path}, [method.{name}]", x, grids) for name, x in content["method"].items()}
    study = Study(
        name=path.stem,
        environments=environments,
        trainings=trainings,
        methods={"none": Method((Arm("none"),), "never")} | methods,  # none is what everything is compared with
        use=files,
        **{name: content[name] for name in ("episodes", "seed") if name in content},
    )
    fields = dict(seed="tuning_seed", tasks="tuning_tasks", rungs="rungs")
    study = replace(study, **{fields[k]: _tuple(x) for k, x in tuning.items()})
    if study.seed == study.tuning_seed:
        raise UserError(f"{path}: seed and the tuning seed are both {study.seed}; results must be on other episodes")
    return study


def _check(where: str, fields: Any, kinds: Mapping[str, Kind]) -> None:
    """Raises UserError unless `fields` is a table of known keys, each of its kind."""
    for key, x in _table(where, fields).items():
        if key not in kinds:
            raise UserError(f"{where}: {unknown('key', key, kinds)}")
        if not kinds[key].holds(x):
            raise UserError(f"{where}: {key} must be {kinds[key].words}, got {x!r}")


def _table(where: str, fields: Any) -> dict:
    if not TABLE.holds(fields):
        raise UserError(f"{where} must be a table, got {fields!r}")
    return fields


def _tuple(x):
    return tuple(x) if isinstance(x, list) else x


def _environment(where: str, fields: dict, trainings: Mapping[str, Training]) -> Environment:
    _check(where, fields, ENVIRONMENT)
    if missing := [name for name in ("name", "tasks") if name not in fields]:
        raise UserError(f"{where}: key {missing[0]!r} is missing")
    env = Environment(**{k: _tuple(x) for k, x in fields.items()})
    train = env.train or next(iter(trainings))
    if train not in trainings:
        raise UserError(f"{where} {env.name}: {unknown('training', train, trainings)}")
    for task in env.tasks:
        try:
            family_of(env.name).check(env.full(task))
        except Missing:  # no simulators here, but what was played can be read
            break
        except UserError as error:
            raise UserError(f"{where} {env.name}, task {task}: {error}") from None
    return replace(env, train=train)


def _trainings(where: str, name: str, fields: Any) -> dict[str, Training]:
    """[train.NAME]: NAME, or of options that are lists every combination, NAME-alpha-3, NAME-alpha-10."""
    many = {key: x for key, x in _table(where, fields).items() if isinstance(x, list) and key not in SHARED}
    for key, x in many.items():
        if not x:
            raise UserError(f"{where}: {key} is an empty list; give one value, or several to choose from")
    made = {}
    for values in product(*many.values()):
        one = dict(zip(many, values, strict=True))
        made["-".join([name, *(f"{key}-{x}" for key, x in one.items())])] = _training(where, fields | one)
    return made


def _training(where: str, fields: dict) -> Training:
    """The options of `qgf train` and of its method, and `flow` and `critic_from`."""
    names = {key: str(x) for key, x in _table(where, fields).items() if key in ("method", "critic")}
    try:
        own = {name: _kind(hint) for name, hint in options(**names).items()}
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    general = {name: _kind(hint) for name, hint in get_type_hints(TrainConfig).items()}
    for key in ("method", "seed", "seeds"):
        del general[key]
    _check(where, fields, general | own | SHARED | dict(critic=TEXT))
    given = {k: x for k, x in fields.items() if k not in SHARED and k != "critic"}
    try:
        method = make_method(**names, **{k: x for k, x in given.items() if k in own})
        config = TrainConfig(method=method, **{k: x for k, x in given.items() if k not in own})
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return Training(config, fields.get("flow", ""), fields.get("critic_from", ""))


def _kind(hint: Any) -> Kind:
    """What an option may hold, by its annotation."""
    if get_origin(hint) is Literal:
        return Kind(f"one of {', '.join(map(str, get_args(hint)))}", lambda x: x in get_args(hint))
    if get_origin(hint) is Union:  # Optional: None is said by leaving the key out
        (hint,) = set(get_args(hint)) - {type(None)}
    return TYPES.get(hint, Kind("anything", lambda x: True))


def _check_donors(path: Path, trainings: Mapping[str, Training]) -> None:
    """Raises UserError if `flow` or `critic_from` name no other training, or if trainings wait for one another."""
    waits: dict[str, set[str]] = {}
    for name, training in trainings.items():
        for key in ("flow", "critic_from"):
            lender = getattr(training, key)
            if lender and lender not in trainings:
                raise UserError(f"{path}, [train.{name}] {key}: {unknown('training', lender, trainings)}")
        waits[name] = {training.flow, training.critic_from} - {""}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        raise UserError(f"{path}: trainings borrow from one another: {' -> '.join(error.args[1])}") from None


def _method(where: str, fields: dict, grids: Mapping[str, Mapping[str, Training]]) -> Method:
    """[method.NAME]: lists of guide, strength or weight, best_of, schedule and train are grids to choose from, and so
    is a [train.NAME] with lists.
    """
    _check(where, fields, METHOD)
    many = {k: x if isinstance(x, list) else [x] for k, x in fields.items() if k in ARM or k == "train"}
    for name in many.get("train", ()):
        if name not in grids:
            raise UserError(f"{where}: {unknown('training', name, grids)}")
    trains = tuple(dict.fromkeys(train for name in many.get("train", ()) for train in grids[name]))
    try:
        arms = candidates(
            many.get("guide", ["qgf"]), many.get("strength", ()), many.get("weight", ()),
            many.get("best_of", (1,)), many.get("schedule", ("constant",)),
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    choices = len(arms) * max(1, len(trains))
    tune = fields.get("tune", "halving" if choices > 1 else "never")
    if tune not in (ways := ("halving", "offline", "never")):
        raise UserError(f"{where}: {unknown('tune', tune, ways)}")
    if tune == "never" and choices > 1:
        raise UserError(f"{where}: {choices} arms and nothing to choose by; give one strength and one train")
    same = {replace(arm, strength=None) for arm in arms}
    if tune == "offline" and (len(same) > 1 or arms[0].strength is None or len(trains) > 1):
        raise UserError(
            f"{where}: offline chooses among strengths; give one guide, best_of, schedule and train, and no weight"
        )
    return Method(tuple(replace(arm, steps=fields.get("steps")) for arm in arms), tune, trains)
