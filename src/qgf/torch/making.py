"""Which networks a training method ends with, from what config.json says of it: every method and critic of qgf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from msgspec import Meta
from torch import nn

from qgf.errors import UserError, unknown
from qgf.files import Few, Finite, Many, convert, table_of
from qgf.torch.flow import STEPS
from qgf.torch.networks import (
    FREQUENCIES,
    MLP,
    Again,
    CategoricalEnsemble,
    Confidence,
    CriticEnsemble,
    Fourier,
    Fused,
    LabelledFlow,
    NoisyCritic,
    Pessimistic,
    Reference,
    Robust,
    Scaled,
    Student,
    Unconditioned,
    VelocityField,
)
from qgf.torch.transformer import Transformer

# What only training reads is named, too: an option that is not named here may be one that acting depends on.
OF_METHOD: dict[str, Any] = dict(
    name=str, width=Many, depth=Few, network=str, fourier=Annotated[int, Meta(ge=0, le=10_000)], critic=dict[str, Any]
) | dict.fromkeys(
    ("alpha", "chain", "flow_steps", "inverse_temperature", "scale", "unlabelled", "long", "optimism", "current",
     "trajectory", "ahead", "fourier_scale", "encoder", "augment"), Any
)  # fmt: skip
OF_CRITIC: dict[str, Any] = dict(
    name=str, critics=Few, rho=Finite, bins=Many, value_low=Finite, value_high=Finite, value_scale=Finite,
    action_again=bool, fused=bool, critic_net=str,
) | dict.fromkeys(
    ("polyak", "expectile", "candidates", "weight_decay", "decay_hidden", "decay_when", "dropout", "action_noise",
     "gradient_penalty"), Any
)  # fmt: skip
FLAT = ("critics", "expectile", "candidates", "rho", "bins", "value_low", "value_high", "polyak")
"""What lay among the method's options in format 1, where a critic was a name."""
NETS = ("network", "transformer")
"""What a critic is made of: the method's kind of network, or a transformer over the chunk."""
MARGIN = 3
"""Bins of a histogram beyond each end of its range."""


@dataclass(frozen=True)
class Nets:
    """How large the networks are."""

    obs_dim: int
    d: int
    action_dim: int
    goal_dim: int
    width: int
    depth: int
    fourier: int

    def field(self, more: int = 0, size_out: int | None = None) -> VelocityField:
        """Of observations of so many numbers more, labels behind them, or less."""
        make = lambda size_in: MLP(size_in, size_out or self.d, self.width, self.depth)
        size_in = self.obs_dim + more + self.d + 1 + 2 * FREQUENCIES
        return VelocityField(self.seeing(make, size_in, self.obs_dim + min(more, 0)))

    def seeing(
        self, make: Callable[[int], nn.Module], size_in: int, obs_dim: int, members: tuple[int, ...] = ()
    ) -> nn.Module:
        """The network for an input of that size, which sees `fourier` features of its observation besides."""
        if not self.fourier:
            return make(size_in)
        return Fourier(make(size_in + 2 * self.fourier), obs_dim, self.fourier, members)


class Made(NamedTuple):
    """What acts, and where the networks of a run lie in it."""

    velocity: nn.Module
    critic: nn.Module
    steps: int
    best_of: int
    places: dict[str, str]  # a network's name in a run -> where a saved policy has it
    others: tuple[str, ...]  # the names of those that do not act


class Kind(NamedTuple):
    """A training method: its policy's velocity, and where the networks of a run lie in a saved policy."""

    velocity: Callable[[Nets], nn.Module]
    places: dict[str, str]
    others: tuple[str, ...] = ()
    steps: int = STEPS
    best_of: int = 1
    noisy: bool = False  # its critic is one of noisy actions, too


def _labelled(nets: Nets) -> Reference:
    return Reference(nets.field(), LabelledFlow(nets.field(more=2)))


def _unconditioned(nets: Nets) -> Unconditioned:
    return Unconditioned(nets.field(more=-nets.goal_dim), nets.obs_dim - nets.goal_dim)


def _student(nets: Nets) -> Student:
    make = lambda size_in: MLP(size_in, nets.d, nets.width, nets.depth)
    return Student(nets.seeing(make, nets.obs_dim + nets.d, nets.obs_dim))


FLOW, ACTOR = dict(flow="velocity.f"), dict(actor="velocity.f")
BOTH = dict(flow="velocity.f.flow", labelled="velocity.f.labelled")
METHODS: dict[str, Kind] = {
    "bc": Kind(Nets.field, FLOW),
    "robust-q": Kind(Nets.field, FLOW, noisy=True),
    "cfgrl": Kind(_labelled, BOTH),
    "lab": Kind(_labelled, BOTH, noisy=True),
    "ifql": Kind(Nets.field, FLOW, best_of=32),
    "edp": Kind(Nets.field, ACTOR),
    "fql": Kind(_student, dict(student="velocity.f"), ("flow",), steps=1),
    "qam": Kind(Nets.field, ACTOR, ("flow",)),
    "idql": Kind(Nets.field, ACTOR, best_of=32),
    "dac": Kind(Nets.field, ACTOR),
    "qsm": Kind(Nets.field, ACTOR),
    "gc": Kind(_unconditioned, FLOW, ("long",)),
}


