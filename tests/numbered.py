"""Small data whose rows are known by their number, and a run of them that is killed halfway."""

import jax
import numpy as np

from qgf.data import Dataset
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.memory import read_size
from qgf.training.methods.bc import BC
from qgf.training.setup import prepare

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


def learned(data, config, memory=None):
    """The networks' arrays after all updates, trained without a run."""
    setup = prepare(data, config, memory=memory and read_size(memory))
    state = setup.start()
    for step in range(0, config.steps, config.log_every):
        state, _ = setup.learner.run(state, setup.window.at(step), config.log_every)
    setup.window.close()
    return [np.asarray(x) for x in jax.tree.leaves(setup.devices.here(state.nets))]
