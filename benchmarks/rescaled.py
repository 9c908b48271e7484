"""A clone whose actions qgf scales to an environment's, and the same networks behind gymnasium's RescaleAction.

qgf --use examples/environments/pendulum.py compare examples/environments/pendulum.toml --out runs/shown \\
    --data-dir runs/data
python benchmarks/rescaled.py runs/shown/runs/Pendulum-v1-task1-base-seed0
"""

import sys

import gymnasium

import qgf
from qgf.method.policy import with_fields

EPISODES = 100


def pendulum():
    return gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)


def main(run: str) -> None:
    clone = qgf.Run(run).policy(guide="none")
    networks = with_fields(clone, actions=None, origin=None)  # what they say, in [-1, 1]
    scores = {
        "scaled by qgf": qgf.evaluate(clone, "Pendulum-v1", EPISODES),
        "RescaleAction": qgf.evaluate(networks, f"{__name__}:pendulum", EPISODES),
    }
    for name, score in scores.items():
        low, high = score.interval
        print(f"{name}: return {score.returns.mean():.2f} [{low:.1f}, {high:.1f}], {EPISODES} episodes")


if __name__ == "__main__":
    main(sys.argv[1])
