"""Implicit Q-learning, the paper's critic."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics.losses import Pessimistic, critic_loss, td_target, value_loss
from qgf.networks.critic import CriticEnsemble, ValueNet
from qgf.types import Batch, Spec, StateValue


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
