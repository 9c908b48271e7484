"""QAM's critic: ten members and a lower confidence bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array

from qgf.critics.base import Critic
from qgf.critics.losses import Confidence
from qgf.files import Few
from qgf.types import StateValue


@dataclass(frozen=True)
class Ensemble(Critic):
    """QAM's critic, ten members and a lower confidence bound (Li & Levine 2026): Q -> R + gamma^H M (mean - rho std)
    of the target critics at an action of the method's *own* policy. Guidance asks the same lower bound.
    """

    name: ClassVar[str] = "ensemble"
    critics: Few = 10  # members of the ensemble (QAM paper: 10)
    rho: float = 0.5  # target critics' mean - rho std (QAM's published code)

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        return self.asked(nets)(obs, m.sample(m.velocity(nets), obs, d, key))

    def asked(self, nets) -> StateValue:
        return Confidence(nets.target, self.rho)
