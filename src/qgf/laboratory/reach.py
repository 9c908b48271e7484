"""What guidance reaches: value by the critic that guides and by one that judges, distance from the data, likelihood.

Every measurement takes a `Policy` (of a run, or `guided_flow` of any two functions), observations [B, S] and a key,
and returns the rows of a table; means come with 95 % intervals over the B states, or for new episodes where `episodes`
[B] says which one each state is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.laboratory.intervals import named
from qgf.method.flow import log_likelihood
from qgf.method.observations import looked
from qgf.method.policy import Policy, act_jit
from qgf.method.sampling import At
from qgf.playing.arm import Arm, arms
from qgf.playing.rows import Measured
from qgf.types import StateValue
from qgf.words import STATE

SWEPT = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Strengths."""
SAMPLES = (1, 4, 16, 64)


class Reached(msgspec.Struct, kw_only=True):
    """A row of value.csv. A gain is the mean of (Q(a) - Q(a')) / s with a' the unguided action (from the same noise if
    N = 1) and s the standard deviation of Q over unguided actions, both at the state. In such units no few states where
    Q is steep, as beside a goal, decide the mean.
    """

    guide: str
    strength: Measured | None = None
    best_of: int
    weight: Measured
    value: Measured  # mean Q of the final action
    gain: Measured
    gain_low: Measured
    gain_high: Measured
    judged: Measured | None = None  # the same by the judge
    judged_gain: Measured | None = None
    judged_gain_low: Measured | None = None
    judged_gain_high: Measured | None = None


class Far(Reached, kw_only=True):
    """A row of distance.csv."""

    distance: Measured  # root mean square to the nearest chunk that the data hold at similar states, in [-1, 1]
    distance_low: Measured
    distance_high: Measured
    log_likelihood: Measured  # of the action under the reference flow, in nats
    log_likelihood_low: Measured
    log_likelihood_high: Measured


def sweep(guides: Iterable[str], strengths: Sequence[float] = SWEPT, samples: Sequence[int] = SAMPLES) -> list[Arm]:
    """Every guide at every strength, and the unguided best of N."""
    return arms(guides, strengths) + [Arm("none", weight=0.0, best_of=n) for n in samples]


@eqx.filter_jit
def _values(critic, observations, a):
    return jax.vmap(critic)(observations, a)


class Baseline(NamedTuple):
    """What a critic says of the unguided actions."""

    critic: StateValue
    before: Array  # [B] Q of the unguided action from the noise that every arm starts from
    spread: Array  # [B] standard deviation of Q over the unguided actions at the state


def baselines(policy: Policy, observations, key: Array, judge: StateValue | None = None, n: int = 32):
    """The `Baseline` of the critic that guides and, if there is one, of the judge; the spread is over n actions."""
    plain = policy.guided("none", weight=0.0)
    a = _actions(plain, observations, key)
    many = jax.tree.map(lambda x: jnp.repeat(x, n, axis=0), observations)
    others = _actions(plain, many, jax.random.fold_in(key, 1))
    return [
        Baseline(q, _values(q, observations, a), jnp.std(_values(q, many, others).reshape(-1, n), axis=1))
        for q in (policy.guiding, judge)
        if q is not None
    ]


def _actions(policy: Policy, observations, key: Array) -> Array:
    """The policy's actions as its critic knows them, flattened, [B, d]."""
    a = policy.inward(act_jit(policy, observations, key)[0])
    return a.reshape(len(a), -1)


def reached(
    policy: Policy, arm: Arm, observations, key: Array, critics: Sequence[Baseline], episodes: np.ndarray | None = None
) -> tuple[Reached, Array]:
    """What one arm does, and its actions [B, d]."""
    acting = arm.of(policy)
    a = _actions(acting, observations, key)
    weight = 0.0 if arm.guide == "none" else float(np.asarray(acting.weight))
    told: dict[str, Any] = dict(guide=arm.guide, strength=arm.strength, best_of=arm.best_of, weight=weight)
    for critic, value, gain in zip(critics, ("value", "judged"), ("gain", "judged_gain"), strict=False):
        q = _values(critic.critic, observations, a)
        told[value] = float(q.mean())
        told |= named(gain, (q - critic.before) / jnp.where(critic.spread > 0, critic.spread, jnp.nan), episodes)
    return Reached(**told), a


