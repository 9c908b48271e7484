"""An encoder: what turns a camera's pictures into numbers. qgf --use ... train DATASET --encoder grid"""

import equinox as eqx
import jax

from qgf.networks import ENCODERS


@ENCODERS("grid")
class Grid(eqx.Module):
    """One linear layer on the picture's 4 x 4 parts, each averaged."""

    weight: jax.Array

    def __init__(self, shape, key):
        self.weight = jax.random.normal(key, (16 * shape[-1], 32)) / 4

    def __call__(self, x):
        small = jax.image.resize(x, (*x.shape[:-3], 4, 4, x.shape[-1]), "linear")
        return jax.nn.gelu(small.reshape(*x.shape[:-3], -1) @ self.weight)
