"""Training and acting on one device, at the paper's size: one table with the device's name, made for a GPU.

    make bench-gpu                                 (its own environment, .venv-gpu)
    python benchmarks/gpu.py [--tiny] [--out FILE]   (whatever device JAX has; --tiny: seconds, on any)

4 x 1024 networks, batch 1024, H = 5, synthetic data. Training: updates per second of one seed and of ten side by side,
and the share of the device's own rate of float32 matrix products (1024 cubed for one seed's batch, measured in the same
run) that the losses' products reach. Acting: decisions per second of batches, unguided, guided, and by a learned guide.
Memory is the peak that the device reports; a CPU reports none.
"""

import argparse
from pathlib import Path
from time import perf_counter

import jax
import numpy as np
from latency import SPEC
from machine import fastest, matmul_rate
from train_speed import data, flop_per_update

from qgf.method.amortised import Distilled
from qgf.method.policy import with_fields
from qgf.networks.learned import LearnedGuide
from qgf.training.config import TrainConfig
from qgf.training.learner import Learner
from qgf.training.methods.bc import BC
from qgf.training.setup import initial_state
from qgf.training.trained import Normalised, Trained
from qgf.types import Calibration, Taught

SECONDS = 5.0
"""About so long is each call that is timed."""


def memory() -> str:
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return "–" if peak is None else f"{peak / 2**30:.2f}"


def training(width: int, depth: int, batch: int, seeds: int, rate: float, seconds: float) -> list[str]:
    learner = Learner(BC(width=width, depth=depth), SPEC, 3e-4, batch)
    chunks, flop = data(10_000), seeds * flop_per_update(width, depth, batch)
    updates = max(2, int(seconds * 0.5 * rate / flop))
    state = initial_state(learner, TrainConfig(seeds=seeds))

    def call():
        nonlocal state
        state, logs = learner.run(state, chunks, updates)
        return logs

    taken = fastest(call, 2) / updates
    reached = flop / taken
    name = f"training, {seeds} seed{'s' if seeds > 1 else ''}"
    return [name, f"{1 / taken:.1f} updates/s", f"{reached / 1e12:.3g}", f"{reached / rate:.0%}", memory()]


def acting(width: int, depth: int, batch: int, seconds: float) -> list[list[str]]:
    method, zeros = BC(width=width, depth=depth), np.zeros(SPEC.obs_dim, np.float32)
    nets = method.init(SPEC, jax.random.key(0))
    base = Trained(nets, zeros, zeros + 1, method, SPEC, calibration=Calibration(0.1, 8.0)).policy()
    guide = LearnedGuide(SPEC.obs_dim, SPEC.d, 256, jax.random.key(1))
    learned = Normalised(guide, base.critic.mean, base.critic.std)
    taught = with_fields(base, critic=Distilled(base.critic, learned, Taught("qgf", None, 256, 0.0)))
    obs, rows = np.zeros((batch, SPEC.obs_dim), np.float32), []
    for name in ("none", "qgf", "amortised"):
        policy, times = taught.guided(name), []
        np.asarray(policy(obs, 0))
        began = perf_counter()
        while len(times) < 3 or perf_counter() - began < seconds / 5:
            start = perf_counter()
            np.asarray(policy(obs, len(times)))
            times.append(perf_counter() - start)
        middle = float(np.median(times))
        rows.append(
            [f"acting, {name}, batch {batch}", f"{batch / middle:.0f} decisions/s, {1e3 * middle:.2f} ms", "", ""]
        )
        rows[-1].append(memory())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    width, depth, batch, seeds, batches, seconds, n = 1024, 4, 1024, (1, 10), (1, 64, 1024), SECONDS, 1024
    if options.tiny:
        width, depth, batch, seeds, batches, seconds, n = 16, 1, 16, (1, 2), (4,), 0.01, 64
    device = jax.devices()[0]
    rate = matmul_rate(n, products=5 if options.tiny else 100, repeats=2)
    lines = [
        f"{device.device_kind} ({device.platform}), JAX {jax.__version__}: {rate / 1e12:.3g} TFLOP/s in products of "
        f"{n} x {n}; networks {depth} x {width}, batch {batch}",
        "",
        "| what | rate | TFLOP/s | of the products' rate | peak GiB |",
        "|---|---|---|---|---|",
    ]
    rows = [training(width, depth, batch, k, rate, seconds) for k in seeds]
    rows += [row for size in batches for row in acting(width, depth, size, seconds)]
    table = "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
    print(table)
    if options.out:
        options.out.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
