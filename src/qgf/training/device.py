"""A dataset as arrays on the device."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np

from qgf.data import Dataset
from qgf.data.hindsight import GoalChunks
from qgf.errors import Caution
from qgf.training.config import TrainConfig
from qgf.training.learner import Chunks, Data


def to_device(dataset: Dataset, config: TrainConfig, mean: np.ndarray, std: np.ndarray) -> Data:
    """The dataset as device arrays, observations normalised, with every chunk's return computed once."""
    if dataset.goals is not None:
        return goals_to_device(dataset, dataset.goals, config, mean, std)
    starts = _starts(dataset, config.horizon, "--horizon")
    returns, bootstrap = dataset.chunk_returns(starts, config.horizon, config.discount)
    obs = (dataset.observations - mean) / std
    return Chunks(*map(jnp.asarray, (obs, dataset.actions, starts.astype(np.int32), returns, bootstrap)))


def _starts(dataset: Dataset, horizon: int, option: str) -> np.ndarray:
    """Where chunks start; warns of episodes that are too short to have one."""
    starts, short = dataset.starts(horizon, option), dataset.short(horizon)
    if short:
        warnings.warn(
            f"{dataset.name}: {short} of {dataset.ends.sum()} episodes are shorter than the action chunk of {horizon} "
            f"and are left out; a shorter {option} takes more of them",
            Caution,
            stacklevel=3,
        )
    return starts


def goals_to_device(dataset: Dataset, goals: np.ndarray, config: TrainConfig, mean, std) -> GoalChunks:
    """The dataset as device arrays, observations and goals normalised; returns are known when a goal is drawn."""
    method, size = config.method, dataset.obs_dim
    starts = _starts(dataset, method.long, "--long")
    last = np.flatnonzero(dataset.ends)
    ends = last[np.searchsorted(last, starts)]
    return GoalChunks(
        obs=jnp.asarray((dataset.observations - mean[:size]) / std[:size]),
        goals=jnp.asarray((goals - mean[size:]) / std[size:]),
        actions=jnp.asarray(dataset.actions),
        starts=jnp.asarray(starts, jnp.int32),
        ends=jnp.asarray(ends, jnp.int32),
        discount=config.discount,
        mix=method.mix,
        long=method.long,
    )
