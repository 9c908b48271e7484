"""A critic that bootstraps from actions of the reference flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics.base import Critic
from qgf.errors import at_least_one
from qgf.files import Many
from qgf.method.observations import looked


@dataclass(frozen=True)
class TD(Critic):
    """Bootstrapped from the best of N actions of the *reference* flow (QGF paper, critic ablation; EMaQ, Ghasemipour
    et al. 2021): Q -> R + gamma^H M min_i Q_i(s', a'), a' the best by that value.
    """

    name: ClassVar[str] = "td"
    candidates: Many = 4  # actions of the reference flow, the best of which is bootstrapped from

    def __post_init__(self):
        super().__post_init__()
        at_least_one(self, "candidates")

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        """Of the best action, [B]."""
        (flow, q), obs = looked((m.reference(nets), self.asked(nets)), obs)
        many = jax.tree.map(lambda x: jnp.repeat(x, self.candidates, axis=0), obs)
        a = m.sample(flow, many, d, key, m.reference_steps)
        return jnp.max(q(many, a).reshape(-1, self.candidates), axis=1)
