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


def of_the_flow(m, nets, q, obs, d: int, candidates: int, key: Array) -> Array:
    """q of so many actions of the reference flow at each of the observations, [B, candidates]; each has d numbers."""
    (flow, q), obs = looked((m.reference(nets), q), obs)
    many = jax.tree.map(lambda x: jnp.repeat(x, candidates, axis=0), obs)
    return q(many, m.sample(flow, many, d, key, m.reference_steps)).reshape(-1, candidates)


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
        return jnp.max(of_the_flow(m, nets, self.asked(nets), obs, d, self.candidates, key), axis=1)
