"""OGBench environments that show pictures, drawn only when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from qgf.data.pictures import ONLY
from qgf.environments.ogbench.pictures import SIZE, cannot_draw


class Later:
    """A picture that is drawn when an array is made of it, of the state in which the simulator is then."""

    def __init__(self, draw: Callable[[], Any]):
        self.draw = draw

    def __array__(self, dtype=None, copy=None):
        try:
            return np.asarray(self.draw(), dtype)
        except Exception as error:  # MuJoCo and its back ends raise many types
            raise cannot_draw(error) from error


class Visual(gymnasium.Wrapper):
    """One of OGBench's visual environments, observation = {"image": picture}, as types.Spec.one has it.

    The simulator draws its state after every step. Of a chunk of actions only the last is seen, and drawing is nearly
    all that a step costs: the picture is a `Later`, which `ChunkEnv` asks for at the end of a chunk.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        inner: Any = env.unwrapped
        picture = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({ONLY: picture})
        later = Later(inner.render)
        if hasattr(inner, "get_pixel_observation"):  # robot arms
            inner.get_pixel_observation = lambda: later
        else:
            states = inner.get_ob
            inner.get_ob = lambda ob_type=None: states(ob_type) if ob_type == "states" else later

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, info = self.env.reset(seed=seed, options=options)
        return {ONLY: obs}, info

    def step(self, action):
        obs, *rest = self.env.step(action)
        return {ONLY: obs}, *rest
