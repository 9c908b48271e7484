"""A dataset as arrays on the device, from which batches are drawn there."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.data.hindsight import GoalChunks, Mix
from qgf.data.memory import aligned, is_aligned
from qgf.data.pictures import seen
from qgf.data.scaling import blocks
from qgf.types import Batch


class Data(Protocol):
    """What the learner draws from, a pytree; a training method says which (`BC.on_device`)."""

    @property
    def starts(self) -> Array:
        """[M] rows of the dataset at which a chunk starts."""

    def states(self, rows: Array, key: Array) -> Any:
        """What the networks see where the chunks number `rows` begin, [B, S], or with pictures as in `Spec.one`."""

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B]."""

    def moved(self, rows: Any) -> Data:
        """The same as a part of larger data, in which so many rows are before it. Every array of it is of rows, or of
        chunks.
        """


class Chunks(NamedTuple):
    """A dataset on the device, ready to be drawn from."""

    obs: Array  # [N, S] normalised
    actions: Array  # [N, A]
    starts: Array  # [M] rows at which a chunk of H actions lies inside one episode
    returns: Array  # [M] discounted reward inside the chunk
    bootstrap: Array  # [M] gamma^H times the product of the masks
    images: dict[str, Array] | None = None  # by camera, [N, H, W, C] uint8

    def states(self, rows: Array, key: Array) -> Any:
        """What the networks see where the chunks number `rows` begin, [B, S], or with pictures as in `Spec.one`."""
        return self.seen(self.starts[rows])

    def seen(self, rows: Array) -> Any:
        """What the networks see of the dataset's `rows` [B]."""
        return seen(self.images, rows, self.obs[rows])

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B]; nothing is left to draw."""
        return batch_at(self, rows, horizon)

    def moved(self, rows: Any) -> Chunks:
        """The same as a part of larger data, in which so many rows are before it."""
        return self._replace(starts=self.starts + rows)


def batch_at(chunks: Chunks, rows: Array, horizon: int) -> Batch:
    """The batch of the chunks number `rows` [B] of `chunks.starts`."""
    first = chunks.starts[rows]
    actions = chunks.actions[first[:, None] + jnp.arange(horizon)]
    return Batch(
        obs=chunks.seen(first),
        actions=actions.reshape(len(rows), -1),
        returns=chunks.returns[rows],
        bootstrap=chunks.bootstrap[rows],
        next_obs=chunks.seen(first + horizon),
    )


def chunks(
    dataset: Dataset, horizon: int, discount: float, mean: np.ndarray, std: np.ndarray, to_the_end: bool = False
) -> Chunks:
    """The dataset with its observations normalised and every chunk's return computed once; `to_the_end` of the episode,
    with nothing left to bootstrap from.
    """
    starts = dataset.starts(horizon)
    returns, bootstrap = returns_of(dataset, starts, horizon, discount, to_the_end)
    at, gained, left = (jnp.asarray(x) for x in (starts.astype(np.int32), returns, bootstrap))
    del starts, returns, bootstrap  # before what is large
    return Chunks(
        obs=normalised(dataset.observations, mean, std, dataset.expendable),
        actions=jnp.asarray(dataset.actions),
        starts=at,
        returns=gained,
        bootstrap=left,
        **_images(dataset),
    )


def returns_of(
    dataset: Dataset, starts: np.ndarray, horizon: int, discount: float, to_the_end: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What Q is regressed on at `starts` is one plus the other times the next state's value, [M] each."""
    if to_the_end:
        return dataset.returns_to_go(discount)[starts], np.zeros(len(starts), np.float32)
    return dataset.chunk_returns(starts, horizon, discount)


def normalised(x: np.ndarray, mean: np.ndarray, std: np.ndarray, expendable: bool = False) -> Array:
    """(x - mean) / std of rows [N, S] on the device, in float32. No more than the result is made of it: on a CPU the
    device takes over memory that begins where its own would; x's own where that does and is `expendable`.
    """
    there = expendable and x.dtype == np.float32 and is_aligned(x)
    made = x if there else aligned(x.shape, np.float32)
    for part, rows in zip(blocks(made), blocks(x), strict=True):
        part[:] = (rows - mean) / std
    return jax.device_put(made)


def _images(dataset: Dataset) -> dict[str, Any]:
    """The pictures of a dataset, if it has any."""
    return dict(images={name: jnp.asarray(x) for name, x in dataset.images.items()}) if dataset.images else {}


def goal_chunks(
    dataset: Dataset, mix: Mix, long: int, discount: float, mean: np.ndarray, std: np.ndarray
) -> GoalChunks:
    """The dataset with its observations and goals normalised and chunks of `long` actions; returns are known when goals
    are drawn, as `mix` says.
    """
    assert dataset.goals is not None
    starts, size = dataset.starts(long, "--long"), dataset.obs_dim
    last = np.flatnonzero(dataset.ends)
    ends = last[np.searchsorted(last, starts)]
    return GoalChunks(
        obs=normalised(dataset.observations, mean[:size], std[:size]),
        goals=normalised(dataset.goals, mean[size:], std[size:]),
        actions=jnp.asarray(dataset.actions),
        starts=jnp.asarray(starts, jnp.int32),
        ends=jnp.asarray(ends, jnp.int32),
        discount=discount,
        mix=mix,
        long=long,
        **_images(dataset),
    )
