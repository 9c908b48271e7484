"""A trained policy's folder, config.json + model.safetensors, as torch modules: no JAX, no pickle.

Every key of the config and every array that acting depends on is known, or the folder is refused: what would be left
out silently is what would act wrongly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn

from qgf.errors import UserError
from qgf.files import FINITE, SCALES, Few, Finite, Number, check, check_scale, convert, read_json, real_size
from qgf.torch.actions import ActionRange
from qgf.torch.choosing import FALLBACKS
from qgf.torch.harm import Shaping
from qgf.torch.learned import Distilled, LearnedGuide, Lesson, read_lesson
from qgf.torch.making import Made, made
from qgf.torch.networks import Normalised
from qgf.torch.policy import Policy
from qgf.types import Calibration

WEIGHTS = "model.safetensors"
Size = Annotated[int, msgspec.Meta(ge=1, le=10**5)]
Unit = Annotated[float, msgspec.Meta(gt=0, le=FINITE)]
Scale = Annotated[float, msgspec.Meta(ge=0, le=FINITE)]
Ends = tuple[tuple[Finite, ...], tuple[Finite, ...]]
"""low and high, [A] each."""


class Sizes(msgspec.Struct, forbid_unknown_fields=True):
    obs_dim: Annotated[int, msgspec.Meta(ge=0, le=10**6)]
    action_dim: Size
    horizon: Size
    goal_dim: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 0
    images: dict[str, Any] = {}


class Scales(msgspec.Struct, forbid_unknown_fields=True):
    sigma: Scale
    grad_norm: Scale
    others: dict[str, tuple[Scale, Scale]] = {}
    sigmas: tuple[Scale, ...] | None = None


class Trained(msgspec.Struct, forbid_unknown_fields=True):
    """The config.json that training writes, formats 1 to 3."""

    format: int
    method: dict[str, Any]
    spec: Sizes
    updates: Number
    dataset: str
    calibration: Scales | None = None
    limits: tuple[Scale, ...] | None = None  # of normalised observations
    reward_unit: Unit = 1.0
    actions: Ends | None = None  # what -1 and 1 mean, where actions were scaled
    extent: Ends | None = None
    use: list[dict[str, str]] = []


class Networks(msgspec.Struct, forbid_unknown_fields=True):
    """What a saved policy's networks are."""

    method: dict[str, Any]
    spec: Sizes
    limits: bool = False  # whether it clips observations
    reward_unit: bool = False  # whether its critic learned in a unit other than 1
    extent: Ends | None = None
    lesson: Lesson | None = None  # of the guide that was learned from it


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """What caps hold guidance to, in the units of the networks' actions."""

    step: Unit | None = None
    dim: Unit | None = None


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """The config.json that `Policy.save` writes, formats 1 and 2."""

    policy_format: int
    action_dim: Size
    horizon: Size
    guide: str
    steps: Few
    best_of: Annotated[int, msgspec.Meta(ge=1, le=2**16)]
    schedule: str
    fallback: str | None
    calibration: Scales | None
    trained: Networks | None
    actions: Ends | None = None
    use: list[dict[str, str]] = []
    members: str | int | None = None
    choose: str | int | None = None
    caps: Limits | None = None
    metric: tuple[Scale, ...] | None = None
    solver: str = "euler"
    guide_steps: Few | None = None


FORMATS: dict[str, tuple[type, int]] = dict(format=(Trained, 3), policy_format=(Saved, 2))


def load_policy(directory: str | Path) -> Policy:
    """The policy of a run, guided by QGF at the default strength, or the one that `Policy.save` wrote, as it acts.

    `directory` is a policy folder, or the run directory that holds it. Raises UserError, one line, if the folder is
    damaged, not what was written (SHA256SUMS), of another version, or knows anything that this room does not.
    """
    directory = Path(directory)
    directory = directory / "policy" if (directory / "policy").is_dir() else directory
    path, file = directory / "config.json", directory / WEIGHTS
    record = _record(path)
    if isinstance(record, Trained):
        return _of_run(path, record, _arrays(file), file)
    return _of_saved(path, record, _arrays(file), file)


