"""What stands between an update and the machine's rate of products: the update with parts of it left out, in turns.

    python benchmarks/train_profile.py [--width 512 --depth 4 --batch 256] [--quick]

A part's time is what the update loses without it, at the fastest of its turns. The products of these shapes are x W,
g W^T and x^T g of the hidden layers alone: what they lose to products of 1024^3 no update of these sizes can have back.
"""

import argparse
from contextlib import ExitStack
from time import perf_counter
from unittest import mock

import jax
import jax.numpy as jnp
import optax
from machine import matmul_rate
from train_speed import SPEC, data, flop_per_update

from qgf.training.learner import Learner
from qgf.training.methods.bc import BC

NORM = ("GELU and LayerNorm", [("qgf.networks.blocks.gelu_norm", lambda z: z)])
ADAM = (
    "Adam and target networks",
    [
        ("qgf.training.learner.Program.adam", property(lambda self: optax.sgd(1e-4))),
        ("qgf.training.methods.bc.BC.after", lambda self, nets: nets),
    ],
)


def without(*parts):
    """Everything of these parts replaced by what costs nothing."""
    stack = ExitStack()
    for _, patches in parts:
        for place, x in patches:
            stack.enter_context(mock.patch(place, x))
    return stack


def update(parts, width: int, depth: int, batch: int, updates: int, chunks):
    """A call of so many updates without these parts, compiled."""
    with without(*parts):
        learner = Learner(BC(width=width, depth=depth), SPEC, 3e-4, batch)
        state = learner.init(jax.random.key(0))
        steps = lambda s: jax.lax.scan(lambda s, _: learner.update(s, chunks), s, length=updates, unroll=2)[0]
        run = jax.jit(steps).lower(state).compile()
    return lambda: jax.block_until_ready(run(state))


def products(width: int, batch: int, layers: int):
    """Forward and back through so many hidden layers, products alone: the call, and its FLOP."""
    weights = jax.random.normal(jax.random.key(0), (layers, width, width)) / width**0.5

    @jax.jit
    def run(x, weights):
        def layer(carry, w):
            x, g = carry
            return (x @ w, g @ w.T), jnp.sum((x.T @ g)[:1])

        (x, g), sums = jax.lax.scan(layer, (x, x), weights)
        return x, g, sums

    x = jax.random.normal(jax.random.key(1), (batch, width))
    return lambda: jax.block_until_ready(run(x, weights)), 6 * layers * batch * width**2


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, usual in (("width", 512), ("depth", 4), ("batch", 256)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    width, depth, batch = options.width, options.depth, options.batch
    flop, chunks = flop_per_update(width, depth, batch), data(10_000)
    updates, turns = (4, 3) if options.quick else (30, 15)
    alone, flop_alone = products(width, batch, 20 * updates)
    ways = {"all": update((), width, depth, batch, updates, chunks)}
    ways |= {f"without {part[0]}": update((part,), width, depth, batch, updates, chunks) for part in (NORM, ADAM)}
    ways |= {"without either": update((NORM, ADAM), width, depth, batch, updates, chunks), "products": alone}
    fastest = dict.fromkeys(ways, float("inf"))
    rate = 0.0
    for turn in range(-1, turns):
        rate = max(rate, matmul_rate(products=20, repeats=1))
        for name, call in ways.items():
            began = perf_counter()
            call()
            if turn >= 0:
                fastest[name] = min(fastest[name], perf_counter() - began)
    one = {name: 1e3 * seconds / updates for name, seconds in fastest.items()}
    limit = flop_alone / fastest["products"] / rate
    print(f"{depth} x {width}, batch {batch}: {flop / 1e9:.2f} GFLOP, 1024^3 products at {rate / 1e9:.0f} GFLOP/s")
    print(f"products of its hidden layers' shapes alone reach {limit:.0%} of that\n")
    print("| update | ms | of the rate |\n|---|---|---|")
    for name in [name for name in ways if name != "products"]:
        print(f"| {name} | {one[name]:.2f} | {1e3 * flop / one[name] / rate:.0%} |")


if __name__ == "__main__":
    main()
