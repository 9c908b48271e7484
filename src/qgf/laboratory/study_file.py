"""What may stand in a study file: its sections as types, by which it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from qgf.errors import UserError
from qgf.files import Count, Finite, Number, Seed, convert, placed, quoted, table_of
from qgf.training.config import TrainConfig
from qgf.training.options import options

X = TypeVar("X")
Several: TypeAlias = Annotated[list[X], Meta(min_length=1)]
OneOrSeveral: TypeAlias = X | Several[X]
"""One, or a list to choose from."""


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A section of the file, which has no keys but its own."""


class File(Section):
    environment: list[Any] = []
    train: dict[str, Any] = {}
    method: dict[str, Any] = {}
    tuning: Any = {}
    sweep: dict[str, Any] = {}
    episodes: Count = 50
    seed: Seed = 0
    use: Several[str] | None = None
    log: list[str] = []


class Tasks(Section):
    """[[environment]]"""

    name: str
    tasks: Several[Count]
    seeds: Several[Seed] = msgspec.field(default_factory=lambda: [0])
    transitions: Count | None = None
    train: str = ""
    success: str = ""

    def __post_init__(self):
        for key in ("tasks", "seeds"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: no number may stand there twice, got {getattr(self, key)}")


class Tuning(Section):
    """[tuning]"""

    rungs: Several[Count] | None = None
    seed: Seed | None = None
    policy_seed: Seed | None = None
    tasks: Count | None = None


class Way(Section):
    """[method.NAME]"""

    guide: OneOrSeveral[str] = "qgf"
    strength: OneOrSeveral[Finite] = []
    weight: OneOrSeveral[Finite] = []
    best_of: OneOrSeveral[Count] = 1
    schedule: OneOrSeveral[str] = "constant"
    members: OneOrSeveral[str | int] = "own"
    choose: OneOrSeveral[str | int] = "own"
    robust: bool = False
    fallback: OneOrSeveral[str] = "none"
    cap_step: Finite | None = None
    cap_dim: Finite | None = None
    metric: OneOrSeveral[Literal["none", "sigma"]] = "none"
    guided_dims: list[Number] = []
    train: OneOrSeveral[str] = []
    steps: Count | None = None
    solver: Literal["euler", "midpoint"] | None = None
    guide_steps: OneOrSeveral[Count] = []
    execute: OneOrSeveral[Count] = []
    warm: Finite | None = None
    tune: Literal["halving", "offline", "never"] | None = None
    each: bool = False  # a row of results for everything in the lists


def swept(where: str | Path, content: File) -> File:
    """The file as it would be with its [sweep] written out: the seeds in every environment, the lists of options in
    every [train.NAME], and each of the trainings a row of every method that names none.
    """
    if not content.sweep:
        return content
    settings = dict(content.sweep)
    for key, x in settings.items():
        if not isinstance(x, list):
            raise UserError(f"{where}: at sweep.{key}: one value is no sweep; give a list, or put it into [train.NAME]")
    seeds = {"seeds": settings.pop("seeds")} if "seeds" in settings else {}
    each = dict(train=list(content.train), each=True) if settings else {}

    def with_(more: dict[str, Any], at: str, part: Any) -> dict[str, Any]:
        own = convert(where, part, dict[str, Any], at)
        if twice := own.keys() & more.keys():
            raise UserError(f"{where}: at {at}.{min(twice)}: [sweep] says it, too; leave one out")
        return own | more

    environment = [with_(seeds, f"environment[{k}]", x) for k, x in enumerate(content.environment)]
    train = {name: with_(settings, f"train.{quoted(name)}", x) for name, x in content.train.items()}
    method = {name: with_({}, f"method.{quoted(name)}", x) for name, x in content.method.items()}
    method = {name: x if "train" in x else each | x for name, x in method.items()}
    return msgspec.structs.replace(content, environment=environment, train=train, method=method)


SHARED = ("method", "critic", "preset", "flow", "critic_from")
"""Keys of every [train.NAME]; the others are options of the training, of its method or of its critic."""


def options_of(where: str | Path, at: str, fields: Any) -> dict[str, Any]:
    """A [train.NAME] without lists, as it stands there, once every key of it is known and of its type."""
    names = convert(where, fields, dict[str, Any], at)
    names = {key: names[key] for key in ("method", "critic") if key in names}
    names = convert(where, names, dict[str, str], at)
    with placed(where, at):
        known = options(**names)
    general = get_type_hints(TrainConfig, include_extras=True)
    known |= {name: hint for name, hint in general.items() if name not in ("method", "seed", "seeds")}
    known |= dict.fromkeys(SHARED, str)
    convert(where, fields, table_of(known), at)
    return fields


def several(x: X | list[X]) -> list[X]:
    return x if isinstance(x, list) else [x]
