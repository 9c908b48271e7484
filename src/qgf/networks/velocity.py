"""The velocity field of a flow."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from qgf.networks.blocks import MLP, Network

FREQUENCIES = 4


class VelocityField(eqx.Module):
    """v(obs[..., S], a[..., d], t[...]) -> [..., d].

    The time enters as t and as sin, cos of pi 2^k t for k = 0..3: smooth between any two grid points, because a
    flow is trained on all of [0, 1] and sampled on any number of steps. `size_out` replaces d in the result.
    """

    net: Callable[[Array], Array]

    def __init__(
        self,
        obs_dim: int,
        d: int,
        width: int,
        depth: int,
        key: Array,
        size_out: int | None = None,
        network: Network = MLP,
    ):
        self.net = network(obs_dim + d + 1 + 2 * FREQUENCIES, size_out or d, width, depth, key)

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.net(jnp.concatenate([obs, a, *waves(t)], axis=-1))


def waves(t: Array) -> tuple[Array, Array, Array]:
    """The time t[...] as networks see it, [..., 1 + 2 FREQUENCIES] in three parts."""
    t = t[..., None]
    phase = jnp.pi * 2.0 ** jnp.arange(FREQUENCIES) * t
    return t, jnp.sin(phase), jnp.cos(phase)
