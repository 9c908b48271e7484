"""Goals drawn in hindsight: what the data reached is what it might have wanted to reach.

Each row of a batch gets a goal, the oracle representation of some state of the dataset, when the batch is drawn, on the
device. Rewards and masks follow from where that state lies: -1 and 1 at every state before it, 0 and 0 at the state
itself. As in OGBench's GCDataset a goal is reached at its own row of the dataset and nowhere else, however near another
state comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.data.pictures import seen
from qgf.errors import UserError, unknown
from qgf.types import Batch


@dataclass(frozen=True)
class Mix:
    """How often a goal is the current state and a later one of the same episode; else it is any state of the data.

    A later one is drawn evenly from those that are left, or at a distance k with probability prop. to gamma^k, the
    episode's last where that is beyond its end.
    """

    current: float = 0.2
    trajectory: float = 0.5
    ahead: Literal["uniform", "geometric"] = "uniform"

    def __post_init__(self):
        if min(self.current, self.trajectory) < 0 or self.current + self.trajectory > 1 + 1e-9:
            raise UserError(
                f"goals: {self.current:g} current and {self.trajectory:g} of the same trajectory are no two parts of 1"
            )
        if self.ahead not in (ways := ("uniform", "geometric")):
            raise unknown("ahead", self.ahead, ways)


def draw_goals(key: Array, first: Array, last: Array, rows: int, mix: Mix, discount: float) -> Array:
    """A row of the dataset, 0 to rows - 1, for each state `first` [B] of an episode that ends at row `last` [B]."""
    kind, ahead, anywhere = jax.random.split(key, 3)
    u = jax.random.uniform(kind, first.shape)
    if mix.ahead == "geometric":
        later = jnp.minimum(first + jax.random.geometric(ahead, 1 - discount, first.shape, first.dtype), last)
    else:
        later = jax.random.randint(ahead, first.shape, first + 1, last + 1, first.dtype)
    random = jax.random.randint(anywhere, first.shape, 0, rows, first.dtype)
    return jnp.where(u < mix.current, first, jnp.where(u < mix.current + mix.trajectory, later, random))


def goal_returns(first: Array, goal: Array, horizon: int, discount: float) -> tuple[Array, Array]:
    """R = -sum_i gamma^i over the steps i < H before the goal's row, and gamma^H, or 0 if it lies among them; [B] each.

    A goal at the H-th row is not among them: there V(s', g) = 0 is learned from goals that are the current state.
    """
    away = goal - first
    inside = (away >= 0) & (away < horizon)
    steps = jnp.where(inside, away, horizon)
    return (discount**steps - 1) / (1 - discount), jnp.where(inside, 0.0, discount**horizon)


class GoalChunks(eqx.Module):
    """A dataset with goals on the device; the last G numbers of what the networks see are the goal."""

    obs: Array  # [N, S] normalised
    goals: Array  # [N, G] normalised: each state as a goal
    actions: Array  # [N, A]
    starts: Array  # [M] rows at which the longest chunk lies inside one episode
    ends: Array  # [M] the last row of that episode
    discount: float = eqx.field(static=True)
    mix: Mix = eqx.field(static=True)
    long: int = eqx.field(static=True)  # steps of the batch's long chunks
    images: dict[str, Array] | None = None  # by camera, [N, H, W, C] uint8

    def draw(self, rows: Array, key: Array) -> Array:
        """Rows of goals for the chunks number `rows`, [B]."""
        return draw_goals(key, self.starts[rows], self.ends[rows], len(self.obs), self.mix, self.discount)

    def states(self, rows: Array, key: Array) -> Any:
        """What the networks see where the chunks number `rows` begin, [B, S + G], or with pictures as in `Spec.one`."""
        return self._seen(self.starts[rows], self.draw(rows, key))

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B] with a goal for each, and the long chunks with the same goals."""
        goal = self.draw(rows, key)
        short, long = (self._chunk(self.starts[rows], goal, steps) for steps in (horizon, self.long))
        return short._replace(long=long)

    def moved(self, rows: Any) -> GoalChunks:
        """The same as a part of larger data, in which so many rows are before it."""
        return replace(self, starts=self.starts + rows, ends=self.ends + rows)

    def _seen(self, rows: Array, goal: Array) -> Any:
        return seen(self.images, rows, jnp.concatenate([self.obs[rows], self.goals[goal]], axis=-1))

    def _chunk(self, first: Array, goal: Array, horizon: int) -> Batch:
        actions = self.actions[first[:, None] + jnp.arange(horizon)].reshape(len(first), -1)
        returns, bootstrap = goal_returns(first, goal, horizon, self.discount)
        return Batch(self._seen(first, goal), actions, returns, bootstrap, self._seen(first + horizon, goal))
