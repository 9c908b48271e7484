"""Whether the weights of a critic's members are read faster in another form: batch 1, two members, forward and back.

    python benchmarks/members.py [--quick]

Ten guided steps of one observation, H = 5, in turns; ratios to the way that acting has, the median over turns and its
quartiles. "One product": both members' weights stacked, one batched product a layer. "bfloat16": weights stored so, and
products with float32 sums, half of the bytes. "int8": a byte a weight, a scale a column.
"""

import os
import sys
from time import perf_counter
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from amortised import SIZES
from latency import SPEC, policy

from qgf.networks.blocks import gelu_norm

OBS = np.zeros(SPEC.obs_dim, np.float32)


def apart(nets, x):
    return jnp.stack([net(x)[0] for net in nets])


def one_product(stacked, x):
    h = jnp.broadcast_to(x, (2, 1, len(x)))
    *hidden, last = zip(stacked.weights, stacked.biases, strict=True)
    for w, b in hidden:
        h = gelu_norm(jax.lax.dot_general(h, w, (((2,), (1,)), ((0,), (0,)))) + b[:, None])
    return (jax.lax.dot_general(h, last[0], (((2,), (1,)), ((0,), (0,)))) + last[1][:, None])[:, 0, 0]


def through(dot):
    """Each member by itself, its products being dot(x, w)."""

    def values(nets, x):
        def one(net):
            h = x
            *hidden, last = zip(net.weights, net.biases, strict=True)
            for w, b in hidden:
                h = gelu_norm(dot(h, w) + b)
            return (dot(h, last[0]) + last[1])[0]

        return jnp.stack([one(net) for net in nets])

    return values


@through
def bfloat16(x, w):
    return jnp.dot(x.astype(jnp.bfloat16), w, preferred_element_type=jnp.float32)


@through
def int8(x, w):
    whole, scale = w
    return (x @ whole.astype(jnp.float32)) * scale


def rounded(net):
    """Its weights as whole numbers from -127 to 127 and the scale of each column."""
    scales = [jnp.max(jnp.abs(w), axis=0) / 127 for w in net.weights]
    whole = [(jnp.round(w / s).astype(jnp.int8), s) for w, s in zip(net.weights, scales, strict=True)]
    return Rounded(whole, net.biases)


class Rounded(NamedTuple):
    weights: list[tuple[jax.Array, jax.Array]]
    biases: list[jax.Array]


def guided(values, nets):
    """Ten steps up the lowest member, compiled."""

    @jax.jit
    def path(nets, a):
        slope = jax.grad(lambda a: jnp.min(values(nets, jnp.concatenate([OBS, a]))))
        return jax.lax.scan(lambda a, _: (a + 1e-3 * slope(a), None), a, length=10)[0]

    return lambda: np.asarray(path(nets, np.full(SPEC.d, 0.1, np.float32)))


def main() -> None:
    turns = 30 if "--quick" in sys.argv else 300
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| nets | way | ratio | quartiles |\n|---|---|---|---|")
    for width, depth in SIZES:
        nets = policy(width, depth).critic.f.members.nets
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *nets)
        halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16) if eqx.is_array(x) else x, nets)
        ways = {"apart": guided(apart, nets), "one product": guided(one_product, stacked)}
        ways |= {"bfloat16": guided(bfloat16, halved), "int8": guided(int8, tuple(rounded(net) for net in nets))}
        times = {name: np.empty(turns) for name in ways}
        for turn in range(-1, turns):
            for name, way in ways.items():
                began = perf_counter()
                way()
                if turn >= 0:
                    times[name][turn] = perf_counter() - began
        for name in ("one product", "bfloat16", "int8"):
            low, mid, high = np.percentile(times[name] / times["apart"], (25, 50, 75))
            print(f"| {depth} x {width} | {name} | {mid:.2f} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
