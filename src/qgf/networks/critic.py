"""Critic ensembles and the value net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError
from qgf.networks.blocks import MLP, Dropped, Fourier, Network, Scaled
from qgf.networks.encoders import Encoded

Ensemble = TypeVar("Ensemble", "CriticEnsemble", "CategoricalEnsemble", Encoded)


class Fused(eqx.Module):
    """Networks of one make as one, whose weights have a leading axis of members: one product a layer for all of them.
    [..., in] -> [..., members].
    """

    stacked: Callable[[Array], Array]

    def __init__(self, nets: Sequence[Callable[[Array], Array]]):
        self.stacked = jax.tree.map(lambda *x: jnp.stack(x) if eqx.is_array(x[0]) else x[0], *nets)

    def __call__(self, x: Array) -> Array:
        return jnp.moveaxis(eqx.filter_vmap(lambda net: net(x)[..., 0])(self.stacked), 0, -1)


class CriticEnsemble(eqx.Module):
    """`members` independent critics Q_i(obs[..., S], a[..., d]), returned together as [..., members]."""

    nets: tuple[Callable[[Array], Array], ...]

    def __init__(
        self,
        obs_dim: int,
        d: int,
        width: int,
        depth: int,
        members: int,
        key: Array,
        network: Network = MLP,
        fused: bool = False,
    ):
        nets = tuple(network(obs_dim + d, 1, width, depth, k) for k in jax.random.split(key, members))
        self.nets = (Fused(nets),) if fused else nets

    def __call__(self, obs: Array, a: Array) -> Array:
        x = jnp.concatenate([obs, a], axis=-1)
        return jnp.concatenate([net(x) for net in self.nets], axis=-1)


def dropped(ensemble: Ensemble, rate: float, key: Array) -> Ensemble:
    """The ensemble with `Dropped` networks, each with its own draws. Raises UserError for networks of a kind that has
    no hidden layers to be asked for.
    """

    def one(net, key):
        if isinstance(net, Fused):
            members = len(jax.tree.leaves(net.stacked)[0])
            each = eqx.filter_vmap(lambda net, key: one(net, key))(net.stacked, jax.random.split(key, members))
            return eqx.tree_at(lambda n: n.stacked, net, each)
        if isinstance(net, (Scaled, Fourier)):
            return eqx.tree_at(lambda n: n.net, net, one(net.net, key))
        if not isinstance(net, MLP):
            raise UserError("dropout acts in the hidden layers of --network mlp, and this critic's networks are others")
        return Dropped(net, key, rate)

    if isinstance(ensemble, Encoded):  # encoders have no hidden layers to be asked for
        return ensemble.around(dropped(ensemble.net, rate, key))
    keys = jax.random.split(key, len(ensemble.nets))
    nets = tuple(one(net, k) for net, k in zip(ensemble.nets, keys, strict=True))
    return eqx.tree_at(lambda e: e.nets, ensemble, nets)


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
