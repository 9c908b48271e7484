"""Training on more data than memory: peak memory, time to the first update, rate against the same data in memory.

    python benchmarks/window.py [--rows 1e7] [--memory 500MB] [--group 4e9] [--folder DIR] [--load]

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


RUN = """
import resource, sys, time
began = time.time()
import qgf.cli.main, qgf.training.loop, jax
jax.devices()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
imported, first, rates, cpu = peak(), [], [], []
from qgf.playing import train as playing
inner = playing.loop.train
def train(*arguments, progress, **options):
    def tell(step, logs):
        first.append(time.time() - began)
        cpu.append((step, time.process_time()))
        rates.append(logs["updates_per_second"])
        progress(step, logs)
    return inner(*arguments, progress=tell, **options)
playing.loop.train = train
try:
    qgf.cli.main.main(sys.argv[1:])
except SystemExit as ended:
    print("status", ended.code)
(a, b), (c, d) = cpu[1], cpu[-1]
print(f"RESULT {first[0]:.1f} {np.median(rates[1:]):.1f} {(c - a) / (d - b):.2f} {peak() - imported:.3f}")
""".replace("import resource,", "import numpy as np, resource,")


def trained(data: Path, out: Path, steps: int, memory: str | None, limit: int) -> dict[str, float]:
    """`qgf train` in a process of its own, in a memory group if there can be one."""
    arguments = ["train", str(data), "--out", str(out), "--overwrite", "--steps", str(steps), *NETS]
    arguments += ["--memory", memory] if memory else []
    with group(limit) as place:
        enter = (lambda: (place / "cgroup.procs").write_text(str(os.getpid()))) if place else None
        program = subprocess.run(
            [sys.executable, "-c", RUN, *arguments], preexec_fn=enter, capture_output=True, text=True
        )
    said = [line for line in program.stdout.splitlines() if "held" in line]
    print(*said, sep="\n")
    found = [line.split()[1:] for line in program.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        sys.exit(f"status {program.returncode}: {program.stdout[-500:]}{program.stderr[-1500:]}")
    grouped = f"in a group of {limit / 1e9:g} GB" if place else "in no group"
    names = ("first updates after s", "updates/s", "updates per CPU s", "peak over imports GB")
    return dict(zip(names, map(float, found[0]), strict=True)) | {grouped: 1.0}


def load(folder: Path, rows: int) -> None:
    """Peak memory of reading an .npz, and of putting it on the device, in parts of its arrays."""
    import jax

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
    prepare(dataset, TrainConfig())
    print(f"and with them on the device at {(peak() - imported) / size:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--memory", help="of the window; by default a third of what is free")
    parser.add_argument("--group", type=float, default=4e9)
    parser.add_argument("--steps", type=int, default=2500)
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
    streamed = trained(shards, out, chosen.steps, chosen.memory, int(chosen.group))
    print("through a window, cold:", json.dumps(streamed))
    held = json.loads((out / "config.json").read_text()).get("window") or {}
    small = chosen.folder / "small.npz"
    n = min(rows, max(1, held.get("block", 0) * held.get("blocks", 0) // STEPS) * (STEPS + 1), 2_000_000)
    subprocess.run([sys.executable, __file__, "--write", str(small), "--rows", str(n)], check=True)
    whole = trained(small, out, chosen.steps, None, int(chosen.group))
    print(f"{n:,} rows in memory:", json.dumps(whole))
    part = streamed["updates per CPU s"] / whole["updates per CPU s"]
    print(f"{100 * part:.0f} % of the updates per CPU second of data in memory")


if __name__ == "__main__":
    main()
