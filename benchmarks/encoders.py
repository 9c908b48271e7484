"""What pictures cost on this machine: an update's convolutions, and drawing.

    python benchmarks/encoders.py [--draw]

Prints processor milliseconds of a gradient through each encoder, 64 pictures of 64 x 64 x 3, alone and as one of two
in a loop, with convolutions as matrix products over patches and as XLA's own; with --draw, of a picture of a visual
point maze and of a robot arm (MUJOCO_GL has to name a library that is there).
"""

import sys
from collections.abc import Callable
from time import process_time
from unittest.mock import patch

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qgf.networks import ENCODERS
from qgf.networks.encoders import Conv

BATCH, ROUNDS = 64, 2
DRAWN = ("visual-pointmaze-medium-navigate", "visual-cube-single-play")


def xlas(self: Conv, x: jax.Array) -> jax.Array:
    """A `Conv` as XLA has it."""
    strides, padding = (self.stride, self.stride), "SAME" if self.same else "VALID"
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, self.weight, strides, padding, dimension_numbers=axes) + self.bias


def taken(f: Callable[[], object]) -> float:
    """Milliseconds of the processor, all cores together, after a first time."""
    jax.block_until_ready(f())
    began = process_time()
    for _ in range(ROUNDS):
        jax.block_until_ready(f())
    return 1e3 * (process_time() - began) / ROUNDS


def update(name: str, times: int) -> float:
    """Of one of so many gradients in a loop; of one without a loop."""
    pictures = jax.random.normal(jax.random.key(0), (BATCH, 64, 64, 3))
    arrays, fixed = eqx.partition(ENCODERS[name]((64, 64, 3), jax.random.key(1)), eqx.is_array)

    def step(arrays, x):
        gradient = jax.grad(lambda arrays: jnp.sum(eqx.combine(arrays, fixed)(x) ** 2))(arrays)
        return jax.tree.map(lambda a, g: a - 1e-9 * g, arrays, gradient)

    def steps(arrays, x):
        if times == 1:
            return step(arrays, x)
        return jax.lax.scan(lambda arrays, _: (step(arrays, x), None), arrays, length=times)[0]

    compiled = jax.jit(steps)
    return taken(lambda: compiled(arrays, pictures)) / times


def drawing(name: str) -> float:
    from qgf.environments import family_of

    env = family_of(name).make(name)
    env.reset(seed=0)
    found = taken(lambda: np.asarray(env.unwrapped.render()))
    env.close()
    return found


def main() -> None:
    print(f"{'encoder':>10} {'convolution':>12} {'alone':>8} {'in a loop':>10}   ms of a gradient, 64 pictures")
    for name in ENCODERS.own:
        for kind in ("patches", "XLA's"):
            with patch.object(Conv, "__call__", xlas if kind == "XLA's" else Conv.__call__):
                alone, looped = update(name, 1), update(name, 2)
            print(f"{name:>10} {kind:>12} {alone:>8.0f} {looped:>10.0f}", flush=True)
    if "--draw" in sys.argv:
        for name in DRAWN:
            print(f"{name}: {drawing(name):.0f} ms a picture", flush=True)


if __name__ == "__main__":
    main()
