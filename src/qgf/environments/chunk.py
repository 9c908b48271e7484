"""An environment that is played chunk by chunk."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.environments.family import success_of
from qgf.environments.pictures import shown, zeros
from qgf.environments.simulators import simulator
from qgf.environments.spaces import check_actions, limit_of
from qgf.environments.success import RETURN
from qgf.errors import UserError

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = simulator("gymnasium")


def seed_globals(seed: int) -> None:
    """Seed the global generators of NumPy, from which OGBench's mazes and oracles draw, and of Python."""
    np.random.seed(seed % 2**32)
    random.seed(seed)


def begun(env: gymnasium.Env, name: str, seed: int | None) -> Any:
    """The first observation after a reset. Raises UserError for environments of gym's former interface."""
    if seed is not None:
        seed_globals(seed)
    result = env.reset(seed=seed)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise UserError(f"{name}: its reset returns {type(result).__name__}, not observation and info: {FORMER}")
    return result[0]


def stepped(env: gymnasium.Env, name: str, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """A step; the action is a copy, which the environment may change. Raises UserError likewise, and for a reward that
    is no number.
    """
    result = env.step(np.array(action))
    if not (isinstance(result, tuple) and len(result) == 5):
        many = len(result) if isinstance(result, tuple) else 1
        raise UserError(f"{name}: its step returns {many} things, not five: {FORMER}")
    obs, reward, terminated, truncated, info = result
    if np.size(reward) != 1 or not np.isfinite(reward):
        raise UserError(f"{name} gives {reward!r} for a reward, not a finite number")
    return obs, float(np.ravel(reward)[0]), bool(terminated), bool(truncated), info


def seed_decides(env: gymnasium.Env, name: str, seen: Callable[[Any], Any], seed: int) -> bool:
    """Whether two resets with one seed begin alike, as far as is `seen` of it."""
    one, other = (deepcopy(seen(begun(env, name, seed))) for _ in range(2))
    if isinstance(one, dict):
        return all(np.array_equal(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


FORMER = "that is gym's former interface, and gymnasium's is needed"


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose step takes a chunk of actions [H, A], played open loop until the episode ends.

    Observations are vectors [S], or dictionaries with pictures (`pictures.shown`, of a dictionary `keys`), which are
    looked at once a chunk. Returns the summed reward, and in `info` whether the task succeeded and how many actions
    were played. After the end of its episode it stands still until it is reset. `success` reads a step's info
    (`Family.success`); `known` is False at the end of an episode in which it never could. Where the environment has no
    time limit an episode is cut off after `spaces.LIMIT` steps, and `cut`.
    Where it is `doubted` that the seed of reset decides an episode that is tried once; `seeded` in reset's info tells.
    """

    def __init__(
        self,
        env: Any,
        horizon: int,
        success: Callable[[dict[str, Any]], bool | None] = success_of,
        keys: Sequence[str] = (),
        name: str = "the environment",
        doubted: bool = False,
    ):
        super().__init__(env)
        box = env.action_space
        check_actions(name, box)
        self.action_space = gymnasium.spaces.Box(np.tile(box.low, (horizon, 1)), np.tile(box.high, (horizon, 1)))
        self.observation_space, self._seen = shown(name, env.observation_space, keys)
        self._last = zeros(self.observation_space)
        self._over, self._said, self._success = True, False, success
        self._limit, self._steps, self._total = limit_of(env), 0, 0.0
        self._name, self._doubted, self._seeded = name, doubted, True

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if self._doubted and seed is not None:
            self._doubted, self._seeded = False, seed_decides(self.env, self._name, self._seen, seed)
        obs = begun(self.env, self._name, seed)
        self._over, self._said, self._steps, self._total, self._last = False, False, 0, 0.0, self._seen(obs)
        return self._last, dict(seeded=self._seeded)

    def step(self, action):
        total, steps, success, cut, terminated, truncated = 0.0, 0, False, False, False, False
        for one in action if not self._over else ():
            obs, reward, terminated, truncated, info = stepped(self.env, self._name, one)
            total, steps = total + reward, steps + 1
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
