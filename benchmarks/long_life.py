"""What a process that acts for months keeps: memory, maps, descriptors and threads, as it goes on.

    python benchmarks/long_life.py [--quick]

Acts with a small policy on 10,000 batches of other sizes, loads and drops 100 policies of one make, and of 20 makes
again and again, and acts 1,000,000 times on one observation (--quick: a hundredth of all). Every line is taken after as
much work again; the first of each kind is the warm-up. Ends with status 1 if anything but the allocator's breath (2 %
of the memory, 32 maps) grows after it.
"""

import gc
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from qgf.method.policy import Policy
from qgf.training.methods.bc import BC
from qgf.training.saved import load_policy
from qgf.training.trained import Trained
from qgf.types import Calibration, Spec

SPEC = Spec(obs_dim=4, action_dim=2, horizon=2)
LINES = 5
BREATH = dict(MiB=0.02, maps=32, descriptors=0, threads=0)


def policy(width: int = 16, seed: int = 0) -> Policy:
    method = BC(width=width, depth=1)
    zeros, ones = np.zeros(SPEC.obs_dim, np.float32), np.ones(SPEC.obs_dim, np.float32)
    nets = method.init(SPEC, jax.random.key(seed))
    trained = Trained(nets, zeros, ones, method, SPEC, calibration=Calibration(0.1, 8.0))
    return trained.policy().guided("qgf", 1.0, steps=2)


def held() -> dict[str, float]:
    """What this process holds now."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return dict(
        MiB=int(status["VmRSS"].split()[0]) / 1024,
        maps=len(Path("/proc/self/maps").read_text().splitlines()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=int(status["Threads"]),
    )


def sizes(total: int) -> Iterator[Callable[[], None]]:
    """Batches of every size up to `total`, unguided, as it is programs that could pile up: first the powers of two,
    which have programs of their own, then the others as they come.
    """
    acting, key = policy().guided("none", steps=1), jax.random.key(0)
    order = np.random.default_rng(0).permutation(total) + 1
    for n in sorted(order, key=lambda n: n & (n - 1) > 0):
        yield lambda n=n: np.asarray(acting(np.zeros((n, SPEC.obs_dim), np.float32), key))


def loads(total: int, makes: int) -> Iterator[Callable[[], None]]:
    """Policies that are loaded, act once and are dropped."""
    key, obs = jax.random.key(0), np.zeros(SPEC.obs_dim, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(makes):
            policy(16 + k, k).save(Path(folder) / str(k))
        for k in range(total):
            yield lambda k=k: np.asarray(load_policy(Path(folder) / str(k % makes))(obs, key))


def calls(total: int) -> Iterator[Callable[[], None]]:
    acting, key, obs = policy(), jax.random.key(0), np.zeros(SPEC.obs_dim, np.float32)
    for _ in range(total):
        yield lambda: np.asarray(acting(obs, key))


def measure(name: str, total: int, work: Iterator[Callable[[], None]]) -> bool:
    """Do it, a line for each fifth; whether nothing grew after the first."""
    lines = []
    for number, one in enumerate(work, 1):
        one()
        if number % (total // LINES) == 0:
            lines.append(held())
            print(f"{name:>22} {number:>10,} " + " ".join(f"{x:>11.0f}" for x in lines[-1].values()), flush=True)
    first, last = lines[0], lines[-1]
    room = {key: x * first[key] if key == "MiB" else x for key, x in BREATH.items()}
    return all(last[key] - first[key] <= room[key] for key in first)


def main() -> int:
    part = 100 if "--quick" in sys.argv else 1
    print(f"{'':>22} {'done':>10} " + " ".join(f"{x:>11}" for x in BREATH))
    kinds = (
        ("batch sizes", 10_000 // part, sizes(10_000 // part)),
        ("policies of one make", max(100 // part, 10), loads(max(100 // part, 10), 1)),
        ("policies of 20 makes", max(500 // part, 100), loads(max(500 // part, 100), 20)),
        ("calls", 1_000_000 // part, calls(1_000_000 // part)),
    )
    flat = [measure(name, total, work) for name, total, work in kinds]
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return 0 if all(flat) else 1


if __name__ == "__main__":
    sys.exit(main())
