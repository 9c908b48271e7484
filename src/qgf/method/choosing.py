"""The best of several samples, and actions that are finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from qgf.method.observations import per_sample
from qgf.registry import Registry
from qgf.types import Act, Info, StateValue

RATIO = 5.0
"""Of |w g| to |v|, beyond which guidance alone acts; one is usual where |v| is small in some step."""
FAR = 3.0
"""Deviations sigma_a: what the reference policy itself hardly ever does."""
HALF = 0.5
"""Of the gain that guides claim, which others have to confirm: less, and the two have parted (`playing.offline`)."""


class Doubt(NamedTuple):
    """What a fallback judges a guided action by; all []."""

    ratio: Array  # mean |w g| / |v|
    displacement: Array  # from the unguided action of the same noise, in sigma_a; nan of a policy without calibration
    claimed: Array  # gain in Q over the unguided action by what guides
    confirmed: Array  # by the members that do not guide; both nan where the fallback does not ask


Fallback: TypeAlias = Callable[[Doubt], Array]
"""doubt -> whether to act as guided. What is not finite never does; the unguided action from the same noise takes its
place. With an attribute `asks` that is true the members that do not guide are asked."""


def unguided(doubt: Doubt):
    """Act without guidance where the guided action is not finite."""
    return jnp.ones((), bool)


def capped(doubt: Doubt):
    """Also where |w g| is on average more than 5 |v|, or the action moved by more than 3 sigma_a."""
    return ~((doubt.ratio > RATIO) | (doubt.displacement > FAR))


def judged(doubt: Doubt):
    """Also where members that do not guide confirm no gain, or less than half of what is claimed (members=0)."""
    return capped(doubt) & (doubt.confirmed > 0) & (doubt.confirmed >= HALF * doubt.claimed)


judged.asks = True  # type: ignore[attr-defined]
FALLBACKS = Registry[Fallback]("fallback", dict(unguided=unguided, capped=capped, judged=judged))
"""When the unguided action is taken in the guided one's place."""


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


def find_fallback(fallback: str | Fallback) -> Fallback:
    """That of a name, or the function itself. Raises UserError for an unknown name."""
    return fallback if callable(fallback) else FALLBACKS.find(fallback)


def fall_back(actions: Array, info: Info, unguided: Callable[[], tuple[Array, Info]], critic, obs, last: Array):
    """The actions [B, H, A] with those that are not finite replaced, by the unguided ones or, where they are not finite
    either, by `last` [B, H, A] (inside the action range). Computed only where it is needed.
    """
    info = info._replace(fell_back=~info.finite)

    def replaced() -> tuple[Array, Info]:
        return _replaced(actions, info, *unguided(), critic, obs, last)

    return jax.lax.cond(jnp.all(info.finite), lambda: (actions, info), replaced)


def _replaced(actions: Array, info: Info, plain: Array, other: Info, critic, obs, last: Array) -> tuple[Array, Info]:
    """What acts, where the actions of `info.fell_back` do not."""
    rows: Callable[[Any], Array] = lambda mask: mask[:, None, None]
    own = ~info.fell_back
    a = jnp.where(rows(own), actions, jnp.where(rows(other.finite), plain, last))
    value = jax.vmap(critic)(obs, a.reshape(len(a), -1))
    value, ratio = jnp.where(own, info.value, value), jnp.where(own, info.ratio, 0.0)
    nats, jerk = jnp.where(own, info.nats, 0.0), jnp.where(own, info.jerk, other.jerk)
    return a, info._replace(value=value, ratio=ratio, nats=nats, jerk=jerk)


def judge(
    fallback: Fallback, actions: Array, info: Info, plain: Array, other: Info, guiding, others, critic, obs, last: Array
) -> tuple[Array, Info]:
    """The actions [B, H, A] with those that `fallback` doubts replaced by the unguided ones `plain`, of the same noise;
    `guiding` is the critic that guides, `others` the one that does not, if it is to be asked.
    """
    flat = lambda a: a.reshape(len(a), -1)
    gain = lambda q: jax.vmap(lambda o, a, b: q(o, a) - q(o, b))(obs, flat(actions), flat(plain))
    unknown = jnp.full(len(actions), jnp.nan)
    claimed, confirmed = (unknown, unknown) if others is None else (gain(guiding), gain(others))
    keep = jax.vmap(fallback)(Doubt(info.ratio, info.displacement, claimed, confirmed)) & info.finite
    a, info = _replaced(actions, info._replace(fell_back=~keep), plain, other, critic, obs, last)
    return a, info._replace(displacement=jnp.where(keep, info.displacement, 0.0))
