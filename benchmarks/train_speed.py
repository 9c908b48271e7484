"""Training speed: FLOP of the losses' matrix products per second, over the machine's own float32 product rate.

    python benchmarks/train_speed.py [--quick] [--precision bfloat16]

Prints one row per size, H = 5: updates per second and the fraction of the rate measured in the same run, taken right
before and after the size. The FLOP are counted from the layers: 2 x batch x in x out per product; a forward pass is
one such product per layer, a backward pass two more, less the one that would give the gradient in the input. Rate and
targets are those of float32 in either precision.
"""

import argparse
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from machine import fastest, matmul_rate

from qgf.networks.velocity import FREQUENCIES
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.methods.bc import BC
from qgf.types import Spec

SPEC = Spec(obs_dim=28, action_dim=5, horizon=5)  # cube-single
SIZES = ((256, 3, 256), (512, 4, 256), (1024, 4, 1024))  # width, depth, batch
TARGETS = (0.50, 0.65, 0.78)


def forward(size_in: int, size_out: int, width: int, depth: int, batch: int) -> int:
    sizes = [size_in, *[width] * depth, size_out]
    return sum(2 * batch * i * o for i, o in pairwise(sizes))


def flop_per_update(width: int, depth: int, batch: int, critics: int = 2) -> int:
    """Cloning, TD and expectile losses: what is trained goes forward and back, targets only forward."""

    def passes(size_in, size_out, trained):
        once = forward(size_in, size_out, width, depth, batch)
        return 3 * once - 2 * batch * size_in * width if trained else once

    s, d = SPEC.obs_dim, SPEC.d
    flow = passes(s + d + 1 + 2 * FREQUENCIES, d, trained=True)
    critic = critics * (passes(s + d, 1, trained=True) + passes(s + d, 1, trained=False))
    value = passes(s, 1, trained=True) + passes(s, 1, trained=False)
    return flow + critic + value


def data(rows: int = 100_000) -> Chunks:
    rng = np.random.default_rng(0)
    obs, actions = rng.normal(size=(rows, SPEC.obs_dim)), rng.uniform(-1, 1, (rows, SPEC.action_dim))
    starts = np.arange(rows - SPEC.horizon, dtype=np.int32)
    returns, bootstrap = -rng.uniform(size=len(starts)), np.full(len(starts), 0.95)
    cast = lambda x: jnp.asarray(x, jnp.float32)
    return Chunks(cast(obs), cast(actions), jnp.asarray(starts), cast(returns), cast(bootstrap))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    quick, precision = options.quick, None if options.precision == "float32" else options.precision
    chunks = data()
    print(
        f"{'size':>10} {'batch':>6} {'updates/s':>10} {'GFLOP/s':>8} {'product rate':>13} {'fraction':>9} {'target':>7}"
    )
    for (width, depth, batch), target in zip(SIZES, TARGETS, strict=True):
        learner = Learner(BC(width=width, depth=depth), SPEC, 3e-4, batch, precision=precision)
        flop = flop_per_update(width, depth, batch)
        updates = max(2, int((0.3 if quick else 2) * 1.5e11 / flop))
        state = learner.init(jax.random.key(0))

        def call(learner=learner, updates=updates):
            nonlocal state
            state, logs = learner.run(state, chunks, updates)
            return logs

        before = matmul_rate()
        seconds = fastest(call, 2 if quick else 5) / updates
        rate = max(before, matmul_rate())
        print(
            f"{depth} x {width:<6} {batch:>6} {1 / seconds:>10.1f} {flop / seconds / 1e9:>8.1f} {rate / 1e9:>13.1f} "
            f"{flop / seconds / rate:>8.1%} {target:>7.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
