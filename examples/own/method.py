"""A training method, its options and its losses: qgf --use ... train DATASET --method smooth --spread 0.1"""

from dataclasses import dataclass
from typing import ClassVar

import jax

from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC


@METHODS
@dataclass(frozen=True)
class Smooth(BC):
    """Cloning of actions with a little noise, so that no two are the same."""

    name: ClassVar[str] = "smooth"
    spread: float = 0.05  # standard deviation of the noise

    def _flow(self, flow, nets, batch, key):
        noise = self.spread * jax.random.normal(jax.random.fold_in(key, 1), batch.actions.shape)
        return super()._flow(flow, nets, batch._replace(actions=batch.actions + noise), key)
