"""Weight decay that begins when held-out data say that the critic learns its data by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

BY_HEART = 2.0
"""Times its own loss is the held-out one: beyond, the data are learned by heart. Where they are not it is about 1."""
EXPLAINED = 0.95
"""What explains more of the variance of held-out targets than this has learned them, however small its own loss is."""
INTERVALS = 3
"""For so many log intervals in a row."""


class Late(NamedTuple):
    """What the optimiser's state says of it."""

    on: Array  # [] whether weights decay
    by_heart: Array  # [] log intervals in a row that said so


def late(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner`, without a state of its own, from the moment on at which the state says so (`judged`)."""

    def update(updates, state, params=None):
        changed, _ = inner.update(updates, inner.init(params), params)
        return jax.tree.map(lambda new, old: jnp.where(state.on, new, old), changed, updates), state

    return optax.GradientTransformation(lambda _: Late(jnp.zeros((), bool), jnp.zeros((), jnp.int32)), update)


def judged(optimiser: Any, logs: Mapping[str, np.ndarray]) -> tuple[Any, np.ndarray | None]:
    """The state of an optimiser after a log interval that logged these losses of each seed [seeds], and where weights
    decay from now on, [seeds]; None of an optimiser that does not wait.
    """
    found = [x for x in jax.tree.leaves(optimiser, is_leaf=_is_late) if _is_late(x)]
    if not found:
        return optimiser, None
    (before,) = found
    here = lambda x: np.atleast_1d(np.asarray(x))
    heart = logs["val/critic"] > BY_HEART * logs["loss/critic"]
    if (explained := logs.get("critic/explained")) is not None:
        heart &= ~(explained > EXPLAINED)
    count = np.where(heart, here(before.by_heart) + 1, 0)
    on = here(before.on) | (count >= INTERVALS)
    put = lambda new, old: jax.device_put(new.reshape(old.shape).astype(old.dtype), old.sharding)
    after = Late(put(on, before.on), put(count, before.by_heart))
    return jax.tree.map(lambda x: after if _is_late(x) else x, optimiser, is_leaf=_is_late), on


def _is_late(x: Any) -> bool:
    return isinstance(x, Late)
