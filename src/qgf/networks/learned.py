"""The small network that says what a guide would say."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.networks.blocks import MLP
from qgf.networks.velocity import FREQUENCIES, waves

WIDER = 2
"""Times as wide is what looks at the state: it is asked once for all the steps of a path."""


class LearnedGuide(eqx.Module):
    """g(obs[..., S], a[..., d], t[...]) -> [..., d], two hidden layers of `width` units.

    The state enters as a sum, MLP(obs) + (a, t) W, so that of all that a path asks only little depends on the step: XLA
    takes what does not out of the sampler's loop. Without normalisation between layers, which costs as much as they do.
    """

    state: MLP
    weights: tuple[Array, Array, Array]
    biases: tuple[Array, Array]
    scale: Array  # [] of what was learned, root mean square

    def __init__(self, obs_dim: int, d: int, width: int, key: Array):
        own, *keys = jax.random.split(key, 4)
        draw, sizes = jax.nn.initializers.glorot_uniform(), (d + 1 + 2 * FREQUENCIES, width, width, d)
        self.state = MLP(obs_dim, width, WIDER * width, 2, own)
        self.weights = tuple(draw(k, size) for k, size in zip(keys, pairwise(sizes), strict=True))  # type: ignore[assignment]
        self.biases = (jnp.zeros(width), jnp.zeros(d))
        self.scale = jnp.ones(())

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        enter, within, leave = self.weights
        h = jax.nn.gelu(self.state(obs) + jnp.concatenate([a, *waves(t)], axis=-1) @ enter)
        h = jax.nn.gelu(h @ within + self.biases[0])
        return self.scale * (h @ leave + self.biases[1])
