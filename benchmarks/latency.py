"""Latency of acting: one observation, on this machine, per guide and network size.

    python benchmarks/latency.py [--quick]

Prints median and 99th percentile of one compiled call from NumPy observation to NumPy actions, 10 denoising steps,
H = 5, and the ratio of medians to the unguided policy of the same size. Guides take turns, so that what else the
machine does falls on all of them alike.
"""

import sys
from time import perf_counter

import jax
import numpy as np

from qgf.method.guidance import ESTIMATORS
from qgf.method.policy import Policy
from qgf.training.methods.bc import BC
from qgf.training.trained import Trained
from qgf.types import Calibration, Spec

SPEC = Spec(obs_dim=28, action_dim=5, horizon=5)  # cube-single
SIZES = ((128, 3), (256, 3), (512, 4), (1024, 4))  # width, depth


def policy(width: int, depth: int) -> Policy:
    method = BC(width=width, depth=depth)
    zeros, ones = np.zeros(SPEC.obs_dim, np.float32), np.ones(SPEC.obs_dim, np.float32)
    nets = method.init(SPEC, jax.random.key(0))
    return Trained(nets, zeros, ones, method, SPEC, calibration=Calibration(0.1, 8.0)).policy()


def main() -> None:
    rounds = 40 if "--quick" in sys.argv else 300
    obs = np.zeros((1, SPEC.obs_dim), np.float32)
    print(f"{'size':>10} {'arm':>14} {'median ms':>10} {'p99 ms':>8} {'x none':>7}")
    for width, depth in SIZES:
        base = policy(width, depth)
        ways = {guide: base.guided(guide) for guide in ESTIMATORS}
        ways |= {f"{guide} best-of-4": base.guided(guide, best_of=4) for guide in ("none", "qgf")}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                key = jax.random.key(turn)
                began = perf_counter()
                np.asarray(way(obs, key))
                if turn:  # the first turn compiles
                    times[name].append(1e3 * (perf_counter() - began))
        plain = np.median(times["none"])
        for name, taken in times.items():
            median, late = np.percentile(taken, (50, 99))
            print(f"{depth} x {width:<6} {name:>14} {median:>10.2f} {late:>8.2f} {median / plain:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
