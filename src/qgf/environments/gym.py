"""Any environment that gymnasium can make: a registered id, `module:Id-v0`, or `module:factory`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgf.data.layout import REFERENCES
from qgf.environments.controllers import collect
from qgf.environments.family import Counted, Family
from qgf.environments.simulators import quiet, simulator
from qgf.environments.spaces import check_actions
from qgf.errors import UserError, unknown
from qgf.plugins import BROUGHT

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

    def imports(self, name: str) -> str:
        return name.rpartition(":")[0]

    def make(self, name: str, size: int | None = None) -> gymnasium.Env:
        return _make(name, self._source(name), size)

    def maker(self, name: str) -> Callable[[], gymnasium.Env]:
        """With gymnasium's own description of the id, as workers have not imported what registered it."""
        return partial(_make, name, self._source(name))

    def references(self, name: str) -> tuple[float, float] | None:
        """What it is registered with, as D4RL's are: ref_min_score and ref_max_score."""
        known = getattr(self._source(name), "kwargs", None) or {}
        low, high = (known.get(key) for key in REFERENCES)
        return None if low is None or high is None else (float(low), float(high))

    def source(self, name: str) -> str:
        return f"make it with: qgf collect {name}; or give the file's own name"

    def collect(
        self,
        name: str,
        transitions: int | None = None,
        seed: int = 0,
        workers: int | None = None,
        directory: str | Path | None = None,
        overwrite: bool = False,
        progress: Counted = lambda done, total: None,
    ) -> Path:
        """By a controller of one's own (`CONTROLLERS`), else at random; in this process, whatever `workers` says."""
        env = self.make(name)
        try:
            return collect(name, env, transitions, seed, directory, overwrite, progress)
        finally:
            env.close()

    def _source(self, name: str) -> Any:
        """What gymnasium knows of an id, or a function that returns an environment."""
        registry = simulator("gymnasium").registry
        module, _, last = name.rpartition(":")
        if module:
            try:
                found = import_module(module)
                BROUGHT.add(module)  # its user asked for it
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
    if not isinstance(env, gym.Env):
        raise UserError(f"{name} makes {type(env).__name__}, expected one gymnasium.Env")
    check_actions(name, env.action_space)
    return env
