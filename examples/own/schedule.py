"""A schedule: how the weight changes over the denoising time, t = 0 (noise) to 1 (action).

qgf --use examples/own/schedule.py evaluate runs/demo --schedule constant cosine
"""

import jax.numpy as jnp

from qgf.method.schedules import SCHEDULES


@SCHEDULES
def cosine(t):
    """w(t) = w (1 - cos(pi t)), slowly from nothing to twice the weight."""
    return 1 - jnp.cos(jnp.pi * t)
