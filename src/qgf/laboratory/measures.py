"""What a critic's gradient is worth: how it reacts to noise, what it reaches, how far from the data, at what cost.

Every measurement takes a `Policy` (of a run, or `guided_flow` of any two functions), observations [B, S] and a key,
and returns rows for a table, one dict each; means come with 95 % intervals over the B states. `analyse` does them all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.errors import UserError
from qgf.method.flow import Flow, integrate, log_likelihood
from qgf.method.guides import GUIDES, WRAPPERS, find, need
from qgf.method.policy import Policy, act_jit
from qgf.method.sampling import At
from qgf.playing.arm import Arm, arms
from qgf.types import StateValue

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
SAMPLES = (1, 4, 16, 64)
DEVIATIONS = (0.05, 0.1, 0.2, 0.4)

Row = dict[str, Any]


def runnable(policy: Policy, observations, guides: Iterable[str] = ()) -> list[str]:
    """The guides named, or without names all that the policy can run; controls and "none" only if they are named.

    Raises UserError for a name that is unknown or asks for a network that the policy does not have.
    """
    if named := list(guides):
        for guide in named:
            _trace(policy, guide, observations)
        return named

    def runs(guide: str) -> bool:
        try:
            _trace(policy, guide, observations)
        except UserError:
            return False
        return True

    return [guide for guide in GUIDES if guide != "none" and guide not in WRAPPERS and runs(guide)]


def _trace(policy: Policy, guide: str, observations) -> None:
    jax.eval_shape(policy.guided(guide, weight=0.0).act, observations, jax.random.key(0))


def mean_interval(x) -> tuple[float, float, float]:
    """Mean of x[B] and its 95 % interval, mean -+ 1.96 standard errors; NaN (no direction to speak of) is left out."""
    x = np.asarray(x, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing left, or a single state: NaN, as it should be
        mean, error = np.nanmean(x), 1.96 * np.nanstd(x, ddof=1) / np.sqrt(np.isfinite(x).sum())
    return float(mean), float(mean - error), float(mean + error)


def _named(name: str, x) -> Row:
    return dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(x), strict=True))


# The gradient under noise, and the Jacobians that stand between the action and the place where Q is asked


def direction(policy: Policy, guide: str):
    """The guide as a function (obs[S], a[d], t[]) -> g[d]."""
    ask = find(guide)

    def g(obs, a, t):
        v, q = At(policy.velocity, obs), At(policy.critic, obs)
        v = need(v, ask.reference) if hasattr(ask, "reference") else v
        return ask(Flow(v, policy.steps, policy.low, policy.high, at=(a, t)), q, a, t)

    return g


def reference_path(policy: Policy, observations, key: Array) -> tuple[Array, Array]:
    """Times [T] and points a_t [T, B, d] of unguided denoising, one path per state."""
    a0 = jax.random.normal(key, (len(jax.tree.leaves(observations)[0]), policy.horizon * policy.action_dim))
    path = jax.vmap(policy.guided("none", weight=0.0).trace)(observations, a0)
    return path.t[0], jnp.swapaxes(path.a[:, :-1], 0, 1)


@eqx.filter_jit
def _cosines(policy, observations, key, guide, deviations, draws):
    """[T, E, B], the mean over `draws` of cos(g(a_t), g(a_t + eps))."""
    ask, (path, noise) = direction(policy, guide), jax.random.split(key)
    t, a = reference_path(policy, observations, path)
    z = jax.random.normal(noise, (*a.shape[:2], draws, a.shape[2]))  # the same noise for every guide and deviation

    def unit(g):
        norm = jnp.linalg.norm(g, axis=-1, keepdims=True)
        return jnp.where(norm > 1e-12, g / norm, jnp.nan)

    def at(step):
        t, a, z = step  # t is one number for all states, so that the chains of bptt and chain stop where they should

        def one(obs, a, z):
            shifted = a + deviations[:, None, None] * z
            moved = jax.vmap(jax.vmap(lambda a: ask(obs, a, t)))(shifted)
            return jnp.mean(unit(moved) @ unit(ask(obs, a, t)), axis=-1)

        return jax.vmap(one, out_axes=1)(observations, a, z)

    return t, jax.lax.map(at, (t, a, z))


def noise_sensitivity(
    policy: Policy,
    observations,
    key: Array,
    guides: Iterable[str] = (),
    deviations: Sequence[float] = DEVIATIONS,
    draws: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """cos(g(a_t), g(a_t + eps)), eps ~ N(0, deviation^2 I), a_t on the unguided path (paper: noise sensitivity).

    Rows: guide, deviation, t, cosine, cosine_low, cosine_high.
    """
    rows = []
    asked = [guide for guide in runnable(policy, observations, guides) if not getattr(find(guide), "climbs", 0)]
    for done, guide in enumerate(asked, 1):  # a guide that climbs gives no direction while denoising
        t, cosine = _cosines(policy, observations, key, guide, jnp.asarray(deviations), draws)
        rows += [
            dict(guide=guide, deviation=deviation, t=float(t[k]), **_named("cosine", cosine[k, i]))
            for i, deviation in enumerate(deviations)
            for k in range(len(t))
        ]
        progress(done, len(asked))
    return rows


@eqx.filter_jit
def jacobian_matrices(policy: Policy, observations, key: Array) -> tuple[Array, Array, Array]:
    """Times [T], d a1_hat / d a and d ODE_t(a) / d a [T, B, d, d], both unclipped, a_t on the unguided path."""
    t, a = reference_path(policy, observations, key)

    def at(step):
        t, a = step

        def one(obs, a):
            v = At(policy.velocity, obs)
            one_step = jax.jacrev(lambda a: a + (1 - t) * v(a, t))(a)
            return one_step, jax.jacrev(lambda a: integrate(Flow(v, policy.steps), a, t))(a)

        return jax.vmap(one)(observations, a)

    return t, *jax.lax.map(at, (t, a))


def jacobians(policy: Policy, observations, key: Array) -> list[Row]:
    """Of J = d a1_hat / d a, singular values and asymmetry |J - J^T|_F / |J + J^T|_F; of the chain its amplification.

    The amplification is the largest singular value of d ODE_t(a) / d a (Euler steps of the sampler). Rows: t, quantity
    ("singular value", "asymmetry", "amplification"), rank (of a singular value, 1 is the largest), mean, low, high.
    """
    t, one_step, chain = map(np.asarray, jacobian_matrices(policy, observations, key))
    values = np.linalg.svd(one_step, compute_uv=False)
    flip = np.swapaxes(one_step, -1, -2)
    with np.errstate(invalid="ignore"):  # J = 0, as at t = 0 of an exact flow, has no symmetry
        asymmetry = np.linalg.norm(one_step - flip, axis=(-2, -1)) / np.linalg.norm(one_step + flip, axis=(-2, -1))
    quantities: list[tuple[str, Any, np.ndarray]]
    quantities = [("singular value", i + 1, values[..., i]) for i in range(values.shape[-1])]
    quantities += [("asymmetry", "", asymmetry), ("amplification", "", np.linalg.norm(chain, 2, axis=(-2, -1)))]
    return [
        dict(t=float(t[k]), quantity=name, rank=rank)
        | dict(zip(("mean", "low", "high"), mean_interval(x[k]), strict=True))
        for name, rank, x in quantities
        for k in range(len(t))
    ]


# What guidance reaches


def sweep(guides: Iterable[str], strengths: Sequence[float] = STRENGTHS, samples: Sequence[int] = SAMPLES) -> list[Arm]:
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
        for q in (policy.critic, judge)
        if q is not None
    ]


def _actions(policy: Policy, observations, key: Array) -> Array:
    """The policy's actions, flattened, [B, d]."""
    a = act_jit(policy, observations, key)[0]
    return a.reshape(len(a), -1)


