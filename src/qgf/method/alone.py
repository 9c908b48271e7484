"""A single observation, which needs no axis: of a choice that depends on it, one side alone is then computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


@runtime_checkable
class Choosy(Protocol):
    """A velocity or critic of which another form is faster where nothing is batched; f.alone() says the same."""

    def alone(self) -> Any: ...


def alone(f: Tree) -> Tree:
    """The same velocities, critics and policies in the forms that they have for a single observation."""
    is_choosy = lambda x: isinstance(x, Choosy)
    return jax.tree.map(lambda x: x.alone() if is_choosy(x) else x, f, is_leaf=is_choosy)


def each(f: Callable[..., Any], rows: int) -> Callable[..., Any]:
    """f of every row; of a single one without `vmap`."""

    def of_one(*x):
        return jax.tree.map(lambda y: jnp.expand_dims(y, 0), f(*jax.tree.map(lambda y: y[0], x)))

    return of_one if rows == 1 else jax.vmap(f)
