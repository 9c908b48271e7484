"""The trained networks, for whole batches: x[B, in] -> [B, out].

Every module has the attributes of its sibling in `qgf.networks`, `qgf.critics` and `qgf.training.methods`, so that the
names of its parameters are those under which `model.safetensors` has them. They act; nothing here is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 4


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape), requires_grad=False)


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, each linear, GELU by tanh, LayerNorm without scale and shift; a linear
    read-out. Weights are [in, out]; with `members` they have that axis in front, and so has the output.
    """

    def __init__(self, size_in: int, size_out: int, width: int, depth: int, members: tuple[int, ...] = (), d: int = 0):
        super().__init__()
        sizes = [size_in, *[width + d] * depth, size_out]
        outs = [*[width] * depth, size_out]
        self.weights = nn.ParameterList(parameter(*members, i, o) for i, o in zip(sizes[:-1], outs, strict=True))
        self.biases = nn.ParameterList(parameter(*members, o) for o in outs)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = zip(self.weights, self.biases, strict=True)
        h = x
        for weight, bias in hidden:
            h = F.gelu(h @ weight + bias.unsqueeze(-2), approximate="tanh")
            h = self.after(F.layer_norm(h, h.shape[-1:], eps=1e-5), x)
        return h @ last[0] + last[1].unsqueeze(-2)

    def after(self, h: Tensor, x: Tensor) -> Tensor:
        """What the next layer sees of a hidden layer h[..., B, width]."""
        return h


class Again(MLP):
    """An MLP that sees the last `d` numbers of its input, the action, in every hidden layer and in the read-out."""

    def __init__(self, size_in: int, size_out: int, width: int, depth: int, members: tuple[int, ...] = (), *, d: int):
        super().__init__(size_in, size_out, width, depth, members, d)
        self.d = d

    def after(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.cat([h, x[..., -self.d :].expand(*h.shape[:-1], self.d)], dim=-1)


class Fourier(nn.Module):
    """A network that sees the observation, the first numbers of its input, as sin and cos of 2 pi o B, too."""

    def __init__(self, net: nn.Module, obs_dim: int, features: int, members: tuple[int, ...] = ()):
        super().__init__()
        self.net, self.frequencies = net, parameter(*members, obs_dim, features)

    def forward(self, x: Tensor) -> Tensor:
        phase = 2 * torch.pi * (x[..., : self.frequencies.shape[-2]] @ self.frequencies)
        return self.net(torch.cat([torch.sin(phase), torch.cos(phase), x.expand(*phase.shape[:-1], -1)], dim=-1))


class Scaled(nn.Module):
    """`scale` times what a network says."""

    def __init__(self, net: nn.Module, scale: float):
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.net(x)


class Fused(nn.Module):
    """Networks of one make as one, whose weights have a leading axis of members: [B, in] -> [B, members]."""

    def __init__(self, stacked: nn.Module):
        super().__init__()
        self.stacked = stacked

    def forward(self, x: Tensor) -> Tensor:
        return self.stacked(x)[..., 0].movedim(0, -1)


class CriticEnsemble(nn.Module):
    """Critics Q_i(obs[B, S], a[B, d]), returned together as [B, members]."""

    def __init__(self, nets: Iterable[nn.Module]):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        x = torch.cat([obs, a], dim=-1)
        return torch.cat([net(x) for net in self.nets], dim=-1)


class CategoricalEnsemble(CriticEnsemble):
    """Critics that tell a histogram of returns over [low, high], of which they return the means, [B, members]."""

    def __init__(self, nets: Iterable[nn.Module], low: float, high: float, bins: int):
        super().__init__(nets)
        self.low, self.high, self.bins = low, high, bins

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        x = torch.cat([obs, a], dim=-1)
        edges = torch.linspace(self.low, self.high, self.bins + 1, dtype=a.dtype, device=a.device)
        return torch.stack([F.softmax(net(x), dim=-1) @ ((edges[1:] + edges[:-1]) / 2) for net in self.nets], dim=-1)


class Pessimistic(nn.Module):
    """min_i Q_i(obs, a), [B], and each Q_i as `Members`. Members that tie share the gradient, as in batches in JAX."""

    def __init__(self, members: nn.Module):
        super().__init__()
        self.members = members

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        return torch.amin(self.members(obs, a), dim=-1)


class Confidence(nn.Module):
    """mean_i Q_i - rho std_i Q_i, [B], and each Q_i as `Members`; the mean where all agree."""

    def __init__(self, members: nn.Module, rho: float):
        super().__init__()
        self.members, self.rho = members, rho

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        return lower(self.members(obs, a), self.rho)


def lower(q: Tensor, rho: float) -> Tensor:
    """mean_i q_i - rho std_i q_i of q[B, m], [B]; the mean where all agree, as the root of zero has no derivative."""
    variance = torch.var(q, dim=-1, correction=0)
    std = torch.where(variance > 0, torch.sqrt(torch.where(variance > 0, variance, 1.0)), 0.0)
    return torch.mean(q, dim=-1) - rho * std


class VelocityField(nn.Module):
    """v(obs[B, S], a[B, d], t) -> [B, d], t [] or [B, 1]: t enters as itself and as sin, cos of pi 2^k t, k = 0..3."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([obs, a, *waves(t, a)], dim=-1))


def waves(t: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The time as networks see it, for every row of a[B, d]: [B, 1 + 2 FREQUENCIES] in three parts."""
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device).expand(*a.shape[:-1], 1)
    phase = math.pi * 2.0 ** torch.arange(FREQUENCIES, dtype=a.dtype, device=a.device) * t
    return t, torch.sin(phase), torch.cos(phase)