def made(path: Path, at: str, fields: Mapping[str, Any], sizes: Any) -> Made:
    """The networks of a method's JSON in `path`, to be filled. `sizes` are obs_dim, action_dim, horizon and goal_dim.

    Raises UserError for a method, a critic, a network or an option that is not known here.
    """
    method = _named(path, at, _nested(fields), OF_METHOD, METHODS)
    critic = _named(path, f"{at}.critic", method.critic, OF_CRITIC, CRITICS)
    if (method.network or "mlp") != "mlp":
        raise UserError(f"{path}: at {at}.network: qgf.torch has mlp alone, not {method.network!r}")
    if sizes.images:
        raise UserError(f"{path}: this policy sees pictures, which qgf.torch has no encoder for")
    if not 0 <= sizes.goal_dim < sizes.obs_dim:
        raise UserError(f"{path}: goal_dim must be less than obs_dim, got {sizes.goal_dim} and {sizes.obs_dim}")
    large = method.width or 256, method.depth or 3, method.fourier or 0
    if (critic.critic_net or "network") not in NETS:
        raise UserError(f"{path}: at {at}.critic.critic_net: {unknown('network', critic.critic_net, NETS)}")
    nets = Nets(sizes.obs_dim, sizes.action_dim * sizes.horizon, sizes.action_dim, sizes.goal_dim, *large)
    kind = METHODS[method.name]
    inside = "critic.f.usual" if kind.noisy else "critic.f"
    with torch.device("meta"):  # without memory: what a damaged file says may be large
        velocity, q = kind.velocity(nets), CRITICS[critic.name](nets, critic, path, at)
        q = Robust(q, NoisyCritic(nets.field(size_out=1))) if kind.noisy else q
    places = kind.places | dict(target=f"{inside}.members") | (dict(noisy="critic.f.noisy") if kind.noisy else {})
    return Made(velocity, q, kind.steps, kind.best_of, places, (*kind.others, "critic", "value"))


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A method's JSON as format 2 has it on."""
    name = fields.get("critic", "iql")
    if isinstance(name, dict):
        return dict(fields)
    moved = {key: fields[key] for key in FLAT if fields.get(key) is not None}
    return {key: x for key, x in fields.items() if key not in FLAT} | dict(critic=dict(name=name) | moved)


def _named(path: Path, at: str, fields: Any, known: dict[str, Any], kinds: Mapping[str, Any]) -> Any:
    options = convert(path, fields, table_of(known), at)
    if options.name not in kinds:
        raise UserError(f"{path}: at {at}: {unknown('name', str(options.name), kinds)}")
    return options


def _members(nets: Nets, options: Any, count: int, size_out: int = 1) -> list[nn.Module]:
    fused, scale = bool(options.fused), options.value_scale or 1
    sizes, lead = (size_out, nets.width, nets.depth), (count,) if fused else ()
    if options.critic_net == "transformer":
        make = lambda size_in: Transformer(size_in, *sizes, lead, nets.d, nets.action_dim)
    elif options.action_again:
        make = lambda size_in: Again(size_in, *sizes, members=lead, d=nets.d)
    else:
        make = lambda size_in: MLP(size_in, *sizes, members=lead)
    one = lambda: nets.seeing(make, nets.obs_dim + nets.d, nets.obs_dim, lead)
    scaled = lambda: Scaled(one(), scale) if scale != 1 else one()
    return [Fused(scaled())] if fused else [scaled() for _ in range(count)]


def _lowest(nets: Nets, options: Any, path: Path, at: str) -> nn.Module:
    return Pessimistic(CriticEnsemble(_members(nets, options, options.critics or 2)))


def _confident(nets: Nets, options: Any, path: Path, at: str) -> nn.Module:
    rho = 0.5 if options.rho is None else options.rho
    return Confidence(CriticEnsemble(_members(nets, options, options.critics or 10)), rho)


def _histograms(nets: Nets, options: Any, path: Path, at: str) -> nn.Module:
    low, high, bins = options.value_low, options.value_high, options.bins or 101
    if low is None or high is None or not low < high or options.fused or (options.value_scale or 1) != 1:
        raise UserError(f"{path}: at {at}.critic: histograms have a range, value_low < value_high, and no other form")
    beyond = MARGIN * (high - low) / bins
    members = _members(nets, options, options.critics or 2, bins + 2 * MARGIN)
    return Pessimistic(CategoricalEnsemble(members, low - beyond, high + beyond, bins + 2 * MARGIN))


CRITICS: dict[str, Callable[[Nets, Any, Path, str], nn.Module]] = {
    "iql": _lowest, "flow-iql": _lowest, "td": _lowest, "mc": _lowest, "ensemble": _confident, "hl-gauss": _histograms
}  # fmt: skip
