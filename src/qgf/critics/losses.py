"""Losses of critics learned by temporal differences, each of one batch; the networks take whole batches."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.networks.critic import CriticEnsemble
from qgf.types import Batch, StateValue


def expectile_loss(error: Array, expectile: float) -> Array:
    """|tau - 1(error < 0)| error^2, elementwise; error = target - prediction."""
    return jnp.where(error > 0, expectile, 1 - expectile) * error**2


def lowest(ensemble, obs: Array, a: Array) -> Array:
    """The pessimistic value min_i Q_i(obs, a), [...]."""
    return jnp.min(ensemble(obs, a), axis=-1)


class Pessimistic(eqx.Module):
    """The critic that guidance asks: q(obs, a) = min_i Q_i(obs, a), and each Q_i as `Members`."""

    members: CriticEnsemble

    def __call__(self, obs: Array, a: Array) -> Array:
        return lowest(self.members, obs, a)

    def alone(self) -> Pessimistic:
        return Lowest(self.members)


class Lowest(Pessimistic):
    """The same for a single observation: its derivative in `a` goes back through the lowest member alone, so that the
    weights of the others are not read again. Of members that tie it is the first.
    """

    def __call__(self, obs: Array, a: Array) -> Array:
        nets = getattr(self.members, "nets", ())
        return _lowest_of(a, nets, obs) if len(nets) > 1 else lowest(self.members, obs, a)


@eqx.filter_custom_vjp
def _lowest_of(a: Array, nets, obs: Array) -> Array:
    """With a derivative in `a` alone."""
    return jnp.min(jnp.stack([net(jnp.concatenate([obs, a]))[0] for net in nets]))


@_lowest_of.def_fwd
def _values(perturbed, a, nets, obs):
    one = lambda net: jax.vjp(lambda a: net(jnp.concatenate([obs, a]))[0], a)
    values, backs = zip(*map(one, nets), strict=True)
    q = jnp.stack(values)
    return jnp.min(q), (jnp.argmin(q), backs)


@_lowest_of.def_bwd
def _slope(saved, g, perturbed, a, nets, obs):
    lowest, backs = saved
    return jax.lax.switch(lowest, [lambda g, back=back: back(g)[0] for back in backs], g)


class Confidence(eqx.Module):
    """A lower confidence bound, q(obs, a) = mean_i Q_i - rho std_i Q_i, and each Q_i as `Members`."""

    members: CriticEnsemble
    rho: float = eqx.field(static=True)

    def __call__(self, obs: Array, a: Array) -> Array:
        q = self.members(obs, a)
        variance = jnp.var(q, axis=-1)
        # The root of zero has no derivative, and twins do agree: there the bound is the mean.
        std = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
        return jnp.mean(q, axis=-1) - self.rho * std


def polyak(target, online, rate: float):
    """target <- target + rate (online - target), for every array of the two modules."""
    return jax.tree.map(lambda t, o: t + rate * (o - t) if eqx.is_array(t) else t, target, online)


def td_target(value: StateValue, batch: Batch) -> Array:
    """R + gamma^H M V(s'), [B]: `batch` carries R and gamma^H M, where M = 0 after a terminal step inside the chunk."""
    return batch.returns + batch.bootstrap * jax.lax.stop_gradient(value(batch.next_obs))


def critic_loss(critic, target: Array, batch: Batch) -> tuple[Array, dict[str, Array]]:
    """Mean over batch and ensemble of (Q_i(s, a) - target)^2."""
    q = critic(batch.obs, batch.actions)
    return jnp.mean((q - target[:, None]) ** 2), dict(q=jnp.mean(q), target=jnp.mean(target))


def value_loss(value, target_critic, batch: Batch, expectile: float) -> tuple[Array, dict[str, Array]]:
    """IQL's expectile regression of V(s) on min_i Q_i(s, a) of the target critics (Kostrikov et al. 2021, eq. 5)."""
    q = jax.lax.stop_gradient(lowest(target_critic, batch.obs, batch.actions))
    v = value(batch.obs)
    return jnp.mean(expectile_loss(q - v, expectile)), dict(v=jnp.mean(v))
