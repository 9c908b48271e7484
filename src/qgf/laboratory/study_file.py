"""What may stand in a study file: its sections as types, by which it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from qgf.files import Count, Finite, Seed, convert, placed, table_of
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
    train: OneOrSeveral[str] = []
    steps: Count | None = None
    execute: OneOrSeveral[Count] = []
    warm: Finite | None = None
    tune: Literal["halving", "offline", "never"] | None = None
    each: bool = False  # a row of results for everything in the lists


SHARED = ("method", "critic", "flow", "critic_from")
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
