"""A critic beside which a guide was learned from another."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jax import Array

from qgf.types import StateValue, Taught


class Distilled(eqx.Module):
    """The critic as it was, with a small network that learned a guide: `types.Amortised`."""

    critic: StateValue
    learned: Any  # (obs[S], a_t[d], t[]) -> g[d]
    taught: Taught = eqx.field(static=True)

    def __call__(self, obs, a: Array) -> Array:
        return self.critic(obs, a)

    def amortised(self, obs, a: Array, t: Array) -> Array:
        return self.learned(obs, a, t)

    @property
    def inner(self) -> Any:
        return self.critic

    def around(self, f):
        return f
