"""Diffusion actors: policies that predict the noise in a noised action, trained to clone and to follow grad Q.

A noise model and a velocity say the same thing: eps = a_t - t v(a_t, t) for a_t = (1 - t) eps + t a_1. The actor is
therefore an ordinary velocity field, trained by its papers' losses on the noise, and acts through the flow's own Euler
steps, so that every guide works on it: the diffusion's probability-flow ODE, with the same marginals as the papers'
ancestral sampling and without its noise. Noised actions of variance one, x_t = sqrt(abar) a_1 + sqrt(1 - abar) eps,
are a_t times a scale, and the papers' discrete noise levels are drawn from the cosine schedule (Nichol & Dhariwal
2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from qgf.method.flow import interpolate
from qgf.networks.blocks import Nets
from qgf.training.methods.bc import OneActor
from qgf.types import Batch


class Noised(NamedTuple):
    """A batch of actions with noise in them."""

    noise: Array  # [B, d] what was put in
    found: Array  # [B, d] what the actor says was put in
    x: Array  # [B, d] the noised actions, of variance one
    sigma: Array  # [B, 1] sqrt(1 - abar): how much of x is noise


def noised(actor, batch: Batch, key: Array) -> Noised:
    """Noise the batch's actions at levels abar = cos^2(pi u / 2), u ~ U(0, 1), and ask the actor for the noise."""
    draw, level = jax.random.split(key)
    noise = jax.random.normal(draw, batch.actions.shape)
    angle = jnp.pi / 2 * jax.random.uniform(level, (len(noise),))
    scale = jnp.cos(angle) + jnp.sin(angle)
    t = jnp.cos(angle) / scale
    a = interpolate(noise, batch.actions, t)
    found = a - t[:, None] * actor(batch.obs, a, t)
    return Noised(noise, found, scale[:, None] * a, jnp.sin(angle)[:, None])


@dataclass(frozen=True)
class IDQL(OneActor):
    """Implicit diffusion Q-learning (Hansen-Estruch et al. 2023): a cloned noise model, mean of |eps_hat - eps|^2, of
    whose samples the best by IQL's critic is played. The paper draws among them by the critic's weights; the published
    code, like this one, takes the best.
    """

    name: ClassVar[str] = "idql"
    best_of: ClassVar[int] = 32  # paper: 32 to 128

    def slope(self, nets: Nets, obs: Array, x: Array) -> Array:
        """grad of the mean critic at noised actions, which are not clipped, [B, d]."""
        return jax.grad(lambda x: jnp.sum(jnp.mean(nets.critic(obs, x), axis=-1)))(x)

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        made = noised(actor, batch, key)
        loss = jnp.mean((made.found - made.noise) ** 2)
        return loss, dict(clone=loss)


@dataclass(frozen=True)
class DAC(IDQL):
    """Diffusion actor-critic (Fang et al. 2024, soft Q-guidance): mean of alpha |eps_hat - eps|^2 + 2 sigma_t eps_hat .
    grad Q(s, x_t), whose minimum eps - sigma_t grad Q / alpha adds grad Q / alpha to the score at every noise level.

    Q's gradient is taken at the noised action, as in the paper, which also scales it by Q's size; here alpha does.
    """

    name: ClassVar[str] = "dac"
    best_of: ClassVar[int] = 1
    alpha: float = 100.0  # weight of cloning (QGF paper: 100, 100, 300, 100)

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        made = noised(actor, batch, key)
        slope = self.slope(nets, batch.obs, made.x)
        clone = jnp.mean((made.found - made.noise) ** 2)
        return self.alpha * clone + 2 * jnp.mean(made.sigma * made.found * slope), dict(clone=clone)


@dataclass(frozen=True)
class QSM(IDQL):
    """Q-score matching with cloning (Psenka et al. 2024): mean of |eps_hat + scale grad Q(s, x_t)|^2 + alpha |eps_hat -
    eps|^2: the noise is minus the score times sigma, and the score is to be Q's slope.

    The paper has no cloning term; QGF's baseline adds it, and takes the gradient at the noised action.
    """

    name: ClassVar[str] = "qsm"
    best_of: ClassVar[int] = 1
    scale: float = 0.1  # of Q's slope (QGF paper: 0.1)
    alpha: float = 10.0  # weight of cloning (QGF paper: 10)

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        made = noised(actor, batch, key)
        follow = jnp.mean((made.found + self.scale * self.slope(nets, batch.obs, made.x)) ** 2)
        clone = jnp.mean((made.found - made.noise) ** 2)
        return follow + self.alpha * clone, dict(clone=clone, follow=follow)
