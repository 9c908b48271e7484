"""QAM's critic: ten members and a lower confidence bound."""

from __future__ import annotations

from jax import Array

from qgf.critics.losses import Confidence
from qgf.critics.td import TD
from qgf.types import StateValue


class Ensemble(TD):
    """QAM's critic: Q -> R + gamma^H M (mean - rho std) of ten target critics at an action of the method's *own*
    policy (Li & Levine 2026). Guidance asks the same lower bound.
    """

    size = 10

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        return self.guide(m, nets)(obs, m.sample(m.velocity(nets), obs, d, key))

    def guide(self, m, nets) -> StateValue:
        return Confidence(nets.target, m.rho)
