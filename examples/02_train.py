"""Train on a real task and compare the cloned policy with the guided one, from Python.

qgf collect pointmaze-medium-navigate --transitions 100000
python examples/02_train.py
"""

import qgf

NAME = "pointmaze-medium-navigate-singletask-task1-v0"

run = qgf.train(
    qgf.load_dataset(NAME),
    qgf.TrainConfig(steps=10_000),
    "runs/example",
    progress=lambda step, logs: print(f"{step:>6} updates, cloning loss {logs['loss/flow']:.3f}", end="\r"),
)
for guide in ("none", "qgf"):
    score = qgf.evaluate(run.policy(guide=guide), NAME, episodes=50, seed=0)
    low, high = score.interval
    print(f"\n{guide}: {score.rate:.0%} of {score.episodes} episodes (95 % interval {low:.0%} to {high:.0%})")
