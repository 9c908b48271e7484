"""Many episodes at a time, each environment in a process of its own. The caller needs no simulator for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from qgf.environments.family import family_of
from qgf.environments.success import Rule
from qgf.errors import UserError
from qgf.plugins import OWN
from qgf.processes import FORK, start


class Lanes:
    """Chunked environments in flight: the part of gymnasium's vector environments that `evaluate` uses.

    One fresh process makes them and forks into as many as there are lanes, so that simulators are loaded once, and
    JAX never. What makes an environment is sent there by value: an id that the caller registered is known. Episodes are
    started one by one, with a reset mask. Raises UserError for an environment that cannot be made or that fails.
    """

    def __init__(self, name: str, horizon: int, lanes: int, keys: Sequence[str] = (), rule: str = ""):
        family = family_of(name)
        self.name, self.num_envs = family.check(name), lanes
        with _own_modules() as pickle:
            success = Rule.of(rule) if rule else family.success
            known = family.forks(self.name), family.seeded(self.name)
            recipe = pickle.dumps((family.maker(self.name), success, *known))
        self._worker = start(serve)
        spaces = self._ask(self.name, recipe, horizon, lanes, tuple(keys))
        self.single_action_space, self.single_observation_space, self.action_space, self.observation_space = spaces

    def reset(self, *, seed: list[int | None], options: dict[str, Any]):
        return self._ask("reset", dict(seed=seed, options=options))

    def step(self, actions):
        return self._ask("step", dict(actions=actions))

    def close(self) -> None:
        self._worker.stop(seconds=5)

    def _ask(self, *question: Any) -> Any:
        try:
            self._worker.connection.send(question)
            answer = self._worker.connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise UserError(f"{self.name}: its environment processes ended") from error
        if isinstance(answer, UserError):
            self.close()
            raise answer
        return answer


def make_vector_env(
    name: str, horizon: int, lanes: int | None = None, keys: Sequence[str] = (), rule: str = ""
) -> Lanes:
    """`lanes` (default: as many as the family plays at a time) chunked environments in processes of their own;
    of observations that are dictionaries they show `keys`, or all. `rule` says what success is (`success.Rule`).
    """
    return Lanes(name, horizon, lanes or family_of(name).lanes(name), keys, rule)


@contextmanager
def _own_modules() -> Iterator[Any]:
    """cloudpickle, which meanwhile pickles by value what comes from the user's own files (`--use`)."""
    import cloudpickle  # comes with gymnasium

    own = [module for name, module in sys.modules.items() if name.startswith(OWN)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield cloudpickle
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def serve(connection: Connection) -> None:
    """What the process of the environments does: make them, then step and reset them until the connection ends."""
    name, recipe, horizon, lanes, keys = connection.recv()
    envs = None
    try:
        envs = _make(name, recipe, horizon, lanes, keys)
        answer: Any = (
            envs.single_action_space,
            envs.single_observation_space,
            envs.action_space,
            envs.observation_space,
        )
        while True:
            connection.send(answer)
            command, arguments = connection.recv()
            answer = getattr(envs, command)(**arguments)
    except (EOFError, OSError):  # the caller has closed, or is gone
        pass
    except UserError as error:
        connection.send(error)
    except Exception as error:  # whatever an environment of the user's own may raise
        connection.send(UserError(f"{name}: the environment failed ({type(error).__name__}: {error}){_hint(error)}"))
    finally:
        if envs is not None:
            envs.close(terminate=True)


def _hint(error: Exception) -> str:
    """MuJoCo loads what it would draw with even where nothing is drawn."""
    library = os.environ.get("MUJOCO_GL")
    if library and isinstance(error, (AttributeError, ImportError)):
        return f"; MUJOCO_GL is {library}, whose library may be missing here: unset it, or install that"
    return ""


def _spaces(name: str, recipe: bytes, horizon: int, keys: Sequence[str]) -> tuple[Any, Any]:
    """What an environment observes, and what it does."""
    import cloudpickle

    from qgf.environments.chunk import ChunkEnv

    make, success, *_ = cloudpickle.loads(recipe)
    env = ChunkEnv(make(), horizon, success, keys, name)
    try:
        return env.observation_space, env.action_space
    finally:
        env.close()


def _blank(observations: Any, actions: Any) -> Any:
    """What is asked for its spaces alone."""
    import gymnasium

    env: Any = gymnasium.Env()
    env.observation_space, env.action_space = observations, actions
    return env


def _make(name: str, recipe: bytes, horizon: int, lanes: int, keys: Sequence[str]):
    """An environment in each of so many processes, made there, or once here where a forked one is as good.

    Where it is not, as of what draws, none is made here at all: its spaces are those of one in a process of its own.
    """
    import cloudpickle
    import gymnasium
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode

    from qgf.environments.chunk import ChunkEnv

    gymnasium.logger.min_level = gymnasium.logger.ERROR  # this process is here for the environments alone
    make, success, forks, seeded = cloudpickle.loads(recipe)
    new = here = lambda: ChunkEnv(make(), horizon, success, keys, name, doubted=not seeded)
    if not forks:
        with ProcessPoolExecutor(1, get_context(FORK)) as other:
            spaces = other.submit(_spaces, name, recipe, horizon, keys).result()
        here = lambda: _blank(*spaces)
    elif FORK == "fork":
        one = new()
        new = here = lambda: one
    own = os.getpid()

    def lane():
        if os.getpid() == own:  # asked for its spaces
            return here()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how this process ends them
        return new()

    return AsyncVectorEnv(
        [lane] * lanes,
        context=FORK,
        autoreset_mode=AutoresetMode.DISABLED,
    )
