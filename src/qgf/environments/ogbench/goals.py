"""OGBench environments that show their goal."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from qgf.words import STATE


class GoalEnv(gymnasium.Wrapper):
    """An environment that shows its goal: observation = (state, oracle representation of the episode's goal).

    `task` is one of OGBench's goals, 1 to 5; None: another in every episode, drawn with its seed.
    """

    def __init__(self, env: gymnasium.Env, task: int | None = None):
        super().__init__(env)
        self.task = task
        state = np.random.get_state()  # only a reset tells the size of a goal
        size = len(self._numbers(self.reset()[0]))
        np.random.set_state(state)
        numbers = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        pictures = getattr(env.observation_space, "spaces", None)
        self.observation_space = gymnasium.spaces.Dict({**pictures, STATE: numbers}) if pictures else numbers

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, info = self.env.reset(seed=seed, options=dict(task_id=self.task) if self.task else {})
        self._goal = np.asarray(info["goal"], float)
        return self._with_goal(obs), info

    def step(self, action):
        obs, *rest = self.env.step(action)
        return self._with_goal(obs), *rest

    def _with_goal(self, obs: Any) -> Any:
        if isinstance(obs, dict):  # pictures, which say all that the state does
            return {**obs, STATE: self._goal}
        return np.concatenate([np.asarray(obs, float), self._goal])

    @staticmethod
    def _numbers(obs: Any) -> np.ndarray:
        return obs[STATE] if isinstance(obs, dict) else obs
