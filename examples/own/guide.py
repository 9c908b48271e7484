"""A guide: one function of the velocity, the critic, the noisy action and the time.

qgf --use examples/own/guide.py evaluate runs/demo --guide none qgf late
"""

import jax.numpy as jnp

from qgf.method.guidance import ESTIMATORS, qgf


@ESTIMATORS
def late(v, q, a, t):
    """QGF in the second half of denoising only."""
    return jnp.where(t < 0.5, 0.0, qgf(v, q, a, t))
