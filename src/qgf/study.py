"""What a study file says: environments, training settings and methods to compare."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qgf.config import TrainConfig
from qgf.errors import UserError, unknown
from qgf.evaluation import Arm
from qgf.methods import METHODS
from qgf.tuning import TUNING_SEED, candidates


@dataclass(frozen=True)
class Environment:
    """Tasks of one dataset."""

    name: str  # environment and kind of data, pointmaze-medium-navigate
    tasks: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)  # training seeds
    transitions: int | None = None  # to collect, default as published
    train: str = ""  # the training settings of its runs, by default the only ones there are

    def full(self, task: int) -> str:
        return f"{self.name}-singletask-task{task}-v0"


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
    train: str = ""  # training settings, by default the environment's


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


ARM = ("guide", "strength", "weight", "best_of", "schedule", "steps")
ALLOWED = {
    "study": {"environment", "train", "method", "tuning", "episodes", "seed", "use"},
    "environment": {f.name for f in dataclasses.fields(Environment)},
    "tuning": {"rungs", "seed", "tasks"},
    "method": {*ARM, "tune", "train"},
}


def read_study(path: str | Path) -> Study:
    """Read a study file (TOML). Raises UserError naming the section and key that is wrong.

    Files named by `use` are imported first, so that what they add can be named here.
    """
    from qgf.plugins import use as import_file

    path = Path(path)
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a study file ({error})") from error
    _check(path, "study", "", content)
    files = tuple(path.parent / name for name in content.get("use", ()))
    for file in files:
        import_file(file)
    for name in ("environment", "train", "method"):
        if not content.get(name):
            raise UserError(f"{path}: no [{name}] section, a study needs at least one")
    tuning = content.get("tuning", {})
    _check(path, "tuning", "", tuning)
    trainings = {name: _training(path, name, fields) for name, fields in content["train"].items()}
    study = Study(
        name=path.stem,
        environments=tuple(_environment(path, fields, trainings) for fields in content["environment"]),
        trainings=trainings,
        methods={"none": Method((Arm("none"),), "never")}  # what everything is compared with
        | {name: _method(path, name, fields, trainings) for name, fields in content["method"].items()},
        use=files,
        **{name: content[name] for name in ("episodes", "seed") if name in content},
    )
    fields = dict(seed="tuning_seed", tasks="tuning_tasks", rungs="rungs")
    study = replace(study, **{fields[k]: _tuple(x) for k, x in tuning.items()})
    if study.seed == study.tuning_seed:
        raise UserError(f"{path}: seed and the tuning seed are both {study.seed}; results must be on other episodes")
    return study


def _check(path: Path, section: str, name: str, fields: Mapping[str, Any]) -> None:
    where = f"[{section}.{name}]" if name else f"[{section}]" if section != "study" else "the file"
    if not isinstance(fields, Mapping):
        raise UserError(f"{path}: {where} must be a table")
    for key in fields:
        if key not in ALLOWED[section]:
            raise UserError(f"{path}, {where}: {unknown('key', key, ALLOWED[section])}")


def _tuple(x):
    return tuple(x) if isinstance(x, list) else x


def _environment(path: Path, fields: dict, trainings: dict[str, Training]) -> Environment:
    _check(path, "environment", "", fields)
    try:
        env = Environment(**{k: _tuple(x) for k, x in fields.items()})
    except TypeError as error:
        raise UserError(f"{path}, [environment]: {error}") from None
    train = env.train or next(iter(trainings))
    if train not in trainings:
        raise UserError(f"{path}, [environment] {env.name}: {unknown('training', train, trainings)}")
    return replace(env, train=train)


def _training(path: Path, name: str, fields: dict) -> Training:
    """[train.NAME]: the options of `qgf train` and of its method, and `flow` and `critic_from`."""
    options = dict(fields)
    method = options.pop("method", "iql")
    if method not in METHODS:
        raise UserError(f"{path}, [train.{name}]: {unknown('method', method, METHODS)}")
    donors = {key: options.pop(key, "") for key in ("flow", "critic_from")}
    own = {f.name for f in dataclasses.fields(METHODS[method])}
    general = {f.name for f in dataclasses.fields(TrainConfig)} - {"method", "seed", "seeds"}
    for key in options:
        if key not in own | general:
            raise UserError(f"{path}, [train.{name}]: {unknown('key', key, own | general)}")
    made = METHODS[method](**{k: x for k, x in options.items() if k in own})
    config = TrainConfig(method=made, **{k: x for k, x in options.items() if k in general})
    return Training(config, **donors)


def _method(path: Path, name: str, fields: dict, trainings: dict[str, Training]) -> Method:
    """[method.NAME]: lists of guide, strength or weight, best_of and schedule are grids to choose from."""
    _check(path, "method", name, fields)
    many = {k: x if isinstance(x, list) else [x] for k, x in fields.items() if k in ARM}
    train = fields.get("train", "")
    if train and train not in trainings:
        raise UserError(f"{path}, [method.{name}]: {unknown('training', train, trainings)}")
    try:
        arms = candidates(
            many.get("guide", ["qgf"]), many.get("strength", ()), many.get("weight", ()),
            many.get("best_of", (1,)), many.get("schedule", ("constant",)),
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{path}, [method.{name}]: {error}") from error
    tune = fields.get("tune", "halving" if len(arms) > 1 else "never")
    if tune not in ("halving", "offline", "never"):
        raise UserError(f"{path}, [method.{name}]: tune must be halving, offline or never, got {tune}")
    if tune == "never" and len(arms) > 1:
        raise UserError(f"{path}, [method.{name}]: {len(arms)} arms and nothing to choose by; give one strength")
    steps = many.get("steps", [None])[0]
    return Method(tuple(replace(arm, steps=steps) for arm in arms), tune, train)
