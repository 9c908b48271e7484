"""How an ensemble is asked: for the direction to guide in, and, apart from it, for the best of several samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError, unknown
from qgf.method.guides import need
from qgf.method.strength import OWN
from qgf.types import Members, StateValue

RHO = 0.5
"""Of the lower confidence bound, mean - rho std (QAM's published code)."""
WINSOR = 0.9
"""A robust mean takes what is above this quantile for the quantile."""


def lower(q: Array) -> Array:
    """mean_i q_i - rho std_i q_i of q[..., m]; the mean where all agree, as the root of zero has no derivative."""
    variance = jnp.var(q, axis=-1)
    std = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
    return jnp.mean(q, axis=-1) - RHO * std


WAYS: dict[str, Callable[[Array], Array]] = dict(
    mean=lambda q: jnp.mean(q, axis=-1), min=lambda q: jnp.min(q, axis=-1), lcb=lower
)
"""Name -> what it makes of the members' values [..., m]. Besides, a number stands for the member of that number."""
OTHERS = "others"
"""Of what chooses: the mean of the members that do not guide."""


def way(told: str | int | None) -> str | int | None:
    """What members= or choose= say, where it came as text: "own" is the critic's own way, "0" the member 0."""
    return None if told == OWN else int(told) if isinstance(told, str) and told.isdecimal() else told


class Asked(eqx.Module):
    """A critic whose members are asked another way than its own."""

    critic: StateValue
    way: str | int = eqx.field(static=True)
    without: int | None = eqx.field(static=True, default=None)  # the member that guides, for OTHERS

    def __call__(self, obs, a: Array) -> Array:
        q = need(self.critic, Members)(obs, a)
        if self.way == OTHERS:
            return (jnp.sum(q, axis=-1) - q[..., self.without]) / (q.shape[-1] - 1)
        return WAYS[self.way](q) if isinstance(self.way, str) else q[..., self.way]

    @property
    def inner(self) -> Any:
        return self.critic

    def around(self, f):
        return f


def asked(critic: StateValue, way: str | int | None, guiding: str | int | None = None) -> StateValue:
    """The critic, asked so; None is its own way. `guiding` is the way that guides, which "others" needs.

    Raises UserError for a way that is none, and for "others" where no single member guides.
    """
    check_way(way, guiding)
    if way is None:
        return critic
    return Asked(critic, way, guiding) if way == OTHERS and isinstance(guiding, int) else Asked(critic, way)


def check_way(way: str | int | None, guiding: str | int | None = None) -> None:
    """Raises UserError as `asked` does."""
    if way == OTHERS and not isinstance(guiding, int):
        raise UserError("choose='others' are those that do not guide: let one guide, members=0")
    if isinstance(way, str) and way not in (*WAYS, OTHERS):
        raise unknown("way to ask the members", way, [OWN, *WAYS, OTHERS])


def members_of(critic: StateValue, way: str | int | None, observations: Any, d: int) -> None:
    """Raises UserError if an ensemble has no member of that number. `observations` is one, or its shapes."""
    if isinstance(way, int):
        m = jax.eval_shape(need(critic, Members), observations, jax.ShapeDtypeStruct((d,), float)).shape[-1]
        if not 0 <= way < m:
            raise UserError(f"members={way}: the ensemble's {m} members are numbered from 0")


def gradients(q: Array, slopes: Array) -> dict[str, Array]:
    """The gradient of every way, of the members' values q[m] and gradients [m, d]: name -> [d]."""
    values, back = zip(*(jax.vjp(way, q) for way in WAYS.values()), strict=True)
    ways = {name: pull(jnp.ones_like(value))[0] @ slopes for name, value, pull in zip(WAYS, values, back, strict=True)}
    return ways | {str(k): slope for k, slope in enumerate(slopes)}


def robust_mean(norms: Array) -> Array:
    """The mean of norms [n], of which those above the 90 % quantile count as that: a few steep states do not set it."""
    return jnp.mean(jnp.minimum(norms, jnp.quantile(norms, WINSOR)))
