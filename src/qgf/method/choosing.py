"""The best of several samples, and actions that are finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qgf.method.observations import per_sample
from qgf.types import Act, Info, StateValue

FALLBACKS = ("unguided",)


def best(act: Act, n: int, critic: StateValue) -> Act:
    """n samples of `act` per observation, of which the critic values the kept one highest.

    One whose value is not finite is taken only where all are so, one whose action is not finite only if there is no
    other; `info.discarded` counts both.
    """

    def chosen(obs, key):
        many = jax.tree.map(lambda x: jnp.repeat(x, n, axis=0), obs)
        keys = per_sample(key, len(jax.tree.leaves(obs)[0]))
        actions, info = act(many, jax.vmap(lambda k: jax.random.split(k, n))(keys).reshape(-1))
        flat = actions.reshape(len(actions), -1)
        value, finite = jax.vmap(critic)(many, flat), jnp.all(jnp.isfinite(flat), axis=1)
        usable = finite & jnp.isfinite(value)
        rank = jnp.where(usable, value, jnp.where(finite, jnp.finfo(value.dtype).min, -jnp.inf)).reshape(-1, n)
        pick = jnp.argmax(rank, axis=1) + n * jnp.arange(len(rank))
        discarded = n - jnp.sum(usable.reshape(-1, n), axis=1)
        info = jax.tree.map(lambda x: x[pick], info._replace(finite=finite))
        return actions[pick], info._replace(discarded=discarded)

    return chosen


def fall_back(actions: Array, info: Info, unguided: Callable[[], tuple[Array, Info]], critic, obs, last: Array):
    """The actions [B, H, A] with those that are not finite replaced, by the unguided ones or, where they are not finite
    either, by `last` [B, H, A] (inside the action range). Computed only where it is needed.
    """

    def replaced() -> tuple[Array, Info]:
        plain, other = unguided()
        rows: Callable[[Any], Array] = lambda mask: mask[:, None, None]
        a = jnp.where(rows(info.finite), actions, jnp.where(rows(other.finite), plain, last))
        value = jax.vmap(critic)(obs, a.reshape(len(a), -1))
        value, ratio = jnp.where(info.finite, info.value, value), jnp.where(info.finite, info.ratio, 0.0)
        return a, info._replace(value=value, ratio=ratio)

    return jax.lax.cond(jnp.all(info.finite), lambda: (actions, info), replaced)
