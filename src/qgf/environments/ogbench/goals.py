"""OGBench environments that show their goal."""

from __future__ import annotations

import re

import numpy as np

from qgf.environments.ogbench.names import TASKS, gymnasium


class GoalEnv(gymnasium.Wrapper):
    """An environment that shows its goal: observation = (state, oracle representation of the episode's goal).

    `task` is one of OGBench's goals, 1 to 5; None: another in every episode, drawn with its seed.
    """

    def __init__(self, env: gymnasium.Env, task: int | None = None):
        super().__init__(env)
        self.task = task
        state = np.random.get_state()  # only a reset tells the size of a goal
        shape = self.reset()[0].shape
        np.random.set_state(state)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float64)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, info = self.env.reset(seed=seed, options=dict(task_id=self.task) if self.task else {})
        self._goal = np.asarray(info["goal"], float)
        return self._with_goal(obs), info

    def step(self, action):
        obs, *rest = self.env.step(action)
        return self._with_goal(obs), *rest

    def _with_goal(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(obs, float), self._goal])


def _goal_env(env: str, task: int | None = None, **options) -> GoalEnv:
    return GoalEnv(gymnasium.make(env, use_oracle_rep=True, **options), task)


def _register_goal_envs() -> None:
    """An id for each environment with its goals, and for each goal, as OGBench has them for single tasks."""
    for env in list(gymnasium.registry):
        if re.match(r"(pointmaze|antmaze|humanoidmaze|cube|scene|puzzle)-(?!.*singletask)", env):
            base, version = env.rsplit("-", 1)
            for task in (None, *range(1, TASKS + 1)):
                name = f"{base}-oraclerep-{version}" if task is None else f"{base}-oraclerep-task{task}-{version}"
                gymnasium.register(name, entry_point=_goal_env, kwargs=dict(env=env, task=task))


_register_goal_envs()
