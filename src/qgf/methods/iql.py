"""The paper's method: a flow by behaviour cloning and a critic by implicit Q-learning, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics import Pessimistic, critic_loss, polyak, td_target, value_loss
from qgf.flow import bc_loss
from qgf.networks import CriticEnsemble, ValueNet, VelocityField
from qgf.types import Batch, Spec


class Nets(eqx.Module):
    """Everything the method trains, and the slowly moving copy of its critics."""

    flow: VelocityField
    critic: CriticEnsemble
    value: ValueNet
    target: CriticEnsemble


@dataclass(frozen=True)
class IQL:
    """Behaviour cloning of the flow, IQL for the critic (Kostrikov et al. 2021; QGF paper, section 4)."""

    name: ClassVar[str] = "iql"
    nets: ClassVar[type] = Nets
    width: int = 256  # hidden units per layer (paper: 1024)
    depth: int = 3  # hidden layers (paper: 4)
    critics: int = 2  # ensemble size; guidance uses the minimum over the target critics
    expectile: float = 0.9  # of the value regression
    polyak: float = 0.005  # rate of the target critics

    def init(self, spec: Spec, key: Array):
        return self.nets(**self.parts(spec, key))

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        """The networks by name, freshly drawn."""
        flow, critic, value = jax.random.split(key, 3)
        q = CriticEnsemble(spec.obs_dim, spec.d, self.width, self.depth, self.critics, critic)
        return dict(
            flow=VelocityField(spec.obs_dim, spec.d, self.width, self.depth, flow),
            critic=q,
            value=ValueNet(spec.obs_dim, self.width, self.depth, value),
            target=jax.tree.map(jnp.copy, q),
        )

    def losses(self) -> dict:
        """The part of the networks that each loss trains -> loss(part, all networks, batch, key) -> (scalar, logs)."""
        return dict(flow=self._flow, critic=self._critic, value=self._value)

    def after(self, nets: Nets) -> Nets:
        """What follows every update: the target critics drift towards the critics."""
        return eqx.tree_at(lambda n: n.target, nets, polyak(nets.target, nets.critic, self.polyak))

    def velocity(self, nets: Nets):
        return nets.flow

    def guide_critic(self, nets: Nets):
        """Q for guidance: the minimum over the target critics."""
        return Pessimistic(nets.target)

    def _flow(self, flow, nets: Nets, batch: Batch, key: Array):
        a0, t = noise_and_time(key, batch)
        return bc_loss(lambda a, t: flow(batch.obs, a, t), a0, batch.actions, t), {}

    def _critic(self, critic, nets: Nets, batch: Batch, key: Array):
        return critic_loss(critic, td_target(nets.value, batch), batch)

    def _value(self, value, nets: Nets, batch: Batch, key: Array):
        return value_loss(value, nets.target, batch, self.expectile)


def noise_and_time(key: Array, batch: Batch) -> tuple[Array, Array]:
    """a_0 ~ N(0, I) [B, d] and t ~ U(0, 1) [B]."""
    noise, time = jax.random.split(key)
    a0 = jax.random.normal(noise, batch.actions.shape)
    return a0, jax.random.uniform(time, (len(a0),))
