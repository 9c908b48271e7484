"""Pictures that are not twice the same."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qgf.types import Batch
from qgf.words import STATE

PADDING = 3
"""Pixels, FQL's."""


def shifted(batch: Batch, share: float, key: Array) -> Batch:
    """A batch with a share of its pictures moved by up to `PADDING` pixels, the border repeated: each row at random, in
    the next observation as in this one (random shift, Yarats et al. 2021; FQL's code moves all of a batch or none).

    A batch of vectors is what it is.
    """
    if share == 0 or not isinstance(batch.obs, dict):
        return batch
    draw, choose = jax.random.split(key)
    rows = len(batch.returns)
    corner = jax.random.randint(draw, (rows, 2), 0, 2 * PADDING + 1)
    corner = jnp.where(jax.random.bernoulli(choose, share, (rows, 1)), corner, PADDING)

    def moved(obs: Any) -> Any:
        return {name: x if name == STATE else _moved(x, corner) for name, x in obs.items()}

    long = batch.long and batch.long._replace(obs=moved(batch.long.obs), next_obs=moved(batch.long.next_obs))
    return batch._replace(obs=moved(batch.obs), next_obs=moved(batch.next_obs), long=long)


def _moved(pictures: Array, corner: Array) -> Array:
    """Of pictures [B, H, W, C] the H x W pixels that begin at `corner` [B, 2] of the padded ones."""
    padded = jnp.pad(pictures, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="edge")
    cut = lambda x, at: jax.lax.dynamic_slice(x, (at[0], at[1], 0), pictures.shape[1:])
    return jax.vmap(cut)(padded, corner)
