"""Any policy as a folder: config.json, how it acts, and model.safetensors, its arrays. No code, no pickle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.files import Few, Many, at_home, convert, placed, read_json, write_json
from qgf.method.actions import ActionRange
from qgf.method.amortised import Distilled
from qgf.method.choosing import FALLBACKS
from qgf.method.guided import guided_flow as guided_flow  # public together with the `save` of what it makes
from qgf.method.guides import GUIDES
from qgf.method.policy import Policy, with_fields
from qgf.method.schedules import SCHEDULES
from qgf.method.shaping import Shaping
from qgf.plugins import USED, trained_with
from qgf.training.lesson import Lesson, skeleton
from qgf.training.options import method_from_json, method_to_json
from qgf.training.trained import (
    Ends,
    Normalised,
    Scale,
    Scales,
    Size,
    Sizes,
    Unit,
    calibration_record,
    check_scales,
    ends,
    load_trained,
    skeleton_of,
)
from qgf.training.weights import WEIGHTS, named, read_weights, write_weights
from qgf.types import Calibration, Spec

FORMAT = 2
READABLE = (1, 2)
"""In format 1 no policy had limits or a reward unit."""


class Made(msgspec.Struct, forbid_unknown_fields=True):
    """What makes trained networks again."""

    method: dict[str, Any]
    spec: Sizes
    limits: bool = False  # whether it clips observations
    reward_unit: bool = False  # whether its critic learned in a unit other than 1
    extent: Ends | None = None
    lesson: Lesson | None = None  # of the guide that was learned from it


class Format(msgspec.Struct):
    """What every version's config.json has."""

    policy_format: int


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """The caps of `Shaping`, in the units of the networks' actions."""

    step: Unit | None = None
    dim: Unit | None = None


class Record(Format, forbid_unknown_fields=True):
    """The config.json of a policy that was saved."""

    action_dim: Size
    horizon: Size
    guide: str
    steps: Few
    best_of: Many
    schedule: str
    fallback: str | None
    calibration: Scales | None
    trained: Made | None
    actions: Ends | None = None  # what -1 and 1 mean to its networks, where they are not its actions
    use: list[dict[str, str]] = []  # the user's files and packages it was made with
    members: str | int | None = None
    choose: str | int | None = None
    caps: Limits | None = None
    metric: tuple[Scale, ...] | None = None  # [d]
    solver: str = "euler"
    guide_steps: Few | None = None


def save_policy(policy: Policy, directory: str | Path) -> None:
    """Write the policy as it acts, guide and weight included, into a folder that `Policy.load` reads.

    Its velocity and critic are stored as their arrays: of a trained policy all that is needed, of any other what
    `Policy.load(directory, like=policy)` fills into a policy of the same make. Raises UserError, and writes nothing,
    for a guide or a schedule that has no name, and for a function that closes over arrays.
    """
    directory = at_home(directory)
    for name in ("velocity", "critic"):
        _refuse_closures(name, getattr(policy, name))
    config = dict(
        policy_format=FORMAT,
        action_dim=policy.action_dim,
        horizon=policy.horizon,
        guide=_name("guide", policy.guide, GUIDES),
        steps=policy.steps,
        best_of=policy.samples,
        schedule=_name("schedule", policy.schedule, SCHEDULES),
        fallback=policy.fallback and _name("fallback", policy.fallback, FALLBACKS),
        calibration=calibration_record(policy.calibration),
        trained=_trained(policy),
    )
    if policy.actions is not None:
        config["actions"] = ends((policy.actions.low, policy.actions.high))
    if USED:
        config["use"] = USED
    config |= {name: way for name in ("members", "choose") if (way := getattr(policy, name)) is not None}
    if policy.shaping is not None:
        held = policy.shaping._asdict()
        if (metric := held.pop("metric")) is not None:
            config["metric"] = np.asarray(metric, float).tolist()
        if caps := {name: float(x) for name, x in held.items() if x is not None}:
            config["caps"] = caps
    usual = dict(solver="euler", guide_steps=None)
    config |= {name: x for name in usual if (x := getattr(policy, name)) != usual[name]}
    write_weights(directory / WEIGHTS, _stored(policy))
    write_json(directory / "config.json", config)


def _stored(policy: Policy) -> dict[str, Any]:
    """The arrays of a policy; the calibration is in its config, in full precision."""
    return {name: getattr(policy, name) for name in ("velocity", "critic", "weight", "low", "high")}


def _refuse_closures(name: str, f) -> None:
    for part in jax.tree.leaves(f, is_leaf=lambda x: isinstance(x, FunctionType)):
        cells = getattr(part, "__closure__", None) or ()
        if any(eqx.is_array(x) for cell in cells for x in jax.tree.leaves(cell.cell_contents)):
            raise UserError(
                f"{name} closes over its weights, which cannot be saved from there: "
                f"jax.tree_util.Partial({name}, weights) or an Equinox module can"
            )


