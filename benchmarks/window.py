"""Training on more data than memory: peak memory, time to the first update, rate against the same data in memory.

    python benchmarks/window.py [--rows 1e7] [--memory 500MB] [--group 4e9] [--pairs 10] [--folder DIR] [--load]

Writes synthetic record shards of so many rows (28 observations, 5 actions, episodes of 1,000 steps; 14 GB for 1e8),
drops them from the page cache, and calls `qgf train` on them in a process of its own; where there is a memory group to
be had (version 1, as root) that is limited to `--group` bytes. Then the same nets on as much data as the window holds,
in memory. `--load` measures instead what reading an .npz of so many rows and putting it on the device takes, in parts
of its arrays. Peaks are over what the imports took.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

STEPS = 1000
PART = 100
"""Episodes that are made at a time."""
NETS = ("--width", "256", "--depth", "3", "--batch-size", "256", "--log-every", "250", "--checkpoint-every", "1000000")


def episodes(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Arrays of so many whole episodes' rows."""
    rng = np.random.default_rng(seed)
    ends = np.arange(rows) % (STEPS + 1) == STEPS
    return dict(
        observations=rng.standard_normal((rows, 28), dtype=np.float32),
        actions=rng.random((rows, 5), dtype=np.float32) * 2 - 1,
        terminals=ends,
        rewards=rng.integers(-1, 1, rows).astype(np.float32),
        masks=np.ones(rows, np.float32),
    )


def write_shards(target: Path, rows: int) -> None:
    """Through the converter, a part at a time."""
    from qgf.data.converting import Source, convert
    from qgf.data.dataset import Dataset

    size = PART * (STEPS + 1)

    def parts() -> Iterator[Dataset]:
        for k in range(max(1, round(rows / size))):
            yield Dataset.from_arrays(episodes(size, k), f"part {k}")

    convert(Source(target.name, parts, []), target)


