"""Small data whose rows are known by their number, and a run of them that is killed halfway."""

import numpy as np

from qgf.data import Dataset
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.methods.bc import BC

MEMORY = "8KB"
"""Of which a part of them fits."""
SMALL = TrainConfig(
    steps=200, batch_size=16, horizon=3, log_every=50, checkpoint_every=100, method=BC(width=16, depth=2)
)


def made(goals=False):
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, 40) + 1
    n = lengths.sum()
    ends = np.zeros(n, bool)
    ends[np.cumsum(lengths) - 1] = True
    number = np.arange(n, dtype=np.float32)  # of the row, by which it is known again
    observations = np.stack([number, rng.normal(size=n)], axis=1).astype(np.float32)
    actions = np.stack([number / n, -number / n], axis=1).astype(np.float32)
    if goals:
        return Dataset("goals", observations, actions, ends, goals=number[:, None])
    masks = (rng.random(n) > 0.05).astype(np.float32)
    return Dataset("numbered", observations, actions, ends, rng.integers(-1, 1, n).astype(np.float32), masks)


def killed(data, config, directory):
    """Train halfway, and end there as a killed process would."""

    class Killed(Exception):
        pass

    def stop(step, logs):
        if step == config.steps // 2:
            raise Killed

    try:
        train(data, config, directory, progress=stop)
    except Killed:
        return
    raise AssertionError("it was not killed")
