"""Vector environments that play chunks of actions, many episodes at a time."""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from qgf.environments.ogbench.names import gymnasium
from qgf.processes import worker_processes

LANES, LIGHT_LANES = 16, 50
"""Episodes in flight. Fixed rather than read off the machine, so that results do not depend on its cores."""


def seed_globals(seed: int) -> None:
    """Seed NumPy's global generator: OGBench's mazes and oracles draw from it."""
    np.random.seed(seed % 2**32)


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose step takes a chunk of actions [H, A], played open loop until the episode ends.

    Returns the summed reward, and in `info` whether the task succeeded and how many actions were played. After the
    end of its episode it stands still until it is reset.
    """

    def __init__(self, env: gymnasium.Env, horizon: int):
        super().__init__(env)
        box = env.action_space
        self.action_space = gymnasium.spaces.Box(np.tile(box.low, (horizon, 1)), np.tile(box.high, (horizon, 1)))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self._last = np.zeros(self.observation_space.shape, np.float32)
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            seed_globals(seed)
        obs, _ = self.env.reset(seed=seed)
        self._over, self._last = False, obs.astype(np.float32)
        return self._last, {}

    def step(self, action):
        total, steps, success, terminated, truncated = 0.0, 0, False, False, False
        for one in action if not self._over else ():
            obs, reward, terminated, truncated, info = self.env.step(one)
            total, steps, success = total + float(reward), steps + 1, success or bool(info.get("success", False))
            self._last, self._over = obs.astype(np.float32), terminated or truncated
            if self._over:
                break
        return self._last, total, terminated, truncated, dict(success=success, steps=steps)


def lanes_of(env_id: str) -> int:
    """How many episodes to play at a time: a maze is light (25 MB), a robot's meshes take half a gigabyte each."""
    return LIGHT_LANES if env_id.startswith("pointmaze") else LANES


def make_vector_env(env_id: str, horizon: int, lanes: int | None = None) -> AsyncVectorEnv:
    """`lanes` (default `lanes_of`) processes, each with one chunked environment; episodes are started one by one with
    a reset mask.
    """
    lanes = lanes or lanes_of(env_id)
    with worker_processes() as way:
        return AsyncVectorEnv(
            [lambda: ChunkEnv(gymnasium.make(env_id), horizon)] * lanes,
            context=way,
            autoreset_mode=AutoresetMode.DISABLED,
        )
