"""A Meta-World task, with its scripted expert as the one who collects: no download, no OpenGL.

pip install 'qgf[metaworld]'
qgf --use examples/environments/meta_world.py collect push-v3 --transitions 40000
"""

import gymnasium
import metaworld
import mujoco
import numpy as np
from metaworld.policies import ENV_POLICY_MAP

from qgf.environments import CONTROLLERS

NOISE = 1.0
"""The most noise that is added to an expert's actions; how much of it is drawn for every episode."""


class Task(gymnasium.Env):
    """A task by its name: -1 for every step until it is solved, which ends it. The seed of reset draws positions."""

    def __init__(self, task, render_mode=None):
        kind = metaworld.ALL_V3_ENVIRONMENTS[task]
        self.env = type(task, (kind,), dict(reset_mocap_welds=welded))(render_mode=render_mode)
        self.env._freeze_rand_vec, self.env.seeded_rand_vec, self.env._set_task_called = False, True, True
        self.env._partially_observable = False  # observations end with the goal
        del self.env.sawyer_observation_space  # it was made without
        self.action_space, self.observation_space = self.env.action_space, self.env.observation_space
        self.render_mode, self.metadata = render_mode, self.env.metadata

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.env.seed(seed)
        return self.env.reset()

    def step(self, action):
        obs, _, _, truncated, info = self.env.step(action)
        success = bool(info["success"])
        return obs, float(success) - 1, success, truncated, dict(success=success)

    def render(self):
        return self.env.render()

    def close(self):
        self.env.close()


def welded(self):
    """Meta-World's own, for any MuJoCo: version 4 has another number at the end of what a weld is."""
    for i in np.flatnonzero(self.model.eq_type == mujoco.mjtEq.mjEQ_WELD):
        self.model.eq_data[i, :11] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]


def expert(task):
    def controller(rng):
        own, level = ENV_POLICY_MAP[task](), NOISE * rng.uniform()  # episodes of different quality: what a critic needs
        return lambda obs: np.clip(own.get_action(obs) + level * rng.normal(size=4), -1, 1)

    return controller


for name in metaworld.ALL_V3_ENVIRONMENTS:
    gymnasium.register(name, entry_point=Task, max_episode_steps=200, kwargs=dict(task=name))
    CONTROLLERS[name] = expert(name)
