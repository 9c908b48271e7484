"""What a large set on many hosts costs, from what its parts cost on this machine.

    python benchmarks/scale.py [--rows 1e6] [--folder DIR] [--total 1e9] [--hosts 64] [--updates 1e6] [--out FILE.md]

Measures, with 28 observations and 5 actions and networks of 3 x 256: bytes of a row in record shards, CPU seconds of
writing them, of reading random whole episodes (dropped from the page cache first) and of an update, bytes of the
networks. The second table is arithmetic on the first; network cards and GPUs are not measured.
"""

import argparse
import resource
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from window import STEPS, drop, write_shards

from qgf.data.stored import Stored
from qgf.playing.train import train
from qgf.training.config import TrainConfig
from qgf.training.methods.bc import BC

EPISODES, UPDATES, EVERY = 100, 750, 250


class Unit(NamedTuple):
    """What was measured."""

    row: float  # bytes
    write: float  # CPU seconds a row
    read: float  # CPU seconds a row
    update: float  # CPU seconds of one with a batch of `batch`
    batch: int
    parameters: int  # bytes of those that are trained


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(rows: int, folder: Path) -> Unit:
    shards = folder / f"{rows}.shards"
    began = cpu()
    write_shards(shards, rows)
    written = cpu() - began
    size = sum(path.stat().st_size for path in shards.rglob("*") if path.is_file())
    data = Stored.of(shards)
    drop(shards)
    chosen = np.random.default_rng(0).choice(len(data.first), min(EPISODES, len(data.first)), replace=False)
    began = cpu()
    read = [data.part(data.first[k : k + 1], data.lengths[k : k + 1]) for k in chosen]
    got, seen = sum(len(x.observations) for x in read), cpu() - began
    method = BC(width=256, depth=3)
    config = TrainConfig(method=method, steps=UPDATES, log_every=EVERY, checkpoint_every=10 * UPDATES)
    marks: list[float] = []
    run = train(shards, config, folder / "run", progress=lambda step, logs: marks.append(cpu()))
    update = (marks[-1] - marks[0]) / (EVERY * (len(marks) - 1))
    parameters = sum(x.nbytes for x in jax.tree.leaves(run.trained().nets) if hasattr(x, "nbytes"))
    return Unit(size / rows, written / rows, seen / got, update, config.batch_size, parameters)


def tables(unit: Unit, total: float, hosts: int, updates: float) -> str:
    drawn, mib, gib = updates * unit.batch * hosts, 2**20, 2**30
    rows = unit.batch / unit.update  # a second and host
    sent = 2 * unit.parameters * (hosts - 1) / hosts / mib
    measured = {
        "a row in record shards": f"{unit.row:.0f} bytes",
        "writing shards": f"{1e6 * unit.write:.1f} CPU s a million rows",
        "reading random whole episodes": f"{1e6 * unit.read:.2f} CPU s a million rows",
        f"an update, 3 × 256, batch {unit.batch}": f"{1e3 * unit.update:.1f} CPU ms",
        "networks, with averages": f"{unit.parameters / mib:.1f} MiB",
    }
    pace = f"{1e3 * unit.update:.1f} ms an update, {updates * unit.update / 3600:.1f} hours"
    reading = f"{rows * unit.row / mib:.2f} MiB/s a host, {hosts * rows * unit.row / mib:.0f} MiB/s from what all share"
    told = {
        "storage, one copy that all hosts see": f"{unit.row * total / gib:,.0f} GiB",
        "storage on each host, if it has its own episodes alone": f"{unit.row * total / hosts / gib:,.1f} GiB",
        "writing the shards, once, in one process": f"{unit.write * total / 3600:.1f} CPU hours",
        "rows that are drawn": f"{drawn:,.0f}: the set {drawn / total:,.1f} times",
        "time, with one core of a host": pace,
        "reading as many rows as are drawn": f"{reading}; {100 * unit.read * rows:.1f} % of the host's core",
        "gradients, sent and received by a host (ring)": f"{sent:.1f} MiB an update, {sent / unit.update:.0f} MiB/s",
    }
    asked = f"{total:,.0f} rows, {hosts} hosts, {updates:,.0f} updates of {hosts} × {unit.batch}"
    lines = []
    for head, table in (("measured here", measured), (asked, told)):
        lines += [f"| {head} | |", "|---|---|", *(f"| {name} | {x} |" for name, x in table.items()), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--total", type=float, default=1e9)
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--updates", type=float, default=1e6)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = max(1, round(asked.rows / (STEPS + 1))) * (STEPS + 1)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        text = tables(measure(rows, Path(folder)), asked.total, asked.hosts, asked.updates)
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
