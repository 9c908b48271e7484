"""Receding horizon with a warm start: the next chunk is denoised from what is left of the last one."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qgf.errors import UserError
from qgf.method.observations import per_sample
from qgf.method.policy import Policy
from qgf.method.sampling import Grid, grid
from qgf.types import Info


def check_warm(t0: float | None, execute: int | None, policy: Policy) -> None:
    """Raises UserError for a warm start where nothing is left of a chunk, or of several samples."""
    if t0 is None:
        return
    grid(policy.steps, t0)
    if execute is None or execute >= policy.horizon:
        raise UserError(f"a warm start needs what is left of a chunk: play fewer than its {policy.horizon} (execute)")
    if policy.samples > 1:
        raise UserError(f"a warm start is one sample's, and this policy takes the best of {policy.samples}")


class Warm:
    """Chunks that are left, one a lane, and how the next ones start from them at time `t0`."""

    def __init__(self, policy: Policy, lanes: int, execute: int, t0: float):
        self.policy, self.execute, self.t0, self.path = policy, execute, t0, grid(policy.steps, t0)
        self.rest = np.zeros((lanes, policy.horizon, policy.action_dim), np.float32)

    def keep(self, actions: np.ndarray) -> None:
        """What is left of actions[lanes, H, A] when the first have been played, the last one filling up."""
        self.rest = np.concatenate(
            [actions[:, self.execute :], np.repeat(actions[:, -1:], self.execute, axis=1)], axis=1
        )

    def act(
        self, obs: Any, keys: jax.Array, cold: tuple[np.ndarray, Info], first: np.ndarray
    ) -> tuple[np.ndarray, Info]:
        """(actions, info) of all lanes: what is `cold`, from noise, where a lane plays its `first` chunk."""
        actions, info = cold
        if not first.all():
            warm = jax.tree.map(np.asarray, _act(self.policy, obs, keys, self.rest, self.t0, self.path))
            choose = lambda a, b: np.where(first.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            actions, info = jax.tree.map(choose, (actions, info), warm)
        self.keep(actions)
        return actions, info


@eqx.filter_jit
def _act(policy: Policy, obs, keys: jax.Array, rest, t0: float, path: Grid | None) -> tuple[jax.Array, Info]:
    noise = jax.vmap(lambda key: jax.random.normal(key, (policy.horizon * policy.action_dim,)))(
        per_sample(keys, len(rest))
    )
    known = policy.inward(jnp.asarray(rest)).reshape(noise.shape)
    return policy.act(obs, keys, (1 - t0) * noise + t0 * known, path)
