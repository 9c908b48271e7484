"""How a critic's gradient reacts to noise, and the Jacobians that stand between the action and the place where Q is
asked.

Every measurement takes a `Policy` (of a run, or `guided_flow` of any two functions), observations [B, S] and a key,
and returns the rows of a table; means come with 95 % intervals over the B states, or for new episodes where `episodes`
[B] says which one each state is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jax import Array

from qgf.laboratory.intervals import mean_interval, named
from qgf.method.flow import Flow, integrate
from qgf.method.guides import find, need
from qgf.method.observations import looked
from qgf.method.policy import Policy
from qgf.method.sampling import At
from qgf.playing.arm import runnable
from qgf.playing.rows import Measured

DEVIATIONS = (0.05, 0.1, 0.2, 0.4)


class Cosine(msgspec.Struct):
    """A row of noise.csv."""

    guide: str
    deviation: Measured
    t: Measured
    cosine: Measured
    cosine_low: Measured
    cosine_high: Measured


class Jacobian(msgspec.Struct):
    """A row of jacobian.csv."""

    t: Measured
    quantity: str  # "singular value", "asymmetry", "amplification"
    rank: int | None  # of a singular value, 1 is the largest
    mean: Measured
    low: Measured
    high: Measured


def direction(policy: Policy, guide: str):
    """The guide as a function (obs[S], a[d], t[]) -> g[d]."""
    ask = find(guide)

    def g(obs, a, t):
        v, q = At(policy.velocity, obs), At(policy.guiding, obs)
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
    policy, observations = looked(policy, observations)
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
    episodes: np.ndarray | None = None,
) -> list[Cosine]:
    """cos(g(a_t), g(a_t + eps)), eps ~ N(0, deviation^2 I), a_t on the unguided path (paper: noise sensitivity).

    Every guide named, or all that the policy can run.
    """
    rows = []
    asked = [guide for guide in runnable(policy, observations, guides) if not getattr(find(guide), "climbs", 0)]
    for done, guide in enumerate(asked, 1):  # a guide that climbs gives no direction while denoising
        t, cosine = _cosines(policy, observations, key, guide, jnp.asarray(deviations), draws)
        rows += [
            Cosine(guide=guide, deviation=deviation, t=float(t[k]), **named("cosine", cosine[k, i], episodes))
            for i, deviation in enumerate(deviations)
            for k in range(len(t))
        ]
        progress(done, len(asked))
    return rows


@eqx.filter_jit
def jacobian_matrices(policy: Policy, observations, key: Array) -> tuple[Array, Array, Array]:
    """Times [T], d a1_hat / d a and d ODE_t(a) / d a [T, B, d, d], both unclipped, a_t on the unguided path."""
    policy, observations = looked(policy, observations)
    t, a = reference_path(policy, observations, key)

    def at(step):
        t, a = step

        def one(obs, a):
            v = At(policy.velocity, obs)
            one_step = jax.jacrev(lambda a: a + (1 - t) * v(a, t))(a)
            return one_step, jax.jacrev(lambda a: integrate(Flow(v, policy.steps), a, t))(a)

        return jax.vmap(one)(observations, a)

    return t, *jax.lax.map(at, (t, a))


def jacobians(policy: Policy, observations, key: Array, episodes: np.ndarray | None = None) -> list[Jacobian]:
    """Of J = d a1_hat / d a, singular values and asymmetry |J - J^T|_F / |J + J^T|_F; of the chain its amplification.

    The amplification is the largest singular value of d ODE_t(a) / d a (Euler steps of the sampler).
    """
    t, one_step, chain = map(np.asarray, jacobian_matrices(policy, observations, key))
    values = np.linalg.svd(one_step, compute_uv=False)
    flip = np.swapaxes(one_step, -1, -2)
    with np.errstate(invalid="ignore"):  # J = 0, as at t = 0 of an exact flow, has no symmetry
        asymmetry = np.linalg.norm(one_step - flip, axis=(-2, -1)) / np.linalg.norm(one_step + flip, axis=(-2, -1))
    quantities: list[tuple[str, Any, np.ndarray]]
    quantities = [("singular value", i + 1, values[..., i]) for i in range(values.shape[-1])]
    quantities += [("asymmetry", None, asymmetry), ("amplification", None, np.linalg.norm(chain, 2, axis=(-2, -1)))]
    return [
        Jacobian(float(t[k]), name, rank, *mean_interval(x[k], episodes))
        for name, rank, x in quantities
        for k in range(len(t))
    ]