def reached(policy: Policy, arm: Arm, observations, key: Array, critics: Sequence[Baseline]) -> tuple[Row, Array]:
    """What one arm does, as the row that `gradient_as_optimiser` describes, and its actions [B, d]."""
    acting = arm.of(policy)
    a = _actions(acting, observations, key)
    row: Row = dict(guide=arm.guide, strength="" if arm.strength is None else arm.strength, best_of=arm.best_of)
    row["weight"] = 0.0 if arm.guide == "none" else float(np.asarray(acting.weight))
    for critic, value, gain in zip(critics, ("value", "judged"), ("gain", "judged_gain"), strict=False):
        q = _values(critic.critic, observations, a)
        row[value] = float(q.mean())
        row |= _named(gain, (q - critic.before) / jnp.where(critic.spread > 0, critic.spread, jnp.nan))
    return row, a


def gradient_as_optimiser(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    judge: StateValue | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """How far every arm raises Q, by the critic that guides and by `judge`, one that never guided.

    Where the first rises and the second does not, guidance exploits its critic. Rows: guide, strength, best_of, weight;
    value, mean Q of the final action; gain (with _low and _high), the mean of (Q(a) - Q(a')) / s with a' the unguided
    action (from the same noise if N = 1) and s the standard deviation of Q over unguided actions, both at the state.
    In such units no few states where Q is steep, as beside a goal, decide the mean. By the judge: judged, judged_gain.
    """
    critics, rows = baselines(policy, observations, key, judge), []
    for i, arm in enumerate(chosen):
        rows.append(reached(policy, arm, observations, key, critics)[0])
        progress(i + 1, len(chosen))
    return rows


def neighbours(dataset: Dataset, observations, horizon: int, k: int = 64) -> np.ndarray:
    """The chunks at the k dataset states nearest each observation [B, S] (Euclidean, normalised), [B, k, d]."""
    from scipy.spatial import cKDTree

    size = dataset.obs_dim  # the goal, where there is one, has no part in it
    observations = np.asarray(observations)[:, :size]
    starts, (mean, std) = dataset.starts(horizon), (x[:size] for x in dataset.normaliser())
    tree = cKDTree((dataset.observations[starts] - mean) / std)
    nearest = tree.query((observations - mean) / std, min(k, len(starts)))[1].reshape(len(observations), -1)
    rows = starts[nearest][..., None] + np.arange(horizon)
    return dataset.actions[rows].reshape(*nearest.shape, -1)


def nearest_chunk(a, chunks: np.ndarray) -> np.ndarray:
    """min_k of the root mean square of a - chunk_k over the d dimensions; a[B, d], chunks[B, k, d] -> [B]."""
    return np.sqrt(np.mean((np.asarray(a)[:, None] - chunks) ** 2, axis=-1)).min(axis=1)


@eqx.filter_jit
def log_likelihoods(policy: Policy, observations, a: Array, tolerance: float = 1e-4) -> Array:
    """log p_1(a) of actions a[B, d] under the reference flow, [B]; clipped actions count as the points they became."""
    return jax.vmap(lambda o, a: log_likelihood(At(policy.velocity, o), a, tolerance, tolerance))(observations, a)


def distance_from_data(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    chunks: np.ndarray,
    judge: StateValue | None = None,
    dense: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """How far every arm's actions are from the data, beside what they are worth.

    distance: RMS to the nearest of the `chunks` [B, k, d] that the data hold at similar states (`neighbours`);
    log_likelihood: of the action under the reference flow, in nats, over the first `dense` states, because it costs
    hundreds of times the action. Other columns as in `gradient_as_optimiser`.
    """
    critics, rows = baselines(policy, observations, key, judge), []
    for i, arm in enumerate(chosen):
        row, a = reached(policy, arm, observations, key, critics)
        density = log_likelihoods(policy, jax.tree.map(lambda x: x[:dense], observations), a[:dense])
        rows.append(row | _named("distance", nearest_chunk(a, chunks)) | _named("log_likelihood", density))
        progress(i + 1, len(chosen))
    return rows
