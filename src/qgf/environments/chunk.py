"""An environment that is played chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.environments.family import success_of
from qgf.environments.pictures import shown, zeros
from qgf.environments.simulators import simulator
from qgf.environments.spaces import check_actions, limit_of
from qgf.environments.success import RETURN

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = simulator("gymnasium")


def seed_globals(seed: int) -> None:
    """Seed NumPy's global generator: OGBench's mazes and oracles draw from it."""
    np.random.seed(seed % 2**32)


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose step takes a chunk of actions [H, A], played open loop until the episode ends.

    Observations are vectors [S], or dictionaries with pictures (`pictures.shown`, of a dictionary `keys`), which are
    looked at once a chunk. Returns the summed reward, and in `info` whether the task succeeded and how many actions
    were played. After the end of its episode it stands still until it is reset. `success` reads a step's info
    (`Family.success`); `known` is False at the end of an episode in which it never could. Where the environment has no
    time limit an episode is cut off after `spaces.LIMIT` steps, and `cut`.
    """

    def __init__(
        self,
        env: Any,
        horizon: int,
        success: Callable[[dict[str, Any]], bool | None] = success_of,
        keys: Sequence[str] = (),
        name: str = "the environment",
    ):
        super().__init__(env)
        box = env.action_space
        check_actions(name, box)
        self.action_space = gymnasium.spaces.Box(np.tile(box.low, (horizon, 1)), np.tile(box.high, (horizon, 1)))
        self.observation_space, self._seen = shown(name, env.observation_space, keys)
        self._last = zeros(self.observation_space)
        self._over, self._said, self._success = True, False, success
        self._limit, self._steps, self._total = limit_of(env), 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            seed_globals(seed)
        obs, _ = self.env.reset(seed=seed)
        self._over, self._said, self._steps, self._total, self._last = False, False, 0, 0.0, self._seen(obs)
        return self._last, {}

    def step(self, action):
        total, steps, success, cut, terminated, truncated = 0.0, 0, False, False, False, False
        for one in action if not self._over else ():
            obs, reward, terminated, truncated, info = self.env.step(one)
            total, steps = total + float(reward), steps + 1
            cut = self._steps + steps == self._limit and not (terminated or truncated)
            truncated = truncated or cut
            self._over = terminated or truncated
            solved = self._success(info | {RETURN: self._total + total} if self._over else info)
            success = success or bool(solved)
            self._said = self._said or solved is not None
            if self._over:
                break
        if steps:
            self._last = self._seen(obs)
        self._steps, self._total = self._steps + steps, self._total + total
        return self._last, total, terminated, truncated, dict(success=success, steps=steps, known=self._known, cut=cut)

    @property
    def _known(self) -> bool:
        return self._said or not self._over