class Critic(nn.Module):
    """critic(obs[B, S], a[B, H, A] or [B, d]) -> [B], both in the units of the data, and `members` likewise."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.net = policy.critic
        self.action_dim, self.horizon, self.calibration = policy.action_dim, policy.horizon, policy.calibration
        self.actions = policy.actions

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        return self.net(obs, self.inward(a))

    def inward(self, a: Tensor) -> Tensor:
        """What the networks know, [B, d], for chunks in the data's units."""
        chunk = a.reshape(len(a), self.horizon, self.action_dim)
        return (chunk if self.actions is None else self.actions.inward(chunk)).flatten(1)

    @property
    def inner(self):
        return self.net

    def around(self, f):
        return lambda obs, a, *rest: f(obs, self.inward(a), *rest)

    def _apply(self, fn, recurse=True):  # the range goes where the networks go
        if self.actions is not None:
            self.actions = ActionRange(fn(self.actions.low), fn(self.actions.high))
        return super()._apply(fn, recurse)


def load_critic(directory: str | Path) -> Critic:
    """The critic of a run or a saved policy, as guidance asks it; see `load_policy`."""
    return Critic(load_policy(directory))


def _record(path: Path) -> Trained | Saved:
    content = read_json(path, dict[str, Any], "a policy")
    kind = next((key for key in FORMATS if key in content), None)
    if kind is None:
        raise UserError(f"{path}: key 'format' is missing")
    record, newest = FORMATS[kind]
    version = content[kind]
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= newest:
        raise UserError(f"{path.parent}: policy format {version!r}, this version reads up to {newest}")
    return convert(path, content, record)


def _of_run(path: Path, record: Trained, arrays: dict[str, Tensor], file: Path) -> Policy:
    sizes, limits, unit = record.spec, record.limits, record.reward_unit
    if limits is not None and len(limits) != sizes.obs_dim:
        raise UserError(f"{path}: at limits: must have {sizes.obs_dim} numbers, has {len(limits)}")
    nets = made(path, "method", record.method, sizes)
    named: dict[str, Tensor] = {}  # as a saved policy has them
    for name, x in arrays.items():
        part, _, rest = name.removeprefix("nets.").partition(".")
        if name in ("mean", "std"):
            named |= {f"velocity.{name}": x, f"critic.{name}": x}
        elif name.startswith("nets.") and part in nets.places:
            named[f"{nets.places[part]}.{rest}"] = x
        elif not name.startswith("nets.") or part not in nets.others:
            raise UserError(f"{file}: belongs to another policy, {name} is not in its config.json")
    if limits is not None:
        named |= dict.fromkeys(("velocity.limits", "critic.limits"), torch.tensor(limits))
    if unit != 1:
        named["critic.unit"] = torch.tensor(unit)
    lesson = read_lesson(file)
    if lesson is not None:
        named = {f"critic.{name}" if name.startswith("critic.") else name: x for name, x in named.items()}
        own = {f"f.{name}": x for name, x in _arrays(lesson[1]).items()}
        own |= {name: x for name in ("mean", "std", "limits") if (x := named.get(f"velocity.{name}")) is not None}
        named |= {f"critic.learned.{name}": x for name, x in own.items()}
    velocity, critic = _filled(nets, sizes, limits is not None, unit != 1, named, file, lesson and lesson[0])
    policy = Policy(
        velocity, critic, sizes.action_dim, sizes.horizon, guide="none", steps=nets.steps, samples=nets.best_of,
        calibration=_calibration(record.calibration), actions=_range(path, record.actions, sizes.action_dim),
        obs_dim=sizes.obs_dim,
    )  # fmt: skip
    return policy.guided(weight=None if record.calibration else 0.0)


