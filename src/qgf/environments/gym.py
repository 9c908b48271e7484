"""Any environment that gymnasium can make: a registered id, `module:Id-v0`, or `module:factory`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.environments.family import Family
from qgf.environments.simulators import quiet, simulator
from qgf.errors import UserError, unknown

if TYPE_CHECKING:
    import gymnasium


class Gymnasium(Family):
    """gymnasium's registry, and factories of one's own. `--use FILE` may register ids."""

    name = "gymnasium"

    def owns(self, name: str) -> bool:
        return not name.endswith(".npz") and (":" in name or name in simulator("gymnasium").registry)

    def names(self) -> Iterable[str]:
        return list(simulator("gymnasium").registry)

    def check(self, name: str) -> str:
        self._source(name)
        return name

    def make(self, name: str, size: int | None = None) -> gymnasium.Env:
        return _make(name, self._source(name), size)

    def maker(self, name: str) -> Callable[[], gymnasium.Env]:
        """With gymnasium's own description of the id, as workers have not imported what registered it."""
        return partial(_make, name, self._source(name))

    def _source(self, name: str) -> Any:
        """What gymnasium knows of an id, or a function that returns an environment."""
        registry = simulator("gymnasium").registry
        module, _, last = name.rpartition(":")
        if module:
            try:
                found = import_module(module)
            except ImportError as error:
                raise UserError(f"{name}: module {module} cannot be imported ({error})") from error
            if last not in registry and callable(getattr(found, last, None)):
                return getattr(found, last)
        if last not in registry:
            raise unknown("environment", name, registry)
        return registry[last]


def _make(name: str, source: Any, size: int | None = None) -> gymnasium.Env:
    gym = simulator("gymnasium")
    render = dict(render_mode="rgb_array") if size else {}
    registered = isinstance(source, gym.envs.registration.EnvSpec)
    try:
        with quiet():
            env = gym.make(source, **render) if registered else source()
    except (gym.error.Error, TypeError) as error:  # a simulator that is not installed, an option it does not take
        raise UserError(f"{name} cannot be made ({error})") from error
    _check_spaces(name, env)
    return env


def _check_spaces(name: str, env: gymnasium.Env) -> None:
    """Raises UserError unless a policy's numbers mean to the environment what they meant in the data."""
    Box = simulator("gymnasium").spaces.Box
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, Box) or len(seen.shape) != 1:
        raise UserError(f"{name} has observations {seen}; policies see vectors (gymnasium.wrappers.FlattenObservation)")
    if not isinstance(done, Box) or len(done.shape) != 1:
        raise UserError(f"{name} has actions {done}; policies give vectors of numbers, a Box of one axis")
    for bound, side in ((done.low, -1), (done.high, 1)):
        if not np.all(np.isinf(bound) | np.isclose(bound, side)):
            raise UserError(
                f"{name} has actions from {done.low.min():g} to {done.high.max():g}, policies act in [-1, 1]; register "
                "it with gymnasium.wrappers.RescaleAction(env, -1, 1)"
            )
