"""What environments show to policies: vectors, or pictures beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.data.pictures import ONLY
from qgf.environments.simulators import simulator
from qgf.environments.spaces import vectors
from qgf.words import STATE

if TYPE_CHECKING:
    import gymnasium


def is_picture(space: gymnasium.Space) -> bool:
    """Whether observations of a space are pictures, uint8 [H, W, C]."""
    return len(space.shape or ()) == 3 and space.dtype == np.uint8


def shown(name: str, space: gymnasium.Space, keys: Sequence[str] = ()) -> tuple[gymnasium.Space, Callable[[Any], Any]]:
    """The space of what policies see of observations in `space`, and the function that makes it of one.

    Without pictures that is a vector [S] (`spaces.vectors`). With them it is {camera: uint8 [H, W, C], "state": [S]},
    as `types.Spec.one` has it: of a dictionary the pictures under their own names, all else side by side; of `keys`
    only, if any are given. A picture that is all there is, is that of the camera "image". Raises UserError as `vectors`
    does.
    """
    spaces = simulator("gymnasium").spaces
    if is_picture(space):
        return spaces.Dict({ONLY: space}), lambda obs: {ONLY: np.asarray(obs)}
    parts = space.spaces if isinstance(space, spaces.Dict) else {}
    chosen = {key: parts[key] for key in keys or parts if key in parts}
    cameras = {key: part for key, part in chosen.items() if is_picture(part)}
    if not cameras or len(chosen) < len(keys):
        size, vector = vectors(name, space, keys)
        return spaces.Box(-np.inf, np.inf, (size,), np.float32), vector
    look = lambda obs: {camera: np.asarray(obs[camera]) for camera in cameras}
    if rest := [key for key in chosen if key not in cameras]:
        size, vector = vectors(name, space, rest)
        state = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        return spaces.Dict({**cameras, STATE: state}), lambda obs: look(obs) | {STATE: vector(obs)}
    return spaces.Dict(cameras), look


def zeros(space: gymnasium.Space) -> Any:
    """An observation of zeros."""
    if isinstance(space, simulator("gymnasium").spaces.Dict):
        return {name: zeros(part) for name, part in space.spaces.items()}
    return np.zeros(space.shape, space.dtype)