def gradient_as_optimiser(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    judge: StateValue | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    episodes: np.ndarray | None = None,
) -> list[Reached]:
    """How far every arm raises Q, by the critic that guides and by `judge`, one that never guided.

    Where the first rises and the second does not, guidance exploits its critic.
    """
    critics, rows = baselines(policy, observations, key, judge), []
    for i, arm in enumerate(chosen):
        rows.append(reached(policy, arm, observations, key, critics, episodes)[0])
        progress(i + 1, len(chosen))
    return rows


def neighbours(dataset: Dataset, observations, horizon: int, k: int = 64) -> np.ndarray:
    """The chunks at the k dataset states nearest each observation [B, S] (Euclidean, normalised), [B, k, d]."""
    from scipy.spatial import cKDTree

    size = dataset.obs_dim  # the goal, where there is one, has no part in it
    starts, (mean, std) = dataset.starts(horizon), (x[:size] for x in dataset.normaliser())

    def place(obs: Any) -> np.ndarray:
        pictures = [_coarse(np.asarray(obs[name])) for name in dataset.images]
        state = obs.get(STATE, np.zeros((len(pictures[0]), 0))) if pictures else obs
        return np.hstack([(np.asarray(state)[:, :size] - mean) / std, *pictures])

    tree, asked = cKDTree(place(dataset.seen(starts, np.random.default_rng(0)))), place(observations)
    nearest = tree.query(asked, min(k, len(starts)))[1].reshape(len(asked), -1)
    rows = starts[nearest][..., None] + np.arange(horizon)
    return dataset.scaled().actions[rows].reshape(*nearest.shape, -1)


def _coarse(pictures: np.ndarray, cells: int = 8) -> np.ndarray:
    """Pictures [N, H, W, C] as the means of 8 x 8 parts of them, in [0, 1], [N, <= 64 C]."""
    rows, columns = (np.linspace(0, n, min(n, cells) + 1).astype(int)[:-1] for n in pictures.shape[1:3])
    sums = np.add.reduceat(np.add.reduceat(pictures, rows, axis=1, dtype=np.float32), columns, axis=2)
    area = np.multiply.outer(np.diff(rows, append=pictures.shape[1]), np.diff(columns, append=pictures.shape[2]))
    return (sums / (255 * area[..., None])).reshape(len(pictures), -1)


def nearest_chunk(a, chunks: np.ndarray) -> np.ndarray:
    """min_k of the root mean square of a - chunk_k over the d dimensions; a[B, d], chunks[B, k, d] -> [B]."""
    return np.sqrt(np.mean((np.asarray(a)[:, None] - chunks) ** 2, axis=-1)).min(axis=1)


@eqx.filter_jit
def log_likelihoods(policy: Policy, observations, a: Array, tolerance: float = 1e-4) -> Array:
    """log p_1(a) of actions a[B, d] under the reference flow, [B]; clipped actions count as the points they became."""
    velocity, observations = looked(policy.velocity, observations)
    return jax.vmap(lambda o, a: log_likelihood(At(velocity, o), a, tolerance, tolerance))(observations, a)


def distance_from_data(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    chunks: np.ndarray,
    judge: StateValue | None = None,
    dense: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
    episodes: np.ndarray | None = None,
) -> list[Far]:
    """How far every arm's actions are from the data, beside what they are worth.

    The distance is to the nearest of the `chunks` [B, k, d] (`neighbours`), the likelihood of the first `dense` states,
    because it costs hundreds of times the action.
    """
    critics, rows = baselines(policy, observations, key, judge), []
    for i, arm in enumerate(chosen):
        row, a = reached(policy, arm, observations, key, critics, episodes)
        density = log_likelihoods(policy, jax.tree.map(lambda x: x[:dense], observations), a[:dense])
        far = named("distance", nearest_chunk(a, chunks), episodes)
        far |= named("log_likelihood", density, None if episodes is None else episodes[:dense])
        rows.append(Far(**msgspec.structs.asdict(row), **far))
        progress(i + 1, len(chosen))
    return rows
