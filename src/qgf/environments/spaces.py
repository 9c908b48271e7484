"""What an environment shows and takes, as policies have it: vectors of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.environments.simulators import simulator
from qgf.errors import UserError

if TYPE_CHECKING:
    import gymnasium

LIMIT = 1000
"""Steps of an episode in environments that have no time limit of their own."""


def vectors(name: str, space: gymnasium.Space, keys: Sequence[str] = ()) -> tuple[int, Callable[[Any], np.ndarray]]:
    """The length S of an observation as a vector and what makes it one, observation -> [S] float32.

    Dictionaries and tuples are laid side by side in gymnasium's order (`gymnasium.spaces.flatten`), of a dictionary
    only `keys`, in their order, if any are given. Raises UserError for what has no fixed number of numbers, and for
    pictures; and what makes the vector does for an observation that is not of its space's shape, or not finite. The
    vector is a copy: environments may go on writing where they showed it.
    """
    size, flat = _flattened(name, space, keys)

    def vector(obs: Any) -> np.ndarray:
        x = np.array(flat(obs), np.float32)
        if x.shape != (size,):
            raise UserError(f"{name} shows an observation of shape {list(np.shape(x))}, its space says {space}")
        if not np.isfinite(x).all():
            raise UserError(f"{name} shows an observation with NaN or Inf (at {np.flatnonzero(~np.isfinite(x))[0]})")
        return x

    return size, vector


def _flattened(name: str, space: gymnasium.Space, keys: Sequence[str]) -> tuple[int, Callable[[Any], Any]]:
    spaces = simulator("gymnasium").spaces
    if keys and isinstance(space, spaces.Dict):
        if missing := [key for key in keys if key not in space.spaces]:
            raise UserError(
                f"{name}: observations have no {missing[0]!r} (found: {', '.join(space.spaces)}); choose with "
                "--obs-keys"
            )
        parts = [_flattened(name, space[key], ()) for key in keys]
        joined = lambda obs: np.concatenate([f(obs[key]) for key, (_, f) in zip(keys, parts, strict=True)])
        return sum(size for size, _ in parts), joined
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape[0], lambda obs: obs
    if pictures := [x.shape for x in _leaves(space) if isinstance(x, spaces.Box) and len(x.shape) > 2]:
        raise UserError(
            f"{name} shows pictures {list(pictures[0])}; policies here see vectors: choose others by their key"
        )
    if not getattr(space, "is_np_flattenable", False):
        raise UserError(f"{name} has observations {space}; policies see vectors of numbers")
    return spaces.flatdim(space), lambda obs: spaces.flatten(space, obs)


def _leaves(space: gymnasium.Space) -> list[gymnasium.Space]:
    inner = getattr(space, "spaces", ())
    parts = inner.values() if hasattr(inner, "values") else inner
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [space]


def check_actions(name: str, space: gymnasium.Space) -> None:
    """Raises UserError unless actions are vectors of numbers."""
    spaces = simulator("gymnasium").spaces
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        kind = "discrete actions" if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)) else "actions"
        raise UserError(f"{name} has {kind} {space}; a flow policy gives vectors of numbers, a Box of one axis")
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(f"{name} has actions {space}, which are whole numbers; a flow policy gives any number between")


def limit_of(env: gymnasium.Env) -> int | None:
    """The step at which an episode has to be cut off: None where the environment does it."""
    gym = simulator("gymnasium")
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            return None
        env = env.env
    return LIMIT