def _name(kind: str, x, known) -> str:
    if isinstance(x, str):
        return x
    names = [name for name, f in known.items() if f is x]
    if not names:
        raise UserError(
            f"{kind} {getattr(x, '__name__', x)} has no name in the registry: add it there to save the policy"
        )
    return names[0]


def _trained(policy: Policy) -> dict[str, Any] | None:
    """Method and sizes of a policy that a training method made, if that is what its networks are."""
    if policy.origin is None:
        return None
    shapes = lambda p: {name: np.shape(x) for name, x in named((p.velocity, p.critic)).items()}
    method, spec, extent = policy.origin.method, policy.origin.spec, policy.origin.extent
    taught = policy.critic.taught if isinstance(policy.critic, Distilled) else None
    critic = policy.critic.critic if isinstance(policy.critic, Distilled) else policy.critic
    has = lambda name: getattr(critic, name, None) is not None
    lesson = taught and Lesson(**taught._asdict())
    scales: dict[str, Any] = dict(limits=has("limits"), reward_unit=has("unit"), lesson=lesson)
    if shapes(_structure(method, spec, **scales)) != shapes(policy):
        return None
    told = dict(extent=extent, lesson=taught and taught._asdict())
    known = {name: x for name, x in (scales | told).items() if x}
    return dict(method=method_to_json(method), spec=Sizes.of(spec)) | known


def _structure(
    method, spec: Spec, limits: bool, reward_unit: bool, extent: Ends | None = None, lesson: Lesson | None = None
) -> Policy:
    """The policy that a method ends with, shapes in the place of arrays."""
    scales: dict[str, Any] = dict(limits=(1.0,) if limits else None, reward_unit=1.0 + reward_unit)
    scales |= dict(lesson=lesson and (skeleton(lesson.taught, spec), lesson.taught))
    of = replace(skeleton_of(method, spec), extent=extent, **scales)
    made = eqx.filter_eval_shape(lambda trained: trained.policy(), of)
    # One limit stood for as many as a state has, which a stranger's file says.
    whole = lambda x: replace(x, limits=x.limits and x.mean) if isinstance(x, Normalised) else x
    return jax.tree.map(whole, made, is_leaf=lambda x: isinstance(x, Normalised))


def load_policy(directory: str | Path, like: Policy | None = None) -> Policy:
    """The policy that `Policy.save` wrote, as it was; or that of a run, guided by QGF at the default strength.

    `like` is a policy of the same make, which gives velocity and critic their structure: needed unless they come from
    training. Raises UserError if the folder is damaged, is no policy or one of another make.
    """
    directory = at_home(directory)
    path = directory / "config.json"
    content = read_json(path, dict[str, Any], "a policy") if path.is_file() else {}
    if "policy_format" not in content:
        return load_trained(directory).policy().guided()
    if convert(path, content, Format).policy_format not in READABLE:
        raise UserError(f"{path}: policy format {content['policy_format']}, this version reads up to {FORMAT}")
    record = convert(path, content, Record)
    like = like or _made(directory, record)
    for name in ("action_dim", "horizon"):
        if (size := getattr(record, name)) != getattr(like, name):
            raise UserError(f"{path}: belongs to another policy, {name} is {size}, not {getattr(like, name)}")
    filled = read_weights(_stored(like), directory / WEIGHTS, any_shape=("low", "high"))
    for net in jax.tree.leaves(filled, is_leaf=lambda x: isinstance(x, Normalised)):
        if isinstance(net, Normalised):
            check_scales(directory / WEIGHTS, std=net.std, limits=net.limits, unit=net.unit)
    ways = ("guide", "steps", "schedule", "fallback", "members", "choose", "solver", "guide_steps")
    acting = {name: getattr(record, name) for name in ways}
    acting["shaping"] = _shaping(path, record)
    calibration = record.calibration and Calibration(**msgspec.structs.asdict(record.calibration))
    with placed(path, ""):
        actions = record.actions and ActionRange.of(record.actions, record.action_dim)
        return with_fields(like, **filled, samples=record.best_of, calibration=calibration, actions=actions, **acting)


def _shaping(path: Path, record: Record) -> Shaping | None:
    """Raises UserError for a metric of another policy."""
    if record.caps is None and record.metric is None:
        return None
    if record.metric is not None and len(record.metric) != record.action_dim * record.horizon:
        d = record.action_dim * record.horizon
        raise UserError(f"{path}: at metric: must have {d} numbers, has {len(record.metric)}")
    caps = record.caps or Limits()
    return Shaping(*(None if x is None else jnp.asarray(x, float) for x in (caps.step, caps.dim, record.metric)))


def _made(directory: Path, record: Record) -> Policy:
    """The structure of a policy that training made."""
    if record.trained is None:
        raise UserError(f"{directory}: its networks are no trained ones: Policy.load(directory, like=policy)")
    with trained_with(record.use):
        method = method_from_json(record.trained.method, directory / "config.json")
    made = record.trained
    return _structure(method, made.spec.spec, made.limits, made.reward_unit, made.extent, made.lesson)


Policy.save = save_policy
Policy.load = staticmethod(load_policy)
