"""An environment that is played chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.environments.family import success_of
from qgf.environments.simulators import simulator

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = simulator("gymnasium")


def seed_globals(seed: int) -> None:
    """Seed NumPy's global generator: OGBench's mazes and oracles draw from it."""
    np.random.seed(seed % 2**32)


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose step takes a chunk of actions [H, A], played open loop until the episode ends.

    Returns the summed reward, and in `info` whether the task succeeded and how many actions were played. After the
    end of its episode it stands still until it is reset. `success` reads a step's info (`Family.success`); `known` is
    False at the end of an episode in which it never could.
    """

    def __init__(self, env: Any, horizon: int, success: Callable[[dict[str, Any]], bool | None] = success_of):
        super().__init__(env)
        box = env.action_space
        self.action_space = gymnasium.spaces.Box(np.tile(box.low, (horizon, 1)), np.tile(box.high, (horizon, 1)))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self._last = np.zeros(self.observation_space.shape, np.float32)
        self._over, self._said, self._success = True, False, success

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            seed_globals(seed)
        obs, _ = self.env.reset(seed=seed)
        self._over, self._said, self._last = False, False, obs.astype(np.float32)
        return self._last, {}

    def step(self, action):
        total, steps, success, terminated, truncated = 0.0, 0, False, False, False
        for one in action if not self._over else ():
            obs, reward, terminated, truncated, info = self.env.step(one)
            solved = self._success(info)
            total, steps, success = total + float(reward), steps + 1, success or bool(solved)
            self._last, self._over = obs.astype(np.float32), terminated or truncated
            self._said = self._said or solved is not None
            if self._over:
                break
        return self._last, total, terminated, truncated, dict(success=success, steps=steps, known=self._known)

    @property
    def _known(self) -> bool:
        return self._said or not self._over
