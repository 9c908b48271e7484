"""Critic ensembles and the value net."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.networks.blocks import MLP, Network


class CriticEnsemble(eqx.Module):
    """`members` independent critics Q_i(obs[..., S], a[..., d]), returned together as [..., members]."""

    nets: tuple[Callable[[Array], Array], ...]

    def __init__(self, obs_dim: int, d: int, width: int, depth: int, members: int, key: Array, network: Network = MLP):
        self.nets = tuple(network(obs_dim + d, 1, width, depth, k) for k in jax.random.split(key, members))

    def __call__(self, obs: Array, a: Array) -> Array:
        x = jnp.concatenate([obs, a], axis=-1)
        return jnp.concatenate([net(x) for net in self.nets], axis=-1)


class ValueNet(eqx.Module):
    """V(obs[..., S]) -> [...]."""

    net: Callable[[Array], Array]

    def __init__(self, obs_dim: int, width: int, depth: int, key: Array, network: Network = MLP):
        self.net = network(obs_dim, 1, width, depth, key)

    def __call__(self, obs: Array) -> Array:
        return self.net(obs)[..., 0]


class CategoricalEnsemble(eqx.Module):
    """Critics that tell a histogram of returns over [low, high]: `logits` [..., members, bins]; calling it gives the
    histograms' means Q_i(obs[..., S], a[..., d]), [..., members].
    """

    nets: tuple[Callable[[Array], Array], ...]
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    bins: int = eqx.field(static=True)

    def __init__(
        self,
        obs_dim: int,
        d: int,
        width: int,
        depth: int,
        members: int,
        bins: int,
        low: float,
        high: float,
        key: Array,
        network: Network = MLP,
    ):
        self.nets = tuple(network(obs_dim + d, bins, width, depth, k) for k in jax.random.split(key, members))
        self.low, self.high, self.bins = low, high, bins

    @property
    def edges(self) -> Array:
        return jnp.linspace(self.low, self.high, self.bins + 1)

    def logits(self, obs: Array, a: Array) -> Array:
        x = jnp.concatenate([obs, a], axis=-1)
        return jnp.stack([net(x) for net in self.nets], axis=-2)

    def expectation(self, logits: Array) -> Array:
        centres = (self.edges[1:] + self.edges[:-1]) / 2
        return jax.nn.softmax(logits) @ centres

    def __call__(self, obs: Array, a: Array) -> Array:
        return self.expectation(self.logits(obs, a))
