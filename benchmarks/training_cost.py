"""What an update of every training method costs: counted operations, measured speed, memory.

    python benchmarks/training_cost.py [--width 256] [--quick] [--out docs/results/training-cost.csv]

One row per method and critic, sizes of cube-single, H = 5, batch 256, all networks trained (nothing lent). GFLOP are
counted on the program of one update (2 M N K per matrix product). Speed is the fastest of several calls of many
updates each; the calls of all rows take turns, so that what else the machine does falls on all of them alike. Memory is
that of networks and optimiser, and of the compiled program beside its arguments; the dataset is not in it. --out
writes the table as CSV, and as Markdown beside it.
"""

import argparse
from pathlib import Path
from time import perf_counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from machine import matmul_rate
from train_speed import SPEC, data

from qgf.data.hindsight import GoalChunks
from qgf.files import write_table, write_text
from qgf.laboratory.cost import memory
from qgf.method.flops import flops
from qgf.pages.tables import markdown
from qgf.training.learner import Learner
from qgf.training.methods import METHODS
from qgf.training.options import make_method

ROWS = [(name, {}) for name in METHODS if name not in ("robust-q", "cfgrl", "lab", "ifql")] + [
    ("bc", dict(critic="td")),
    ("bc", dict(critic="hl-gauss", value_low=-100.0, value_high=0.0)),
    ("bc", dict(critic="ensemble")),
    ("qam", dict(critic="ensemble")),
]


def goals(method, spec) -> GoalChunks:
    """Episodes of 1000 steps with goals of `spec.goal_dim`."""
    plain, length = data(), 1000
    rows = len(plain.obs)
    last = np.arange(rows) // length * length + length - 1
    starts = np.flatnonzero(np.arange(rows) + method.long <= last)
    cast = lambda x: jnp.asarray(x, jnp.int32)
    return GoalChunks(
        plain.obs, plain.obs[:, : spec.goal_dim], plain.actions, cast(starts), cast(last[starts]), 0.99, method.mix,
        method.long,
    )  # fmt: skip


def megabytes(tree) -> float:
    return sum(x.nbytes for x in jax.tree.leaves(eqx.filter(tree, eqx.is_array))) / 1e6


class Timed:
    """One method, ready to be timed."""

    def __init__(self, name: str, options: dict, width: int, updates: int):
        method = make_method(name, width=width, **options)
        spec = SPEC._replace(obs_dim=SPEC.obs_dim + 3, goal_dim=3) if method.goal_conditioned else SPEC
        self.name, self.critic, self.updates = name, method.critic.name, updates
        self.chunks = goals(method, spec) if method.goal_conditioned else data()
        self.learner = Learner(method, spec, 3e-4, 256)
        self.state = self.learner.init(jax.random.key(0))
        self.state_mb = megabytes((self.state.nets, self.state.optimiser))
        arrays, fixed = eqx.partition((self.state, self.chunks), eqx.is_array)
        self.gflop = flops(lambda x: self.learner.update(*eqx.combine(x, fixed))[0], arrays) / 1e9
        program = type(self.learner).run.lower(self.learner, self.state, self.chunks, updates=updates).compile()
        self.program_mb = memory(program) / 1e6
        self.seconds: list[float] = []  # of each turn, per update

    @property
    def best(self) -> float:
        """Seconds of the fastest turn; the first, which compiles, does not count."""
        return min(self.seconds[1:])

    def turn(self) -> None:
        began = perf_counter()
        self.state, logs = self.learner.run(self.state, self.chunks, self.updates)
        jax.block_until_ready(logs)
        self.seconds.append((perf_counter() - began) / self.updates)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [Timed(name, more, options.width, 10 if options.quick else 50) for name, more in ROWS]
    rates = []
    for _ in range(2 if options.quick else 6):
        rates.append(matmul_rate())
        for row in rows:
            row.turn()
    table = [
        dict(
            method=row.name, critic=row.critic, gflop_per_update=f"{row.gflop:.2f}",
            updates_per_second=f"{1 / row.best:.1f}", times_bc=f"{row.best / rows[0].best:.2f}",
            of_product_rate=f"{1e9 * row.gflop / row.best / max(rates):.0%}",
            state_mb=f"{row.state_mb:.1f}", program_mb=f"{row.program_mb:.1f}",
        )
        for row in rows
    ]  # fmt: skip
    for row in [dict(zip(table[0], table[0], strict=True)), *table]:
        print("".join(f"{x:>20}" for x in row.values()))
    if options.out:
        write_table(options.out, table)
        write_text(options.out.with_suffix(".md"), markdown(table))


if __name__ == "__main__":
    main()
