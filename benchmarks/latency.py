"""Latency of acting: one observation, on this machine, per guide and network size.

    python benchmarks/latency.py [--quick]

Prints median and 99th percentile of one compiled call from NumPy observation to NumPy actions, 10 denoising steps,
H = 5, and the ratio of medians to the unguided policy of the same size. Guides take turns, so that what else the
machine does falls on all of them alike.
"""

import sys

import jax
import numpy as np

from qgf.deployment.bench import bench
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
    calls = 40 if "--quick" in sys.argv else 300
    obs = np.zeros(SPEC.obs_dim, np.float32)
    print(f"{'size':>10} {'arm':>14} {'median ms':>10} {'p99 ms':>8} {'x none':>7} {'MB read':>8} {'of bandwidth':>13}")
    for width, depth in SIZES:
        base = policy(width, depth)
        ways = {guide: base.guided(guide) for guide in ESTIMATORS}
        ways |= {f"{guide} best-of-4": base.guided(guide, best_of=4) for guide in ("none", "qgf")}
        for row in bench(ways, obs, (1,), calls, seconds=600):
            times = f"{row.median_ms:>10.2f} {row.p99_ms:>8.2f} {row.ratio:>7.1f}"
            print(
                f"{depth} x {width:<6} {row.name:>14} {times} {row.weights_mb:>8.1f} {row.bandwidth:>13.0%}", flush=True
            )


if __name__ == "__main__":
    main()
