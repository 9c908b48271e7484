"""Acting with a learned guide, and with the exact one as it is and as it was, against the unguided policy.

    python benchmarks/amortised.py [--quick] [--success RUN ...]

Batch 1, H = 5, 10 denoising steps, networks that were drawn and not trained: speed does not depend on what they say.
The ways take turns; a ratio is the median of the ratios of one turn, so that what else the machine does falls on both.
"As it was": the gradient goes back through every member where the lowest counts.

With --success, of runs of `qgf evaluate RUN --guide none qgf amortised --episodes 200`, and of other ways on the same
episodes (--guide-steps 5 3 2): success, and the 95 % bootstrap interval of the difference from qgf.
"""

import argparse
import os
from pathlib import Path
from time import perf_counter

import equinox as eqx
import jax
import numpy as np
from latency import SPEC, policy

from qgf.critics.losses import lowest
from qgf.files import read_csv
from qgf.method.amortised import Distilled
from qgf.method.policy import Policy, with_fields
from qgf.networks.critic import CriticEnsemble
from qgf.networks.learned import LearnedGuide
from qgf.playing.arm import Arm
from qgf.playing.rows import Row
from qgf.statistics import bootstrap
from qgf.training.trained import Normalised
from qgf.types import Taught

SIZES = ((256, 3), (512, 4), (1024, 4))  # width, depth
SHARE = ((("amortised", "none"), "<= 1.3"), (("amortised", "qgf"), "<= 0.33 at 1024"))
SHARE += ((("qgf asked 5", "qgf"), "< 1"), (("qgf asked 5", "none"), ""))
SHARE += ((("qgf", "qgf as it was"), "< 1"), (("jacobian", "jacobian as it was"), "< 1"))


class AsItWas(eqx.Module):
    """The lowest of the members, back through all of them."""

    members: CriticEnsemble

    def __call__(self, obs, a):
        return lowest(self.members, obs, a)


def ways(width: int, depth: int) -> dict[str, Policy]:
    base = policy(width, depth)
    units = int(np.clip(width // 2, 64, 256))  # as qgf distil has it
    guide = LearnedGuide(SPEC.obs_dim, SPEC.d, units, jax.random.key(1))
    learned = Normalised(guide, base.critic.mean, base.critic.std)
    taught = with_fields(base, critic=Distilled(base.critic, learned, Taught("qgf", None, units, 0.0)))
    before = with_fields(base, critic=eqx.tree_at(lambda c: c.f, base.critic, AsItWas(base.critic.f.members)))
    made = {guide: base.guided(guide) for guide in ("none", "qgf", "jacobian")}
    made["amortised"] = taught.guided("amortised")
    made["qgf asked 5"] = base.guided("qgf", guide_steps=5)
    made["qgf as it was"] = before.guided("qgf")
    made["jacobian as it was"] = before.guided("jacobian")
    return made


def taken(chosen: dict[str, Policy], turns: int) -> dict[str, np.ndarray]:
    """Milliseconds of every turn."""
    obs, times = np.zeros(SPEC.obs_dim, np.float32), {name: np.empty(turns) for name in chosen}
    for turn in range(-1, turns):  # the first compiles
        for name, way in chosen.items():
            began = perf_counter()
            np.asarray(way(obs, jax.random.key(turn + 1)))
            if turn >= 0:
                times[name][turn] = 1e3 * (perf_counter() - began)
    return times


def speed(turns: int) -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n\n| nets | way | median ms |\n|---|---|---|")
    ratios = []
    for width, depth in SIZES:
        times = taken(ways(width, depth), turns)
        for name, ms in times.items():
            print(f"| {depth} x {width} | {name} | {np.median(ms):.2f} |", flush=True)
        for (a, b), wanted in SHARE:
            low, mid, high = np.percentile(times[a] / times[b], (25, 50, 75))
            ratios.append(f"| {depth} x {width} | {a} / {b} | {mid:.2f} | {low:.2f} to {high:.2f} | {wanted} |")
    print("\n| nets | ratio | median | quartiles | wanted |\n|---|---|---|---|---|", *ratios, sep="\n")


def success(runs: list[Path]) -> None:
    """Each way that was played against the exact guide at every step, on the same episodes."""
    print("\n| task | way | success | against qgf, 95 % | episodes |\n|---|---|---|---|---|")
    for run in runs:
        rows = {row.arm.label: row for row in read_csv(run / "evaluation.csv", Row)}
        exact = rows[Arm("qgf", 1.0).label]
        print(f"| {exact.env} | {exact.arm.label} | {exact.success:.1%} | – | {exact.episodes} |")
        for name, row in rows.items():
            if row is not exact:
                apart = 100 * (row.scores - exact.scores)
                points = "{:+.1f} ({:+.1f} to {:+.1f}) points".format(apart.mean(), *bootstrap(apart))
                print(f"| {row.env} | {name} | {row.success:.1%} | {points} | {len(apart)} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--success", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    speed(40 if options.quick else 300)
    if options.success:
        success(options.success)


if __name__ == "__main__":
    main()
