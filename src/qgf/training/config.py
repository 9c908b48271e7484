"""Configurations as frozen dataclasses, and their JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import tyro
from msgspec import Meta

from qgf.data.labels import Rewarded
from qgf.errors import UserError, unknown
from qgf.files import Count, Seed, convert, placed, table_of
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC
from qgf.training.options import make_method, method_from_json, method_to_json, options


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Defaults fit a laptop's CPU; the paper's values are in brackets."""

    steps: Count = 20_000
    """Number of updates of every loss (500k)."""
    batch_size: Count = 256
    """Number of action chunks per update (1024)."""
    learning_rate: float = 3e-4
    """Adam's step size (3e-4)."""
    horizon: Count = 5
    """Number of actions per chunk, which are executed open loop (5)."""
    discount: Annotated[float, Meta(gt=0, lt=1)] = 0.99
    """Discount of later rewards, per environment step (0.999)."""
    seed: Seed = 0
    """Seed of networks, batches and noise."""
    seeds: Count = 1
    """Number of independent policies that are trained side by side in one program."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the hidden layers' products while training; bfloat16 is faster on GPUs and on CPUs with AMX."""
    devices: Count = 1
    """Number of devices (GPUs), of all processes, among which the seeds are divided, or else every batch."""
    log_every: Count = 500
    """Number of updates per row of metrics.csv, and per compiled call."""
    checkpoint_every: Count = 2_000
    """Number of updates between two exact checkpoints."""
    method: tyro.conf.Suppress[Any] = field(default_factory=BC)
    """The training method with its own options (on the command line: --method)."""

    def __post_init__(self):
        if isinstance(self.method, str):
            object.__setattr__(self, "method", METHODS.find(self.method)())
        for name in ("steps", "batch_size", "horizon", "seeds", "devices", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.precision not in (known := ("float32", "bfloat16")):
            raise unknown("precision", self.precision, known)
        if not 0 < self.discount < 1:
            raise UserError(f"discount must lie between 0 and 1, got {self.discount}")
        if self.checkpoint_every % self.log_every:
            raise UserError(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of log_every ({self.log_every})"
            )


PRESETS: dict[str, dict[str, Any]] = dict(
    paper=dict(
        steps=500_000, batch_size=1024, learning_rate=3e-4, horizon=5, discount=0.999, width=1024, depth=4, critics=2,
        polyak=0.005, expectile=0.9,
    )
)  # fmt: skip
"""Name -> options of the training, its method and its critic; "paper" are the QGF paper's, for a GPU and 100 million
transitions."""


def configured(preset: str | None = None, method: str = "bc", critic: str | None = None, **given) -> TrainConfig:
    """The settings of options as a command line has them, of the training, its method and its critic; what is not given
    is the preset's, as far as this method and critic have it, or the default. Raises UserError for what is none.
    """
    if preset is not None and preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    general = {field.name for field in dataclasses.fields(TrainConfig)} - {"method"}
    known = general | options(method, critic).keys()
    given = {key: x for key, x in PRESETS.get(preset or "", {}).items() if key in known} | given
    own = {key: given.pop(key) for key in given.keys() - general}
    return TrainConfig(method=make_method(method, critic, **own), **given)


def to_json(config: TrainConfig) -> dict[str, Any]:
    fields = dataclasses.asdict(config)
    return fields | dict(method=method_to_json(config.method))


class Source(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where a run's data were, and which these are (`data.fingerprint`)."""

    path: str | None
    fingerprint: str
    keys: list[str] | None = None  # what observations were made of, where that was chosen
    labels: str | None = None  # the file that said which episodes succeed
    rewards: Rewarded | None = None  # how they follow from success, where that was chosen
    held_out: float | None = None  # the share of the episodes that was not trained on, where that was chosen
    references: list[float] | None = None  # the returns that a normalised score calls 0 and 100
    actions: list[list[float]] | None = None  # low and high that actions were scaled by, where they were
    look_at: list[str] = []  # what is suspicious about them (`data.doctor`)


class Held(msgspec.Struct, forbid_unknown_fields=True):
    """The window of its data that a run holds (`window.Plan`)."""

    block: Annotated[int, Meta(ge=1)]
    blocks: Annotated[int, Meta(ge=2)]
    every: Annotated[int, Meta(ge=1)]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """A run's config.json."""

    dataset: str
    train: dict[str, Any]  # see `to_json`
    data: Source | None = None
    env: str | None = None  # to play, where the data's name does not tell
    flow: str | None = None  # the runs that lent it their networks
    critic_from: str | None = None
    window: Held | None = None  # where it does not hold all of its data
    hosts: int = 1  # processes that train it together
    use: list[dict[str, str]] = []  # the user's files and packages it was made with


def from_json(fields: Mapping[str, Any], where: str | Path = "settings", at: str = "train") -> TrainConfig:
    """The settings of their JSON; what it does not say is today's default. `where` and `at` are file and place in it,
    for the message. Raises UserError for what is wrong.
    """
    hints = get_type_hints(TrainConfig, include_extras=True)
    convert(where, fields, table_of(hints), at)
    with placed(where, at):
        return TrainConfig(**dict(fields) | dict(method=method_from_json(fields.get("method"), where, f"{at}.method")))
