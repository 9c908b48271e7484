"""Policies of anybody's networks, and what can be done with any policy: calibrate it, best of several, refine."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError
from qgf.method.checks import check_functions
from qgf.method.choosing import Fallback, best
from qgf.method.flow import STEPS
from qgf.method.members import gradients, robust_mean
from qgf.method.observations import ObsSpec, looked, one_of, read
from qgf.method.policy import Policy, with_fields, without_guidance
from qgf.method.sampling import climb
from qgf.method.schedules import Schedule
from qgf.method.shaping import METRICS, metric_of
from qgf.method.strength import OWN, raw_weight, scales_name
from qgf.types import Act, Calibration, Estimator, Members, StateValue, StateVelocity, ability

FEW = 8
"""Actions a state at which the ways to ask an ensemble are compared."""


def guided_flow(
    velocity: StateVelocity,
    critic: StateValue,
    action_dim: int,
    guide: str | Estimator = "qgf",
    weight: float | None = None,
    strength: float | None = None,
    steps: int = STEPS,
    best_of: int = 1,
    horizon: int = 1,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    calibration: Calibration | None = None,
    schedule: str | Schedule = "constant",
    obs_spec=None,
    fallback: str | Fallback | None = None,
) -> Policy:
    """Guide anybody's flow with anybody's critic: two functions of one observation are enough.

    velocity(obs[S], a[d], t[]) -> [d] and critic(obs[S], a[d]) -> [], d = horizon * action_dim; obs may be any pytree.
    Returns policy(obs[B, S], key) -> actions[B, H, A] (see `Policy.__call__`). Give the raw `weight`, or a `strength`
    with a `calibration` (see `calibrate`). `low`, `high`: one number, [A], [H, A] or [d].

    Weights: jax.tree_util.Partial(velocity, weights) or an Equinox module. What a function closes over is compiled in.

    `obs_spec`: an example of one observation, or its shapes ((28,), {"image": (64, 64, 3), "state": 7}). With it the
    functions are tried at once, wrong observations are refused, and a single one [S] gives [H, A].
    `fallback`: when the unguided action takes the guided one's place, by name ("unguided": where that is not finite,
    "capped", "judged") or a function (see `method.choosing`).

    Some guides ask for more, as a method of your class or an attribute of your function: gate for
    critic.members(obs, a) -> [m], one value per member of an ensemble; robustq for critic.noisy(obs, a, t) -> [], the
    value of a noisy action; cfgrl for velocity.labelled(obs, a, t) -> [d] with .better, the same given a good action.

    Raises UserError, one line, for options that make no sense and for functions that return anything else.
    """
    weight = raw_weight(strength, weight, calibration, horizon * action_dim, guide)
    policy = Policy(
        velocity, critic, weight, low, high, action_dim, horizon, guide, steps, best_of, calibration, schedule,
        None if obs_spec is None else ObsSpec.of(obs_spec), fallback,
    )  # fmt: skip
    if policy.obs_spec is not None:
        one = policy.obs_spec.one
        check_functions(velocity, critic, one, horizon, action_dim)
        eqx.filter_eval_shape(policy.trace, one, jax.ShapeDtypeStruct((horizon * action_dim,), float))  # the guide
    return policy


@eqx.filter_jit
def _scales(policy: Policy, observations, key: Array, actions: int) -> tuple[Array, Array]:
    states = len(jax.tree.leaves(observations)[0])
    policy, observations = looked(policy, observations)
    many = jax.tree.map(lambda x: jnp.repeat(x, actions, axis=0), observations)
    a = policy._denoise(many, key)[0].reshape(states * actions, -1)
    g = jax.vmap(jax.grad(policy.critic, argnums=1))(many, a)
    return jnp.mean(jnp.std(a.reshape(states, actions, -1), axis=1), axis=0), jnp.mean(jnp.linalg.norm(g, axis=-1))


@eqx.filter_jit
def _pushes(policy: Policy, observations, key: Array) -> Array:
    """E|g| of a policy's own guide, over the steps of its unguided paths."""
    policy, observations = looked(policy, observations)
    many = jax.tree.map(lambda x: jnp.repeat(x, FEW, axis=0), observations)
    a0 = jax.random.normal(key, (len(jax.tree.leaves(many)[0]), policy.horizon * policy.action_dim))
    return jnp.mean(jax.vmap(lambda obs, a0: jnp.linalg.norm(policy.trace(obs, a0).g, axis=-1))(many, a0))


