"""What guidance did to an action: how far it moved it, how rough it made it, how unlikely."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from qgf.types import Trace


def nats(path: Trace) -> Array:
    """The divergence of the guided path from the unguided one, sum_k dt t_k / (1 - t_k) |w g_k|^2, [].

    That is KL of the two processes with the flow's marginals and the noise 2 (1 - t) / t, which forgets where it began
    and makes the divergence least (Domingo-Enrich et al. 2024; Girsanov): of an exact tilt, KL of the two densities.
    """
    dt = jnp.diff(path.t, append=1.0)
    return jnp.sum(dt * path.t / (1 - path.t) * jnp.sum((path.w[:, None] * path.g) ** 2, axis=-1))


def jerk(a: Array) -> Array:
    """Root mean square of a_{h+1} - 2 a_h + a_{h-1} over a chunk a[H, A], []; nan below three actions."""
    return jnp.sqrt(jnp.mean(jnp.diff(a, n=2, axis=0) ** 2)) if len(a) > 2 else jnp.full((), jnp.nan)


def displacement(a: Array, plain: Array, sigma: ArrayLike) -> Array:
    """|a - a'| / (sigma sqrt(d)) of two actions [d]: in standard deviations of the reference policy's own, []."""
    return jnp.linalg.norm(a - plain) / (sigma * a.size**0.5)