def drop(folder: Path) -> None:
    """Out of the page cache, as far as the system does so."""
    os.sync()
    for path in folder.rglob("*.npy"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def group(limit: int) -> Iterator[Path | None]:
    """A memory group of so many bytes below this process's own; None where none can be made."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory"), "")
    place = Path(f"/sys/fs/cgroup/memory{own}/qgf-window-{os.getpid()}")
    try:
        place.mkdir()
        (place / "memory.limit_in_bytes").write_text(str(limit))
    except OSError:
        yield None
        return
    try:
        yield place
    finally:
        place.rmdir()


FRESH = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
"""What compiles its programs itself."""
RUN = """
import resource, sys, time
began = time.time()
import qgf.cli.main, qgf.training.loop, jax
jax.devices()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
now = lambda: (time.time() - began, time.process_time())
imported, before, calls = peak(), now(), []
from qgf.playing import train as playing
inner = playing.loop.train
def train(*arguments, progress, **options):
    def tell(step, logs):
        calls.append((*now(), 250 / logs["updates_per_second"]))
        progress(step, logs)
    return inner(*arguments, progress=tell, **options)
playing.loop.train = train
try:
    qgf.cli.main.main(sys.argv[1:])
except SystemExit as ended:
    print("status", ended.code)
(wall, cpu, _), (_, a, _), (_, b, seconds) = calls
print("RESULT", *before, wall - seconds, cpu - (b - a), peak() - imported)
"""
"""`qgf train`, of whose first interval the updates, as many as in the third, are taken off."""
PAIRS = """
import json, sys, time
from dataclasses import replace
import jax, numpy as np
from qgf.environments.datasets import load_dataset
from qgf.training.config import TrainConfig
from qgf.training.memory import read_size
from qgf.training.setup import prepare
shards, small, memory, calls = sys.argv[1:]
config = TrainConfig(log_every=250, batch_size=256)
config = replace(config, method=replace(config.method, width=256, depth=3))
through = prepare(load_dataset(shards), config, memory=read_size(memory))
kinds = [through, prepare(load_dataset(small), config)]
states, taken = [setup.start() for setup in kinds], []
for call in range(int(calls) + 1):
    for k in (0, 1) if call % 2 else (1, 0):
        wall, cpu = time.time(), time.process_time()
        states[k], _ = kinds[k].learner.run(states[k], kinds[k].window.at(250 * call), 250)
        jax.block_until_ready(states[k])
        taken.append((call, k, time.time() - wall, time.process_time() - cpu))
kinds[0].window.close()
print(kinds[0].held)
print("RESULT", json.dumps(taken))
"""
"""The same updates through a window and on data in memory, in turns, after one call of each that compiles."""


def performed(program: str, arguments: list[str], limit: int) -> tuple[list[str], str]:
    """What a program, in a process of its own and in a memory group if there can be one, says of its results; and
    that group. The lines that say what is held are printed.
    """
    with group(limit) as place:
        enter = (lambda: (place / "cgroup.procs").write_text(str(os.getpid()))) if place else None
        found = subprocess.run(
            [sys.executable, "-c", program, *arguments], preexec_fn=enter, capture_output=True, text=True, env=FRESH
        )
    lines = found.stdout.splitlines()
    print(*(line for line in lines if "held" in line), sep="\n")
    results = [line.removeprefix("RESULT ") for line in lines if line.startswith("RESULT")]
    if not results:
        sys.exit(f"status {found.returncode}: {found.stdout[-500:]}{found.stderr[-1500:]}")
    return results, f"in a group of {limit / 1e9:g} GB" if place else "in no group"


def trained(data: Path, out: Path, steps: int, memory: str | None, limit: int) -> None:
    """Time to the first update, and peak, of `qgf train` on what is not in the page cache."""
    arguments = ["train", str(data), "--out", str(out), "--overwrite", "--steps", str(steps), *NETS]
    (found,), where = performed(RUN, arguments + (["--memory", memory] if memory else []), limit)
    wall, cpu, first, first_cpu, peak = map(float, found.split())
    print(
        f"{where}, load {os.getloadavg()[0]:.1f}: imports {wall:.1f} s ({cpu:.1f} CPU s), first update after "
        f"{first:.1f} s ({first_cpu:.1f} CPU s), peak over imports {peak:.2f} GB"
    )


def paired(shards: Path, small: Path, memory: str, calls: int, limit: int) -> None:
    """The rate of updates, in parts of that of data in memory: its median over pairs of calls, and the quartiles."""
    (found,), _ = performed(PAIRS, [str(shards), str(small), memory, str(calls)], limit)
    taken = np.array([row for row in json.loads(found) if row[0]]).reshape(-1, 2, 4)
    taken = np.stack([pair[np.argsort(pair[:, 1])] for pair in taken])  # [calls, window or not, ...]
    for unit, column in (("CPU second", 3), ("second", 2)):
        low, middle, high = 100 * np.quantile(taken[:, 1, column] / taken[:, 0, column], (0.25, 0.5, 0.75))
        rates = 250 / np.median(taken[:, :, column], axis=0)
        print(
            f"updates per {unit}: {rates[0]:.1f} through a window, {rates[1]:.1f} in memory; of {len(taken)} pairs in "
            f"turns {middle:.1f} % [{low:.1f}, {high:.1f}]"
        )


def load(folder: Path, rows: int) -> None:
    """Peak memory of reading an .npz, and of putting it on the device, in parts of its arrays."""
    import jax

    from qgf.data.dataset import expendable
    from qgf.environments.datasets import load_dataset
    from qgf.training.config import TrainConfig
    from qgf.training.setup import prepare

    path = folder / f"{rows}.npz"
    if not path.exists():
        subprocess.run([sys.executable, __file__, "--write", str(path), "--rows", str(rows)], check=True)
    jax.block_until_ready(jax.numpy.zeros(8))
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    imported, size = peak(), path.stat().st_size
    dataset = load_dataset(path)
    print(f"{rows:,} rows: load_dataset peaks at {(peak() - imported) / size:.2f} x the arrays ({size / 1e9:.2f} GB)")
    setup = prepare(expendable(dataset), TrainConfig())
    jax.block_until_ready(setup.chunks)
    print(f"and with them on the device, as `qgf train` has them, at {(peak() - imported) / size:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--memory", help="of the window; by default a quarter of what is free")
    parser.add_argument("--group", type=float, default=4e9)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("runs/window"))
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--write", type=Path, help="an .npz, and nothing else")
    chosen = parser.parse_args()
    rows = round(chosen.rows / (STEPS + 1)) * (STEPS + 1)
    if chosen.write:
        return np.savez(chosen.write, **episodes(rows, 0))  # type: ignore[arg-type]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.load:
        return load(chosen.folder, rows)
    shards = chosen.folder / f"{rows}.shards"
    if not shards.exists():
        began, cpu = time.time(), time.process_time()
        write_shards(shards, rows)
        print(f"written in {time.time() - began:.0f} s, {time.process_time() - cpu:.0f} CPU s")
    drop(shards)
    out = chosen.folder / "run"
    trained(shards, out, 750, chosen.memory, int(chosen.group))
    held = json.loads((out / "config.json").read_text()).get("window") or {}
    small = chosen.folder / "small.npz"
    n = min(rows, max(1, held.get("block", 0) * held.get("blocks", 0) // STEPS) * (STEPS + 1), 2_000_000)
    subprocess.run([sys.executable, __file__, "--write", str(small), "--rows", str(n)], check=True)
    print(f"{n:,} rows in memory:")
    paired(shards, small, chosen.memory or "1GB", chosen.pairs, int(chosen.group))


if __name__ == "__main__":
    main()