@eqx.filter_jit
def _ways(policy: Policy, observations, key: Array, metrics: dict[str, Array]) -> dict[str, Array]:
    """E|g| and the robust E|g| of every way to ask the critic, and of M g in every metric, at a few of the same kind of
    actions, name -> [2].
    """
    policy, observations = looked(policy, observations)
    many = jax.tree.map(lambda x: jnp.repeat(x, FEW, axis=0), observations)
    a = policy._denoise(many, key)[0].reshape(len(jax.tree.leaves(many)[0]), -1)
    members = ability(policy.critic, Members)

    def one(obs, a):
        ways = gradients(members(obs, a), jax.jacrev(members, argnums=1)(obs, a)) if members else {}
        return ways | {OWN: jax.grad(policy.critic, argnums=1)(obs, a)}

    found = jax.vmap(one)(many, a)
    found |= {scales_name(name, metric): m * g for name, g in found.items() for metric, m in metrics.items()}
    norms = jax.tree.map(lambda g: jnp.linalg.norm(g, axis=-1), found)
    return {name: jnp.stack([jnp.mean(x), robust_mean(x)]) for name, x in norms.items()}


def calibrate(
    policy: Policy, observations, key: Array, actions: int = 32, ways: bool = False, guide: bool = False
) -> Policy:
    """The policy with its strength scale measured over `observations` [N, S] (a few hundred dataset states).

    sigma_a is the mean over states and dimensions of the standard deviation of `actions` unguided samples, and
    E|g| the mean norm of grad Q at those samples, the critic asked its own way. With `ways` the norms of every other
    way to ask an ensemble, and all robust means, are measured too, also in every metric: what members=, robust= and
    metric= of `Policy.guided` need. With `guide` E|g| is not of grad Q but of the policy's own guide, an estimator of
    yours included, the mean norm of what it says at the steps of unguided paths: that is the unit of strength then.
    """
    observations, states = read(observations, policy.obs_spec)
    if states is None:
        raise UserError("calibrate takes a batch of observations [N, S], got one")
    check_functions(policy.velocity, policy.critic, one_of(observations), policy.horizon, policy.action_dim)
    plain = without_guidance(policy, samples=1, calibration=None, members=None, choose=None)
    sigmas, grad_norm = map(np.float64, _scales(plain, observations, key, actions))
    if guide:
        straight = with_fields(policy, samples=1, weight=0.0, schedule="constant", fallback=None, shaping=None)
        grad_norm = np.float64(_pushes(straight, observations, key))
    metrics = {name: jnp.asarray(metric_of(sigmas)) for name in METRICS}
    others = {k: tuple(np.asarray(x)) for k, x in _ways(plain, observations, key, metrics).items()} if ways else None
    return with_fields(policy, calibration=Calibration(float(np.mean(sigmas)), grad_norm, others, sigmas))


def _parts(policy: Policy | Act, critic: StateValue | None) -> tuple[Act, StateValue, Callable[[Array], Array]]:
    """What acts, in the critic's units, the critic, and what makes actions of the environment's of it."""
    if isinstance(policy, Policy):
        return with_fields(policy, actions=None).act, critic or policy.critic, policy.outward
    if critic is None:
        raise UserError("a plain act function has no critic of its own: pass critic=")
    return policy, critic, lambda a: a


def best_of(policy: Policy | Act, n: int, critic: StateValue | None = None) -> Act:
    """Sample n actions per observation and keep the one the critic values highest, never one that is not finite.

    `policy` is a `Policy`, or any act(obs[B, S], key) -> (actions[B, H, A], Info) together with its `critic`.
    """
    act, critic, outward = _parts(policy, critic)
    chosen = best(act, n, critic)

    def acting(obs, key):
        actions, info = chosen(obs, key)
        return outward(actions), info

    return acting


def refine(
    policy: Policy | Act,
    steps: int,
    step_size: float,
    critic: StateValue | None = None,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
) -> Act:
    """Climb Q from the finished action, a <- clip(a + step_size grad Q(a), low, high), `steps` times (GradStep).

    Around any act function; the guide "gradstep" is the same climb (`sampling.climb`), with K = 3 steps of w / K, at
    the end of a policy's own path.
    """
    act, critic, outward = _parts(policy, critic)

    def refined(obs, key):
        actions, info = act(obs, key)

        def one(o, a):
            a = climb(lambda x: critic(o, x), a, steps, step_size, low, high)
            return a, critic(o, a)

        flat, value = jax.vmap(one)(obs, actions.reshape(len(actions), -1))
        return outward(flat.reshape(actions.shape)), info._replace(
            value=value, finite=jnp.all(jnp.isfinite(flat), axis=1)
        )

    return refined
