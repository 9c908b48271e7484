"""Guided Euler sampling: from a velocity and a critic to actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError
from qgf.method.flow import STEPS
from qgf.method.guides import find
from qgf.method.sampling import At, climb, denoise, finish
from qgf.method.schedules import Schedule
from qgf.method.schedules import schedule as find_schedule
from qgf.method.strength import raw_weight
from qgf.types import Act, Calibration, Estimator, Info, StateValue, StateVelocity, Trace


def per_sample(key: Array, batch: int) -> Array:
    """One key per sample, [batch]; keys that are one per sample already are passed through."""
    return key if key.ndim else jax.random.split(key, batch)


def _act_and_critic(policy: Policy | Act, critic: StateValue | None) -> tuple[Act, StateValue]:
    if isinstance(policy, Policy):
        return policy.act, critic or policy.critic
    if critic is None:
        raise UserError("a plain act function has no critic of its own: pass critic=")
    return policy, critic


def best_of(policy: Policy | Act, n: int, critic: StateValue | None = None) -> Act:
    """Sample n actions per observation and keep the one the critic values highest.

    `policy` is a `Policy`, or any act(obs[B, S], key) -> (actions[B, H, A], Info) together with its `critic`.
    """
    act, critic = _act_and_critic(policy, critic)

    def best(obs, key):
        many = jax.tree.map(lambda x: jnp.repeat(x, n, axis=0), obs)
        keys = per_sample(key, len(jax.tree.leaves(obs)[0]))
        actions, info = act(many, jax.vmap(lambda k: jax.random.split(k, n))(keys).reshape(-1))
        value = jax.vmap(critic)(many, actions.reshape(len(actions), -1)).reshape(-1, n)
        pick = jnp.argmax(value, axis=1) + n * jnp.arange(len(value))
        return actions[pick], jax.tree.map(lambda x: x[pick], info)

    return best


def refine(
    policy: Policy | Act,
    steps: int,
    step_size: float,
    critic: StateValue | None = None,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
) -> Act:
    """Climb Q from the finished action, a <- clip(a + step_size grad Q(a), low, high), `steps` times (GradStep)."""
    act, critic = _act_and_critic(policy, critic)

    def refined(obs, key):
        actions, info = act(obs, key)

        def one(o, a):
            a = climb(lambda x: critic(o, x), a, steps, step_size, low, high)
            return a, critic(o, a)

        flat, value = jax.vmap(one)(obs, actions.reshape(len(actions), -1))
        return flat.reshape(actions.shape), info._replace(value=value)

    return refined


class Policy(eqx.Module):
    """A flow policy steered by a critic: policy(obs[B, S], key) -> actions[B, H, A].

    Any pair of functions velocity(obs[S], a[d], t[]) -> [d] and critic(obs[S], a[d]) -> [] makes one (`guided_flow`);
    if they are pytrees (Equinox modules, `jax.tree_util.Partial`) their arrays are arguments of the compiled
    function, so that swapping parameters or weights compiles nothing.
    """

    velocity: StateVelocity
    critic: StateValue
    weight: ArrayLike = eqx.field(converter=lambda w: jnp.asarray(w, float))
    low: ArrayLike = eqx.field(converter=jnp.asarray)
    high: ArrayLike = eqx.field(converter=jnp.asarray)
    action_dim: int = eqx.field(static=True)
    horizon: int = eqx.field(static=True, default=1)
    guide: str | Estimator = eqx.field(static=True, default="qgf")
    steps: int = eqx.field(static=True, default=STEPS)
    samples: int = eqx.field(static=True, default=1)
    calibration: Calibration | None = eqx.field(static=True, default=None)
    schedule: str | Schedule = eqx.field(static=True, default="constant")
    load: ClassVar[Callable[[str | Path], Policy]]  # set by `training.trained`, which reads files

    def __check_init__(self):
        find(self.guide)
        find_schedule(self.schedule)
        for name in ("steps", "samples", "horizon", "action_dim"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")

    def __call__(self, obs, key: Array) -> Array:
        """Actions [B, H, A] for obs [B, S]; `key` is one PRNG key, or one per observation."""
        return _actions(self, obs, key)

    def act(self, obs, key: Array) -> tuple[Array, Info]:
        """The actions[B, H, A] and what happened on the way. Compiled by `act_jit`."""
        act = self._denoise if self.samples == 1 else best_of(self._denoise, self.samples, self.critic)
        return act(obs, key)

    def _denoise(self, obs, key: Array) -> tuple[Array, Info]:
        keys = per_sample(key, len(jax.tree.leaves(obs)[0]))

        def one(o, key):
            a0 = jax.random.normal(key, (self.horizon * self.action_dim,))
            path = self.trace(o, a0)
            a = finish(At(self.critic, o), path, self.guide, self.weight, self.low, self.high)
            pushed, drifted = (jnp.linalg.norm(x, axis=-1) for x in (path.w[:, None] * path.g, path.v))
            ratio = jnp.mean(pushed / jnp.maximum(drifted, 1e-12))
            return a, Info(self.critic(o, a), ratio, jnp.sum(path.skipped))

        flat, info = jax.vmap(one)(obs, keys)
        return flat.reshape(len(keys), self.horizon, self.action_dim), info

    def trace(self, obs, a0: Array) -> Trace:
        """The denoising path of one observation obs[S] from the noise a0[d]."""
        v, q = At(self.velocity, obs), At(self.critic, obs)
        return denoise(v, q, a0, self.guide, self.weight, self.steps, self.low, self.high, self.schedule)

    def guided(
        self,
        guide: str | Estimator = "qgf",
        strength: float | None = None,
        weight: float | None = None,
        best_of: int | None = None,
        steps: int | None = None,
        schedule: str | Schedule = "constant",
    ) -> Policy:
        """The same networks under another guide; best_of and steps stay as they are if not given. Give `strength`
        (default 1) or the raw `weight`, not both.

        w = strength * sigma_a * sqrt(d) / E|g| with the policy's calibration. Raises UserError if both are given, or
        if a strength is given and the policy was never calibrated.
        """
        weight = raw_weight(strength, weight, self.calibration, self.horizon * self.action_dim, guide)
        own = lambda x, mine: mine if x is None else x
        fields = dict(guide=guide, steps=own(steps, self.steps), samples=own(best_of, self.samples), schedule=schedule)
        return with_fields(self, weight=jnp.asarray(weight, float), **fields)


@eqx.filter_jit
def act_jit(policy: Policy, obs, key: Array) -> tuple[Array, Info]:
    """`policy.act`, compiled."""
    return policy.act(obs, key)


@eqx.filter_jit
def _actions(policy: Policy, obs, key: Array) -> Array:
    return policy.act(obs, key)[0]


def with_fields(policy: Policy, **changes) -> Policy:
    """The policy with some fields replaced."""
    fields = {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}
    return type(policy)(**(fields | changes))


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
) -> Policy:
    """Guide anybody's flow with anybody's critic: two functions of one observation are enough.

    velocity(obs[S], a[d], t[]) -> [d] and critic(obs[S], a[d]) -> [], d = horizon * action_dim. Give the raw `weight`,
    or a `strength` with a `calibration` (see `calibrate`). Returns policy(obs[B, S], key) -> actions[B, H, A].
    """
    weight = raw_weight(strength, weight, calibration, horizon * action_dim, guide)
    return Policy(
        velocity, critic, weight, low, high, action_dim, horizon, guide, steps, best_of, calibration, schedule
    )


@eqx.filter_jit
def _scales(policy: Policy, observations, key: Array, actions: int) -> tuple[Array, Array]:
    states = len(jax.tree.leaves(observations)[0])
    many = jax.tree.map(lambda x: jnp.repeat(x, actions, axis=0), observations)
    a = policy._denoise(many, key)[0].reshape(states * actions, -1)
    g = jax.vmap(jax.grad(policy.critic, argnums=1))(many, a)
    return jnp.mean(jnp.std(a.reshape(states, actions, -1), axis=1)), jnp.mean(jnp.linalg.norm(g, axis=-1))


def calibrate(policy: Policy, observations, key: Array, actions: int = 32) -> Policy:
    """The policy with its strength scale measured over `observations` [N, S] (a few hundred dataset states).

    sigma_a is the mean over states and dimensions of the standard deviation of `actions` unguided samples, and
    E|g| the mean norm of grad Q at those samples.
    """
    plain = with_fields(policy, guide="none", samples=1, schedule="constant")
    sigma, grad_norm = _scales(plain, observations, key, actions)
    return with_fields(policy, calibration=Calibration(float(sigma), float(grad_norm)))
