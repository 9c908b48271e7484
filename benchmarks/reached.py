"""Why is guidance behind on some tasks: does the gradient, or choice among samples, reach what another critic confirms?

    python benchmarks/reached.py NAME=RUN,JUDGE ... --data-dir FOLDER [--states 256]

RUN guides, the critic of JUDGE (another training seed of the same settings) judges. At states of held-out episodes:
how far QGF raises Q with every strength, and the unguided best of N, by the critic that guides ("claimed") and by the
one that judges ("confirmed"), in standard deviations of Q over unguided actions (`laboratory.reach`). Writes
docs/results/hard/reached.csv (rows of other names stay) and reached.png, a panel a task.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from choices import RESULTS, cells
from matplotlib.figure import Figure

from qgf.environments.datasets import dataset_of
from qgf.files import write_table
from qgf.laboratory.analysis import some_states
from qgf.laboratory.reach import gradient_as_optimiser, sweep
from qgf.pages import plots
from qgf.training.run import Run

STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SAMPLES = (2, 4, 16, 64)


def measured(name: str, run: Run, judge: Run, states: int, data_dir: Path | None) -> list[dict[str, str]]:
    observations, episodes = some_states(dataset_of(run.record, data_dir), run.config.horizon, states)
    other = judge.policy().guided("none", weight=0.0).guiding
    key = jax.random.key(run.config.seed)
    arms = sweep(("qgf",), STRENGTHS, SAMPLES)
    rows = gradient_as_optimiser(run.policy(), observations, key, arms, other, episodes=episodes)
    told = ("gain", "gain_low", "gain_high", "judged_gain", "judged_gain_low", "judged_gain_high")
    return [
        dict(task=name, guide=row.guide, strength="" if row.guide == "none" else f"{row.strength:g}")
        | dict(best_of=str(row.best_of))
        | {column: f"{getattr(row, column):.4f}" for column in told}
        for row in rows
    ]


def picture(rows: list[dict[str, str]]) -> Figure:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    with plots.style():
        figure = Figure(figsize=(3.2 * len(tasks), 3.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(tasks)))
        for axis, task in zip(axes, tasks, strict=True):
            for guide, label in (("qgf", "QGF, by strength"), ("none", "best of N")):
                mine = [row for row in rows if row["task"] == task and row["guide"] == guide]
                x, y, low, high = (
                    np.array([float(row[c]) for row in mine])
                    for c in ("gain", "judged_gain", "judged_gain_low", "judged_gain_high")
                )
                names = [row["strength"] or row["best_of"] for row in mine]
                colour = plots.colour(guide)
                axis.errorbar(x, y, [y - low, high - y], fmt="o-", color=colour, ms=4, capsize=2, label=label)
                for at, height, told in zip(x, y, names, strict=True):
                    axis.annotate(
                        told,
                        (at, height),
                        (-12, 4) if guide == "qgf" else (5, -8),
                        textcoords="offset points",
                        fontsize=7,
                        color=colour,
                    )
            top = max(axis.get_xlim()[1], axis.get_ylim()[1])
            axis.plot([0, top], [0, top], color="0.8", lw=1, zorder=0)
            axis.axhline(0, color="0.8", lw=1, zorder=0)
            axis.set(title=task, xlabel="claimed gain in Q, deviations")
        axes[0].set(ylabel="confirmed by another seed's critic")
        axes[0].legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", help="NAME=RUN,JUDGE")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--states", type=int, default=256)
    options = parser.parse_args()
    path = RESULTS / "hard" / "reached.csv"
    rows = cells(path)
    for task in options.tasks:
        name, runs = task.split("=")
        new = measured(name, *(Run(Path(x)) for x in runs.split(",")), options.states, options.data_dir)
        rows = [row for row in rows if row["task"] != name] + new
        print(*(" ".join(f"{k} {x}" for k, x in row.items()) for row in new), sep="\n")
    write_table(path, rows)
    plots.save(picture(rows), RESULTS / "hard" / "reached.png")


if __name__ == "__main__":
    main()
