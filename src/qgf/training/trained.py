"""Portable policies: config.json + model.safetensors, all that acting needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.files import FINITE, Finite, Number, at_home, check_scale, convert, placed, read_json, write_json
from qgf.method.actions import ActionRange
from qgf.method.amortised import Distilled
from qgf.method.observations import ObsSpec, on_state
from qgf.method.policy import Origin, Policy
from qgf.networks.learned import LearnedGuide
from qgf.plugins import USED, trained_with
from qgf.training.lesson import read_lesson
from qgf.training.options import method_from_json, method_to_json
from qgf.training.weights import WEIGHTS, read_weights, write_weights
from qgf.types import Calibration, Spec, Taught

FORMAT = 3
READABLE = (1, 2, 3)
"""In format 1 the options of critics lay flat among the method's; before 3 there were no limits and no reward unit."""


class Normalised(eqx.Module):
    """unit f((obs - mean) / std, ...): a network that was trained on normalised observations, for raw ones, which are
    clipped where they leave all that it knows; and a critic that learned from rewards in a unit, in the user's own.
    """

    f: Any
    mean: jax.Array
    std: jax.Array
    limits: jax.Array | None = None  # [S] of the normalised observations
    unit: jax.Array | None = None

    def __call__(self, obs, *rest):
        y = self.f(on_state(self._scaled, obs), *rest)
        return y if self.unit is None else self.unit * y

    def _scaled(self, obs: jax.Array) -> jax.Array:
        z = (obs - self.mean) / self.std
        if self.limits is None:
            return z
        return jnp.where(jnp.isfinite(z), jnp.clip(z, -self.limits, self.limits), z)  # what is no number stays none

    @property
    def inner(self) -> Any:
        return self.f

    def around(self, f) -> Normalised:
        """What the network can do besides (`types.ability`), for raw observations too."""
        return Normalised(f, self.mean, self.std, self.limits, self.unit)


Size = Annotated[int, msgspec.Meta(ge=1, le=10**5)]
Unit = Annotated[float, msgspec.Meta(gt=0, le=FINITE)]
Scale = Annotated[float, msgspec.Meta(ge=0, le=FINITE)]


class Sizes(msgspec.Struct, forbid_unknown_fields=True):
    """`Spec` as a policy's config.json has it."""

    obs_dim: Annotated[int, msgspec.Meta(ge=0, le=10**6)]
    action_dim: Size
    horizon: Size
    goal_dim: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 0
    images: dict[str, tuple[Size, Size, Size]] = {}

    def __post_init__(self):
        if not self.obs_dim and not self.images:
            raise ValueError("obs_dim must be at least 1 where there are no images")

    @staticmethod
    def of(spec: Spec) -> dict[str, Any]:
        """Without images as before there were any."""
        fields = spec._asdict()
        images = fields.pop("images")
        return fields | (dict(images=dict(images)) if images else {})

    @property
    def spec(self) -> Spec:
        images = tuple(sorted(self.images.items()))
        return Spec(self.obs_dim, self.action_dim, self.horizon, self.goal_dim, images)


class Scales(msgspec.Struct, forbid_unknown_fields=True):
    """`Calibration` likewise."""

    sigma: Scale
    grad_norm: Scale
    others: dict[str, tuple[Scale, Scale]] = {}
    sigmas: tuple[Scale, ...] | None = None


Ends = tuple[tuple[Finite, ...], tuple[Finite, ...]]
"""low and high, [A] each."""


class Format(msgspec.Struct):
    """What every version's config.json has."""

    format: int


class Record(Format, forbid_unknown_fields=True):
    """A policy's config.json."""

    method: dict[str, Any]
    spec: Sizes
    updates: Number
    dataset: str
    calibration: Scales | None = None
    limits: tuple[Scale, ...] | None = None  # of normalised observations
    reward_unit: Unit = 1.0  # of the rewards that its critic learned from
    actions: Ends | None = None  # what -1 and 1 mean, where actions were scaled
    extent: Ends | None = None  # the least and the most of every number of the actions it was trained on
    use: list[dict[str, str]] = []  # the user's files and packages it was made with


def _numbers(x: Any) -> tuple[float, ...] | None:
    return None if x is None else tuple(map(float, x))


def ends(range) -> Ends | None:
    """low and high as tuples of numbers."""
    low, high = ((), ()) if range is None else (tuple(map(float, np.ravel(x))) for x in range)
    return None if range is None else (low, high)


def _plain(calibration: Calibration) -> Calibration:
    """The same as numbers and pairs that can be hashed."""
    others = tuple((name, tuple(map(float, x))) for name, x in dict(calibration.others or {}).items())
    return Calibration(float(calibration.sigma), float(calibration.grad_norm), others, _numbers(calibration.sigmas))


def calibration_record(calibration: Calibration | None) -> dict[str, Any] | None:
    """As `Scales` reads it."""
    if calibration is None:
        return None
    sigma, grad_norm, others, sigmas = _plain(calibration)
    later = dict(others=dict(others)) if others else {}
    return dict(sigma=sigma, grad_norm=grad_norm) | later | (dict(sigmas=sigmas) if sigmas else {})


