"""A critic: a frozen dataclass of its options, and what it learns.

qgf --use examples/own/critic.py train DATASET --critic returns --scale 0.1
"""

from dataclasses import dataclass
from typing import ClassVar

from qgf.critics import CRITICS, Critic


@CRITICS
@dataclass(frozen=True)
class Returns(Critic):
    """Q -> scale R of the chunk alone: nothing is bootstrapped."""

    name: ClassVar[str] = "returns"
    scale: float = 1.0  # of the returns

    def q_loss(self, m, critic, nets, batch, key):
        return self.regress(critic, self.scale * batch.returns, batch)
