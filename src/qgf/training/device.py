"""A dataset as arrays on the device, from which batches are drawn there."""

from __future__ import annotations

import warnings
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.data.hindsight import GoalChunks, Mix
from qgf.errors import Caution
from qgf.types import Batch


class Data(Protocol):
    """What the learner draws from, a pytree; a training method says which (`BC.on_device`)."""

    @property
    def starts(self) -> Array:
        """[M] rows of the dataset at which a chunk starts."""

    def states(self, rows: Array, key: Array) -> Array:
        """What the networks see where the chunks number `rows` begin, [B, S]."""

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B]."""


class Chunks(NamedTuple):
    """A dataset on the device, ready to be drawn from."""

    obs: Array  # [N, S] normalised
    actions: Array  # [N, A]
    starts: Array  # [M] rows at which a chunk of H actions lies inside one episode
    returns: Array  # [M] discounted reward inside the chunk
    bootstrap: Array  # [M] gamma^H times the product of the masks

    def states(self, rows: Array, key: Array) -> Array:
        """What the networks see where the chunks number `rows` begin, [B, S]."""
        return self.obs[self.starts[rows]]

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B]; nothing is left to draw."""
        return batch_at(self, rows, horizon)


def batch_at(chunks: Chunks, rows: Array, horizon: int) -> Batch:
    """The batch of the chunks number `rows` [B] of `chunks.starts`."""
    first = chunks.starts[rows]
    actions = chunks.actions[first[:, None] + jnp.arange(horizon)]
    return Batch(
        obs=chunks.obs[first],
        actions=actions.reshape(len(rows), -1),
        returns=chunks.returns[rows],
        bootstrap=chunks.bootstrap[rows],
        next_obs=chunks.obs[first + horizon],
    )


def chunks(dataset: Dataset, horizon: int, discount: float, mean: np.ndarray, std: np.ndarray) -> Chunks:
    """The dataset with its observations normalised and every chunk's return computed once."""
    starts = _starts(dataset, horizon, "--horizon")
    returns, bootstrap = dataset.chunk_returns(starts, horizon, discount)
    obs = (dataset.observations - mean) / std
    return Chunks(*map(jnp.asarray, (obs, dataset.actions, starts.astype(np.int32), returns, bootstrap)))


def goal_chunks(
    dataset: Dataset, mix: Mix, long: int, discount: float, mean: np.ndarray, std: np.ndarray
) -> GoalChunks:
    """The dataset with its observations and goals normalised and chunks of `long` actions; returns are known when goals
    are drawn, as `mix` says.
    """
    assert dataset.goals is not None
    starts, size = _starts(dataset, long, "--long"), dataset.obs_dim
    last = np.flatnonzero(dataset.ends)
    ends = last[np.searchsorted(last, starts)]
    return GoalChunks(
        obs=jnp.asarray((dataset.observations - mean[:size]) / std[:size]),
        goals=jnp.asarray((dataset.goals - mean[size:]) / std[size:]),
        actions=jnp.asarray(dataset.actions),
        starts=jnp.asarray(starts, jnp.int32),
        ends=jnp.asarray(ends, jnp.int32),
        discount=discount,
        mix=mix,
        long=long,
    )


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
