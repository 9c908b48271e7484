"""What batches are drawn from: all of the data on the device, or a window of random episodes that moves through them.

A window is `blocks` blocks of `block` chunks. After every `every` updates the oldest is replaced by the next of an
endless order (`data.order`), which a thread read meanwhile: what is in it is a function of seed, host and the number of
updates, however training got there. All of the data are one block that is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qgf.training.device import Data

AHEAD = 2
"""Blocks that are read at a time."""


@dataclass(frozen=True)
class Plan:
    """How much is held, in chunks."""

    block: int
    blocks: int
    every: int  # updates, after which a block is replaced; 0: never

    def moves(self, step: int) -> int:
        """How many blocks were replaced before the update after `step`."""
        return step // self.every if self.every else 0


WHOLE = Plan(0, 1, 0)
"""All of the data."""


class Window:
    """`at(step)` is what the update after `step` draws from."""

    def __init__(self, read: Callable[[int], Data], plan: Plan, rows: int = 0, axis: int = 0):
        """`read(k)` is the k-th block of the order, of `rows` rows, which are its arrays' axis of that number."""
        self.read, self.plan, self.rows, self.axis = read, plan, rows, axis
        self._data: Data | None = None
        self._moves = -1
        self._ahead: dict[int, Future[Data]] = {}
        self._readers: ThreadPoolExecutor | None = None
        self._begun: Future[None] | None = None

    def begin(self, step: int) -> Any:
        """Have all that the update after `step` draws from read meanwhile; its shapes, which are known from the first
        block. None where it is there already.
        """
        if self.plan.blocks == 1 or self._data is not None:
            return None
        self._moves = self.plan.moves(step)
        self._put(self._moves)
        shapes = jax.tree.map(_shape, self._data)
        self._begun = self._pool.submit(self._fill, self._moves, 1)
        return shapes

    def at(self, step: int) -> Data:
        """What has been drawn from before is used up, if it was another."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.result()
        moves = self.plan.moves(step)
        if moves != self._moves:
            if self.plan.blocks == 1:
                self._data = self.read(moves)
            elif self._data is not None and moves == self._moves + 1:
                self._fill(moves, self.plan.blocks - 1)
            else:
                self._data = None
                self._fill(moves)
            self._moves = moves
        assert self._data is not None
        return self._data

    def close(self) -> None:
        """End the threads that read."""
        if self._readers is not None:
            self._readers.shutdown(cancel_futures=True)
        self._readers, self._ahead = None, {}

    def _fill(self, moves: int, there: int = 0) -> None:
        """Read all blocks but the first that are `there` already, and have the next begun."""
        end = moves + self.plan.blocks
        for block in range(moves + there, end):
            for ahead in range(block, min(block + AHEAD, end)):
                self._ask(ahead)
            self._put(block)
        if self.plan.every:
            self._ask(end)

    @property
    def _pool(self) -> ThreadPoolExecutor:
        """Its threads: those that read blocks, and one that puts them in their places."""
        if self._readers is None:
            self._readers = ThreadPoolExecutor(AHEAD + 1, "window")
        return self._readers

    def _ask(self, block: int) -> None:
        """Have a block read meanwhile."""
        if block not in self._ahead:
            self._ahead[block] = self._pool.submit(self.read, block)

    def _put(self, block: int) -> None:
        """Put a block in its place, over the oldest."""
        self._ask(block)
        new = self._ahead.pop(block).result()
        if self._data is None:
            self._data = _emptied(new, self.plan.blocks, self.axis)
        self._data = _replaced(self._data, new, block % self.plan.blocks, self.rows, self.axis)


def _emptied(block: Any, blocks: int, axis: int) -> Any:
    """Room for so many blocks like this one, on the same devices."""
    longer = lambda shape: (*shape[:axis], blocks * shape[axis], *shape[axis + 1 :])
    make = lambda: jax.tree.map(lambda x: jnp.zeros(longer(x.shape), x.dtype), block)
    return jax.jit(make, out_shardings=jax.tree.map(_place, block))()


def _place(x: jax.Array) -> Any:
    """Where an array was put; None of one that is only where arrays are by default, since programs are compiled anew
    when that becomes the place of a state which was nowhere else.
    """
    return x.sharding if x.committed else None


def _shape(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_place(x))


@partial(jax.jit, static_argnames=("rows", "axis"), donate_argnames="data")
def _replaced(data: Any, new: Any, k: int, rows: int, axis: int) -> Any:
    """The window with its k-th block replaced by a new one of `rows` rows."""
    put = lambda x, part: jax.lax.dynamic_update_slice_in_dim(x, part, k * part.shape[axis], axis)
    return jax.tree.map(put, data, new.moved(k * rows))
