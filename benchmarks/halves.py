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

import qgf
from qgf.environments.datasets import dataset_of, environment_of
from qgf.files import write_table, write_text
from qgf.laboratory.analysis import some_states
from qgf.method.policy import with_fields
from qgf.pages.tables import markdown
from qgf.playing.episodes import environments
from qgf.training.run import Run

WHICH = ("first", "second")


def played(runs: list[Run], strength: float, episodes: int, data_dir: Path | None) -> dict[tuple[str, str], str]:
    """(whose flow, whose critic) -> the outcomes of the episodes."""
    env, seed = environment_of(runs[0].record["dataset"]), runs[0].config.seed
    assert env, "data with an environment"
    states = some_states(dataset_of(runs[0].record, data_dir), runs[0].config.horizon, 512).observations
    policies = dict(zip(WHICH, (run.policy() for run in runs), strict=True))
    envs, found = environments(env, runs[0].config.horizon, episodes), {}
    try:
        for flow, critic in product(WHICH, WHICH):
            joined = with_fields(policies[flow].guided("none"), critic=policies[critic].critic)
            joined = qgf.calibrate(joined, states, jax.random.key(0)).guided("qgf", strength=strength)
            score = qgf.evaluate(joined, env, episodes, envs=envs, training_seed=seed)
            found[flow, critic] = "".join(f"{won:d}" for won in score.success)
    finally:
        envs.close()
    return found


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
