"""Which half fails, the flow or the critic? The flow of one run under the critic of another, both ways round.

    python benchmarks/halves.py "NAME=RUN,OTHER" ... --data-dir FOLDER [--strength 1] [--episodes 50]

RUN and OTHER are trained on one task's data with one seed; names that are the same are training seeds and tasks of one
comparison. Each of the four pairs is calibrated anew and guided by QGF, on the held-out episodes of RUN's seed. Writes
docs/results/hard/halves.csv and halves.md: success in %, the mean of all runs of a name and each of them.
"""

import argparse
from itertools import product
from pathlib import Path

import jax
import numpy as np
from choices import RESULTS
from runs import outcomes, scores_of, states_of

import qgf
from qgf.files import write_table, write_text
from qgf.method.policy import Policy, with_fields
from qgf.pages.tables import markdown
from qgf.training.run import Run

WHICH = ("first", "second")


def played(runs: list[Run], strength: float, episodes: int, data_dir: Path | None) -> dict[tuple[str, str], str]:
    """(whose flow, whose critic) -> the outcomes of the episodes."""
    states = states_of(runs[0], data_dir, 512)
    policies = dict(zip(WHICH, (run.policy() for run in runs), strict=True))

    def joined(flow: str, critic: str) -> Policy:
        policy = with_fields(policies[flow].guided("none"), critic=policies[critic].critic)
        return qgf.calibrate(policy, states, jax.random.key(0)).guided("qgf", strength=strength)

    ways = {pair: joined(*pair) for pair in product(WHICH, WHICH)}
    return {pair: outcomes(score) for pair, score in scores_of(runs[0], ways, episodes).items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="+", metavar="NAME=RUN,OTHER")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    rows = []
    for pair in options.pairs:
        name, runs = pair.split("=")
        both = [Run(Path(x)) for x in runs.split(",")]
        found = played(both, options.strength, options.episodes, options.data_dir)
        told = dict(name=name, run=both[0].directory.name)
        rows += [told | dict(flow=flow, critic=critic, outcomes=won) for (flow, critic), won in found.items()]
        print(name, both[0].directory.name, {pair: won.count("1") for pair, won in found.items()}, flush=True)
    lines = []
    for name, flow, critic in product(dict.fromkeys(row["name"] for row in rows), WHICH, WHICH):
        mine = [row["outcomes"] for row in rows if (row["name"], row["flow"], row["critic"]) == (name, flow, critic)]
        won = "".join(mine)
        each = ", ".join(f"{100 * x.count('1') / len(x):.0f}" for x in mine)
        told = dict(name=name, flow=flow, critic=critic, episodes=str(len(won)))
        lines.append(told | dict(success=f"{100 * np.mean([x == '1' for x in won]):.0f}", runs=each))
    folder = RESULTS / "hard"
    write_table(folder / "halves.csv", rows)
    write_text(folder / "halves.md", markdown(lines))


if __name__ == "__main__":
    main()
