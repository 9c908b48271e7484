"""How the guidance weight changes over the denoising time."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from qgf.registry import Registry

Schedule = Callable[[Array], Array]


def constant(t: Array) -> Array:
    """w(t) = w (QGF)."""
    return jnp.ones_like(t)


def score(t: Array) -> Array:
    """w(t) = w min((1 - t) / t, 10): with w = 1 / beta, what adding grad Q / beta to the score adds to the velocity."""
    return jnp.minimum((1 - t) / jnp.maximum(t, 1e-6), 10.0)


def linear(t: Array) -> Array:
    """w(t) = 2 t w: from nothing to twice the weight, as is best for classifier-free guidance (Wang et al. 2024)."""
    return 2 * t


SCHEDULES = Registry[Schedule]("schedule", dict(constant=constant, score=score, linear=linear))


def schedule(name: str | Schedule) -> Schedule:
    """The schedule of a name, or the function itself. Raises UserError for an unknown name."""
    return name if callable(name) else SCHEDULES.find(name)
