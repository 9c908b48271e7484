"""What does guidance owe to the critic, and what to the state? Every control beside QGF, on the same episodes.

    python benchmarks/controls.py "NAME=RUN,RUN..." ... --data-dir FOLDER [--episodes 100]

The runs of a name are training seeds of one task. The controls are no guidance, a random direction as long as the
guide's, drawn at every step (placebo) or once for a decision (steady), the guide's own with the other sign (negated)
and the guide's own at another, random state of the data (shuffled). All at the default strength, nothing tuned, on
held-out episodes of each run's training seed. Writes docs/results/controls/episodes.csv (rows of other names stay) and
controls.md, success in % with 95 % intervals for new training seeds and episodes (`statistics.joint_bootstrap`).
"""

import argparse
from pathlib import Path

import numpy as np
from choices import RESULTS, cells
from runs import outcomes, scores_of, states_of

from qgf.files import write_table, write_text
from qgf.laboratory.elsewhere import shuffled
from qgf.method.strength import DEFAULT_STRENGTH
from qgf.pages.tables import markdown
from qgf.statistics import joint_bootstrap
from qgf.training.run import Run

CONTROLS = ("none", "placebo", "steady", "negated", "shuffled", "qgf")
STATES = 4096
"""Among which the shuffled control draws."""


def played(run: Run, episodes: int, data_dir: Path | None) -> dict[str, str]:
    """Control -> the outcomes of the run's episodes."""
    policy, strength = run.policy(), DEFAULT_STRENGTH
    ways = {name: policy.guided(name, strength=strength) for name in CONTROLS if name not in ("none", "shuffled")}
    ways |= dict(none=policy.guided("none"), shuffled=shuffled(ways["qgf"], states_of(run, data_dir, STATES)))
    found = scores_of(run, {name: ways[name] for name in CONTROLS}, episodes)
    return {name: outcomes(score) for name, score in found.items()}


def shown(rows: list[dict[str, str]]) -> list[dict]:
    """A line for every task."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        told = dict(task=task, seeds=str(len({row["seed"] for row in mine})))
        for name in CONTROLS:
            won = np.array([[[int(x) for x in row["outcomes"]]] for row in mine if row["control"] == name], float)
            ends = zip(("", "_low", "_high"), (won.mean(), *joint_bootstrap(won)), strict=True)
            told |= {name + end: 100 * x for end, x in ends}
        lines.append(told)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", metavar="NAME=RUN,RUN...")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    folder = RESULTS / "controls"
    rows = cells(folder / "episodes.csv")
    for task in options.tasks:
        name, runs = task.split("=")
        rows = [row for row in rows if row["task"] != name]
        for run in map(Run, map(Path, runs.split(","))):
            found = played(run, options.episodes, options.data_dir)
            mine = dict(task=name, seed=str(run.config.seed))
            rows += [mine | dict(control=control, outcomes=won) for control, won in found.items()]
            print(name, run.directory.name, {control: won.count("1") for control, won in found.items()}, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "episodes.csv", rows)
    write_text(folder / "controls.md", markdown(shown(rows)))


if __name__ == "__main__":
    main()
