"""Implicit Q-learning over what the reference flow does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics.iql import IQL
from qgf.critics.losses import expectile_loss
from qgf.critics.td import of_the_flow
from qgf.errors import at_least_one
from qgf.files import Many
from qgf.types import Batch


@dataclass(frozen=True)
class FlowIQL(IQL):
    """IQL whose V is an expectile of Q over actions of the *reference* flow, not over the data's own: the value of the
    better among what the policy would do, in its support as the best of several (`td`) is not. Q is asked at actions
    that the data do not hold at their states, so that a high expectile takes what is overestimated: lower than IQL's.
    """

    name: ClassVar[str] = "flow-iql"
    expectile: float = 0.7  # of the value regression
    candidates: Many = 1  # actions of the reference flow at each state: more make V less noisy, and no other

    def __post_init__(self):
        super().__post_init__()
        at_least_one(self, "candidates")

    def v_loss(self, m, value, nets, batch: Batch, key: Array):
        """Mean over states and actions of |tau - 1(u < 0)| u^2 with u = min_i Q_i(s, a) - V(s), a ~ flow(s)."""
        d, v = batch.actions.shape[-1], value(batch.obs)
        q = jax.lax.stop_gradient(of_the_flow(m, nets, self.asked(nets), batch.obs, d, self.candidates, key))
        return jnp.mean(expectile_loss(q - v[:, None], self.expectile)), dict(v=jnp.mean(v))