class Unconditioned(nn.Module):
    """v of the state alone, whatever the goal behind it is (method gc)."""

    def __init__(self, net: VelocityField, size: int):
        super().__init__()
        self.net, self.size = net, size

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(obs[..., : self.size], a, t)


class Student(nn.Module):
    """From noise to action at once; as a velocity the straight way there (method fql)."""

    def __init__(self, net: MLP):
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([obs, a], dim=-1)) - a


class LabelledFlow(nn.Module):
    """v(obs, a, t) of all actions, and `better`, that of those of positive advantage (methods cfgrl and lab)."""

    def __init__(self, net: VelocityField):
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([obs, obs.new_zeros(len(obs), 2)], dim=-1), a, t)

    def better(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([obs, obs.new_ones(len(obs), 2)], dim=-1), a, t)


class Reference(nn.Module):
    """The cloned flow, with the labelled one for the guide "cfgrl"."""

    def __init__(self, flow: VelocityField, labelled: LabelledFlow):
        super().__init__()
        self.flow, self.labelled = flow, labelled

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.flow(obs, a, t)


class NoisyCritic(nn.Module):
    """Q_r(obs[B, S], a_t[B, d], t) -> [B]."""

    def __init__(self, net: VelocityField):
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.net(obs, a, t)[..., 0]


class Robust(nn.Module):
    """The usual critic, which is `Noisy` too, for the guide "robustq"."""

    def __init__(self, usual: nn.Module, noisy: NoisyCritic):
        super().__init__()
        self.usual, self.noisy = usual, noisy

    @property
    def inner(self):
        return self.usual

    def around(self, f):
        return f

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        return self.usual(obs, a)


class Normalised(nn.Module):
    """unit f((obs - mean) / std, ...), the observations clipped where they leave all that f knows: a network that was
    trained on normalised observations and, if it is a critic, on rewards in a unit, for raw ones.
    """

    def __init__(self, f: nn.Module, obs_dim: int, limits: bool = False, unit: bool = False):
        super().__init__()
        self.f, self.mean, self.std = f, parameter(obs_dim), parameter(obs_dim)
        self.limits = parameter(obs_dim) if limits else None
        self.unit = parameter() if unit else None

    def forward(self, obs: Tensor, *rest: Tensor) -> Tensor:
        return self.applied(self.f, obs, *rest)

    def applied(self, f, obs: Tensor, *rest: Tensor) -> Tensor:
        z = (obs - self.mean) / self.std
        if self.limits is not None:  # what is no number stays none, and is told of
            z = torch.where(torch.isfinite(z), torch.minimum(torch.maximum(z, -self.limits), self.limits), z)
        y = f(z, *rest)
        return y if self.unit is None else self.unit * y

    @property
    def inner(self):
        return self.f

    def around(self, f) -> Raw:
        """What the network can do besides (`types.ability`), for raw observations too."""
        return Raw(self, f)


class Raw:
    """Another function of normalised observations, for raw ones."""

    def __init__(self, scales: Normalised, f):
        self.scales, self.inner = scales, f

    def __call__(self, obs: Tensor, *rest: Tensor) -> Tensor:
        return self.scales.applied(self.inner, obs, *rest)

    def around(self, f) -> Raw:
        return Raw(self.scales, f)
