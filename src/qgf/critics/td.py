"""A critic that bootstraps from actions of the reference flow."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from qgf.critics.iql import IQL
from qgf.critics.losses import critic_loss, td_target
from qgf.types import Batch


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
