"""Critics learned by temporal differences, as losses of one batch; the networks take whole batches.

A kind of critic is its networks, its losses and what guidance asks of it (`CRITICS`); every training method can have
any of them. Functions of a kind take the method `m` first: its sizes and options, and its policy.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erf

from qgf.networks import CategoricalEnsemble, CriticEnsemble, ValueNet
from qgf.types import Batch, Spec, StateValue


def expectile_loss(error: Array, expectile: float) -> Array:
    """|tau - 1(error < 0)| error^2, elementwise; error = target - prediction."""
    return jnp.where(error > 0, expectile, 1 - expectile) * error**2


def lowest(ensemble, obs: Array, a: Array) -> Array:
    """The pessimistic value min_i Q_i(obs, a), [...]."""
    return jnp.min(ensemble(obs, a), axis=-1)


class Pessimistic(eqx.Module):
    """The critic that guidance asks: q(obs, a) = min_i Q_i(obs, a), with `q.members` for each Q_i."""

    members: CriticEnsemble

    def __call__(self, obs: Array, a: Array) -> Array:
        return lowest(self.members, obs, a)


class Confidence(eqx.Module):
    """A lower confidence bound, q(obs, a) = mean_i Q_i - rho std_i Q_i, with `q.members` for each Q_i."""

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


def two_hot_gauss(x: Array, edges: Array, sigma: Array) -> Array:
    """The mass of N(x, sigma^2) in every bin between `edges` [bins + 1], scaled to sum to 1, [..., bins].

    HL-Gauss (Imani & White 2018; Farebrother et al. 2024, eq. 5). x is clipped to the range of the edges first.
    """
    x = jnp.clip(x, edges[0], edges[-1])[..., None]
    cumulative = erf((edges - x) / (jnp.sqrt(2.0) * sigma))
    return jnp.diff(cumulative) / (cumulative[..., -1:] - cumulative[..., :1])


def histogram_loss(critic: CategoricalEnsemble, target: Array, batch: Batch) -> tuple[Array, dict[str, Array]]:
    """Mean cross-entropy of every member's histogram with the target's, HL-Gauss with sigma = 0.75 bins."""
    mass = two_hot_gauss(target, critic.edges, 0.75 * (critic.edges[1] - critic.edges[0]))
    logits = critic.logits(batch.obs, batch.actions)
    loss = -jnp.mean(jnp.sum(mass[:, None] * jax.nn.log_softmax(logits), axis=-1))
    return loss, dict(q=jnp.mean(critic.expectation(logits)), target=jnp.mean(target))


class IQL:
    """Implicit Q-learning: Q -> R + gamma^H M V(s'), V an expectile of Q over the data's own actions
    (Kostrikov et al. 2021). Guidance asks the minimum of the target critics.
    """

    size = 2
    bootstrap = "value"

    def parts(self, m, spec: Spec, critic: Array, value: Array) -> dict[str, Any]:
        """The networks by name, freshly drawn with the two keys."""
        q = self.ensemble(m, spec, critic)
        nets = dict(critic=q, value=ValueNet(spec.obs_dim, m.width, m.depth, value), target=jax.tree.map(jnp.copy, q))
        return nets if self.bootstrap == "value" else {name: nets[name] for name in ("critic", "target")}

    def ensemble(self, m, spec: Spec, key: Array):
        return CriticEnsemble(spec.obs_dim, spec.d, m.width, m.depth, m.ensemble_size, key)

    def losses(self, m) -> dict:
        return dict(critic=lambda *x: self.critic(m, *x), value=lambda *x: self.value(m, *x))

    def critic(self, m, critic, nets, batch: Batch, key: Array):
        return critic_loss(critic, td_target(nets.value, batch), batch)

    def value(self, m, value, nets, batch: Batch, key: Array):
        return value_loss(value, nets.target, batch, m.expectile)

    def guide(self, m, nets) -> StateValue:
        return Pessimistic(nets.target)


class HLGauss(IQL):
    """IQL whose critics are histograms, trained by cross-entropy with the target's smoothed histogram
    (Farebrother et al. 2024); Q is the histogram's mean. Beyond each end of the range are three more bins, four
    standard deviations of the smoothing, or the values at the ends would be pulled inwards.
    """

    margin = 3

    def ensemble(self, m, spec: Spec, key: Array):
        beyond = self.margin * (m.value_high - m.value_low) / m.bins
        limits = m.bins + 2 * self.margin, m.value_low - beyond, m.value_high + beyond
        return CategoricalEnsemble(spec.obs_dim, spec.d, m.width, m.depth, m.ensemble_size, *limits, key)

    def critic(self, m, critic, nets, batch: Batch, key: Array):
        return histogram_loss(critic, td_target(nets.value, batch), batch)


class TD(IQL):
    """Bootstrapped: Q -> R + gamma^H M min_i Q_i(s', a'), a' the best by that value of N actions of the *reference*
    flow (QGF paper, critic ablation; EMaQ, Ghasemipour et al. 2021).
    """

    bootstrap = "action"

    def losses(self, m) -> dict:
        return dict(critic=lambda *x: self.critic(m, *x))

    def critic(self, m, critic, nets, batch: Batch, key: Array):
        value = lambda obs: self.next_value(m, nets, obs, batch.actions.shape[-1], key)
        return critic_loss(critic, td_target(value, batch), batch)

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        """Of the best action, [B]."""
        many = jnp.repeat(obs, m.candidates, axis=0)
        a = m.sample(m.reference(nets), many, d, key, m.reference_steps)
        return jnp.max(self.guide(m, nets)(many, a).reshape(len(obs), m.candidates), axis=1)


class Ensemble(TD):
    """QAM's critic: Q -> R + gamma^H M (mean - rho std) of ten target critics at an action of the method's *own*
    policy (Li & Levine 2026). Guidance asks the same lower bound.
    """

    size = 10

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        return self.guide(m, nets)(obs, m.sample(m.velocity(nets), obs, d, key))

    def guide(self, m, nets) -> StateValue:
        return Confidence(nets.target, m.rho)


CRITICS: dict[str, IQL] = {"iql": IQL(), "td": TD(), "ensemble": Ensemble(), "hl-gauss": HLGauss()}