def _of_saved(path: Path, record: Saved, arrays: dict[str, Tensor], file: Path) -> Policy:
    if record.trained is None:
        raise UserError(f"{path.parent}: its networks are no trained ones, and config.json does not say what they are")
    if record.fallback is not None and record.fallback not in FALLBACKS:
        raise UserError(f"{path}: at fallback: {record.fallback!r} is not known to qgf.torch")
    trained, sizes = record.trained, record.trained.spec
    if (sizes.action_dim, sizes.horizon) != (record.action_dim, record.horizon):
        raise UserError(f"{path}: belongs to another policy, its spec has other sizes")
    own = {name: arrays.pop(name) for name in ("weight", "low", "high") if name in arrays}
    if len(own) < 3:
        raise UserError(f"{file}: belongs to another policy, weight, low or high is missing")
    nets = made(path, "trained.method", trained.method, sizes)
    velocity, critic = _filled(nets, sizes, trained.limits, trained.reward_unit, arrays, file, trained.lesson)
    return Policy(
        velocity, critic, sizes.action_dim, sizes.horizon, float(own["weight"]), own["low"], own["high"],
        record.guide, record.steps, record.best_of, _calibration(record.calibration), record.schedule,
        _range(path, record.actions, sizes.action_dim), sizes.obs_dim, record.members, record.choose, record.solver,
        record.guide_steps, record.fallback, _shaping(path, record),
    )  # fmt: skip


def _shaping(path: Path, record: Saved) -> Shaping | None:
    if record.caps is None and record.metric is None:
        return None
    d, caps = record.action_dim * record.horizon, record.caps or Limits()
    if record.metric is not None and len(record.metric) != d:
        raise UserError(f"{path}: at metric: must have {d} numbers, has {len(record.metric)}")
    metric = None if record.metric is None else torch.tensor(record.metric, dtype=torch.float64)
    return Shaping(caps.step, caps.dim, metric)


def _filled(
    nets: Made,
    sizes: Sizes,
    limits: bool,
    unit: bool,
    named: dict[str, Tensor],
    file: Path,
    lesson: Lesson | None = None,
):
    """Velocity and critic for raw observations, of arrays that are named as a saved policy has them.

    Raises UserError for an array that is missing, too many, of another shape or type, or not finite.
    """
    with torch.device("meta"):
        critic: nn.Module = Normalised(nets.critic, sizes.obs_dim, limits, unit)
        if lesson is not None:
            learned = LearnedGuide(sizes.obs_dim, sizes.action_dim * sizes.horizon, lesson.width)
            critic = Distilled(critic, Normalised(learned, sizes.obs_dim, limits), lesson.taught)
        parts = nn.ModuleDict(dict(velocity=Normalised(nets.velocity, sizes.obs_dim, limits), critic=critic))
    expected = parts.state_dict()
    if extra := sorted(named.keys() - expected.keys()):
        raise UserError(f"{file}: belongs to another policy, {extra[0]} is not in its config.json")
    for name, leaf in expected.items():
        x = named.get(name)
        if x is None or x.shape != leaf.shape or x.dtype != torch.float32:
            found = "nothing" if x is None else f"{list(x.shape)} of {x.dtype}"
            should = f"{name} should be {list(leaf.shape)} of torch.float32"
            raise UserError(f"{file}: belongs to another policy, {should}, found {found}")
        if not bool(torch.isfinite(x).all()):
            raise UserError(f"{file}: {name} holds NaN or Inf")
    for name, x in named.items():
        if name.rpartition(".")[2] in SCALES and x.numel():
            check_scale(file, name, float(x.min()))
    parts.load_state_dict(named, assign=True)
    return parts["velocity"], parts["critic"]


def _calibration(scales: Scales | None) -> Calibration | None:
    return None if scales is None else Calibration(scales.sigma, scales.grad_norm, scales.others or None, scales.sigmas)


def _range(path: Path, ends: Ends | None, action_dim: int) -> ActionRange | None:
    if ends is None:
        return None
    low, high = (torch.tensor(x) for x in ends)
    if len(low) != action_dim or len(high) != action_dim or not bool((low <= high).all()):
        raise UserError(f"{path}: at actions: must have two ends of {action_dim} numbers, the lower first")
    return ActionRange(low, high)


def _arrays(path: Path) -> dict[str, Tensor]:
    """What a safetensors file holds. Raises UserError if it is damaged or not what was written."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    real_size(path)
    check(path)
    try:
        with torch.inference_mode(False):
            return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: truncated or not a safetensors file ({error})") from None
