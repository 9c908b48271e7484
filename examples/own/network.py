"""A network, of which velocity fields, critics and value nets are made: qgf --use ... train DATASET --network waves"""

import equinox as eqx
import jax

from qgf.networks import NETWORKS


@NETWORKS("waves")
class Waves(eqx.Module):
    """Layers with sines between them."""

    weights: list[jax.Array]

    def __init__(self, size_in, size_out, width, depth, key):
        pairs, draw = [(size_in, width)] + [(width, width)] * depth, jax.nn.initializers.glorot_uniform()
        keys = jax.random.split(key, depth + 2)
        self.weights = [draw(k, pair) for k, pair in zip(keys, [*pairs, (width, size_out)], strict=True)]

    def __call__(self, x):
        for weight in self.weights[:-1]:
            x = jax.numpy.sin(x @ weight)
        return x @ self.weights[-1]
