"""Actions in an environment's own units, around a sampler that knows [-1, 1] alone."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError


class ActionRange(eqx.Module):
    """What -1 and 1 mean: low and high, [A] each, in the environment's units."""

    low: ArrayLike = eqx.field(converter=jnp.asarray)
    high: ArrayLike = eqx.field(converter=jnp.asarray)

    @classmethod
    def of(cls, ends, action_dim: int) -> ActionRange:
        """From two ends, numbers [A] or one for all. Raises UserError for other shapes, and if they are not finite, or
        crossed.
        """
        if any(jnp.shape(x) not in ((), (action_dim,)) for x in ends):
            raise UserError(f"actions must have two ends of {action_dim} numbers each")
        low, high = (jnp.broadcast_to(jnp.asarray(x, float), (action_dim,)) for x in ends)
        if not bool(jnp.all(jnp.isfinite(low) & jnp.isfinite(high) & (low <= high))):
            raise UserError(f"actions must have a finite range from low to high, got {low} to {high}")
        return cls(low, high)

    @property
    def _middle(self) -> tuple[Array, Array]:
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        return (low + high) / 2, (high - low) / 2

    def outward(self, a: Array) -> Array:
        """low + (a + 1) (high - low) / 2 for a[..., A] in [-1, 1]."""
        centre, half = self._middle
        return centre + half * a

    def inward(self, a: Array) -> Array:
        """The inverse, for a[..., A] in the environment's units; 0 where the range is a point."""
        centre, half = self._middle
        return jnp.where(half > 0, (a - centre) / jnp.where(half > 0, half, 1), 0)