class Trained(eqx.Module):
    """What a training run ends with."""

    nets: Any
    mean: jax.Array  # [S] of the observations
    std: jax.Array  # [S]
    method: Any = eqx.field(static=True)
    spec: Spec = eqx.field(static=True)
    updates: int = eqx.field(static=True, default=0)
    dataset: str = eqx.field(static=True, default="")
    calibration: Calibration | None = eqx.field(static=True, default=None, converter=lambda c: c and _plain(c))
    limits: tuple[float, ...] | None = eqx.field(
        static=True, default=None, converter=_numbers
    )  # [S] of normalised observations, beyond which they are clipped
    reward_unit: float = eqx.field(static=True, default=1.0, converter=float)
    actions: Ends | None = eqx.field(static=True, default=None)  # see `Record`
    extent: Ends | None = eqx.field(static=True, default=None)
    lesson: tuple[LearnedGuide, Taught] | None = None  # of a guide that was learned afterwards (`training.distil`)

    def raw(self, f, unit: float = 1.0) -> Normalised:
        """A network for raw observations; of values in a unit other than 1, in the user's own."""
        limits = None if self.limits is None else jnp.asarray(self.limits, jnp.float32)
        return Normalised(f, self.mean, self.std, limits, None if unit == 1 else jnp.asarray(unit, jnp.float32))

    def policy(self) -> Policy:
        """What was trained to act, with its critic, unguided."""
        critic: Any = self.raw(self.method.guide_critic(self.nets), self.reward_unit)
        if self.lesson is not None:
            critic = Distilled(critic, self.raw(self.lesson[0]), self.lesson[1])
        return Policy(
            velocity=self.raw(self.method.velocity(self.nets)),
            critic=critic,
            weight=0.0,
            low=-1.0,
            high=1.0,
            action_dim=self.spec.action_dim,
            horizon=self.spec.horizon,
            guide="none",
            steps=self.method.steps,
            samples=self.method.best_of,
            calibration=self.calibration,
            obs_spec=ObsSpec.of(self.spec.one),
            origin=Origin(self.method, self.spec, self.extent),
            actions=self.actions and ActionRange.of(self.actions, self.spec.action_dim),
        )


def save_trained(trained: Trained, directory: Path) -> None:
    """Write config.json and model.safetensors; the weights first, so that a folder with a config is complete. A guide
    that was learned is in a file of its own.
    """
    write_weights(directory / WEIGHTS, replace(trained, lesson=None))
    config = dict(
        format=FORMAT,
        method=method_to_json(trained.method),
        spec=Sizes.of(trained.spec),
        updates=trained.updates,
        dataset=trained.dataset,
        calibration=calibration_record(trained.calibration),
    )
    if trained.limits is not None:
        config["limits"] = trained.limits
    if trained.reward_unit != 1:
        config["reward_unit"] = trained.reward_unit
    config |= {key: x for key in ("actions", "extent") if (x := getattr(trained, key))}
    if USED:
        config["use"] = USED
    write_json(directory / "config.json", config)


def skeleton_of(method, spec: Spec) -> Trained:
    """The structure of what a method ends with, shapes in the place of arrays."""
    nets = eqx.filter_eval_shape(method.init, spec, jax.random.key(0))
    scale = jax.ShapeDtypeStruct((spec.obs_dim,), np.float32)
    return Trained(nets, scale, scale, method, spec)  # type: ignore[arg-type]


def check_scales(file: Path, **scales: jax.Array | None) -> None:
    """`check_scale` of those that there are."""
    for name, x in scales.items():
        check_scale(file, name, 1.0 if x is None else float(np.asarray(x).min(initial=1)))


def load_trained(directory: str | Path) -> Trained:
    """Read what `save_trained` wrote, from a policy folder or from the run directory that holds it.

    Raises UserError if the folder is no policy, is of another version, or if the weights are truncated or foreign.
    """
    directory = at_home(directory)
    directory = directory / "policy" if (directory / "policy").is_dir() else directory
    path = directory / "config.json"
    content = read_json(path, dict[str, Any], "a policy")
    if convert(path, content, Format).format not in READABLE:
        raise UserError(f"{directory}: policy format {content['format']}, this version reads up to {FORMAT}")
    record = convert(path, content, Record)
    with trained_with(record.use):
        method = method_from_json(record.method, path)
    spec = record.spec.spec
    calibration = record.calibration and Calibration(**msgspec.structs.asdict(record.calibration))
    if record.limits is not None and len(record.limits) != spec.obs_dim:
        raise UserError(f"{path}: at limits: must have {spec.obs_dim} numbers, has {len(record.limits)}")
    for key in ("actions", "extent"):
        if any(len(x) != spec.action_dim for x in getattr(record, key) or ()):
            raise UserError(f"{path}: at {key}: must have two ends of {spec.action_dim} numbers")
    known = ("updates", "dataset", "limits", "reward_unit", "actions", "extent")
    own = {name: getattr(record, name) for name in known}
    with placed(path, ""):
        skeleton = replace(skeleton_of(method, spec), calibration=calibration, **own)
    trained = read_weights(skeleton, directory / WEIGHTS)
    check_scales(directory / WEIGHTS, std=trained.std)
    return replace(trained, lesson=read_lesson(directory, spec))
