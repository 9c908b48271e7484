"""Implicit Q-learning, the paper's critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from jax import Array

from qgf.critics.base import Critic
from qgf.critics.losses import value_loss
from qgf.critics.regular import scaled
from qgf.networks.critic import ValueNet
from qgf.types import Batch, Spec


@dataclass(frozen=True)
class IQL(Critic):
    """Implicit Q-learning, the paper's critic (Kostrikov et al. 2021): Q -> R + gamma^H M V(s'), V an expectile of Q
    over the data's own actions. Guidance asks the minimum of the target critics.
    """

    name: ClassVar[str] = "iql"
    has_value: ClassVar[bool] = True
    expectile: float = 0.9  # of the value regression (paper: 0.9)

    @property
    def parts(self) -> tuple[str, ...]:
        return ("critic", "value", "target")

    def init(self, m, spec: Spec, critic: Array, value: Array) -> dict[str, Any]:
        network = scaled(self, m.seeing(m.kind, spec))
        nets = super().init(m, spec, critic, value) | dict(
            value=ValueNet(spec.obs_dim, m.width, m.depth, value, network)
        )
        return {part: nets[part] for part in self.parts}

    def losses(self, m) -> dict:
        return super().losses(m) | dict(value=lambda *x: self.v_loss(m, *x))

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        return nets.value(obs)

    def v_loss(self, m, value, nets, batch: Batch, key: Array):
        return value_loss(value, nets.target, batch, self.expectile)
