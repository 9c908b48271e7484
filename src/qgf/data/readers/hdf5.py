"""HDF5: D4RL's flat rows, robomimic's demonstrations, ManiSkill's trajectories. Needs h5py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data.episodes import Episode, arrays_of
from qgf.data.layout import RANKS, Arrays
from qgf.errors import UserError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def reads(path: Path) -> bool:
    """Whether the file begins as HDF5 does."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The open file. Raises UserError if h5py is not there, or if the file is damaged."""
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: HDF5 files need h5py: pip install 'qgf[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:  # one per kind of damage
        raise UserError(f"{path}: cannot be read, it is truncated or no HDF5 file ({error})") from error


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a file, of which dialect its groups tell; `keys` chooses observations that have names.

    Raises UserError, naming the file and the key, for a dialect that is not known, or a key that is missing or wrong.
    """
    with opened(path) as file:
        for says, dialect in DIALECTS.items():
            if any(re.fullmatch(says, name) for name in file):
                return dialect(file, path, keys)
        raise UserError(
            f"{path}: an HDF5 file of no known layout (found: {', '.join(file) or 'nothing'}); known are D4RL's, "
            "robomimic's and ManiSkill's; of a Minari dataset name the folder"
        )


def _array(group, key: str, path: Path) -> np.ndarray:
    if key not in group:
        raise UserError(f"{path}: {group.name}: missing key {key!r} (found: {', '.join(group) or 'nothing'})")
    if not hasattr(group[key], "shape"):
        raise UserError(f"{path}: {group.name}: {key!r} is a group, expected an array")
    x = group[key][()]
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise UserError(f"{path}: {group.name}: {key!r} has type {x.dtype}, expected numbers")
    return x


def _several(groups, prefix: str) -> list[Any]:
    """The groups PREFIX0, PREFIX1, ... in the order of their numbers."""
    names = [name for name in groups if re.fullmatch(rf"{prefix}\d+", name)]
    return [groups[name] for name in sorted(names, key=lambda name: int(name[len(prefix) :]))]


def _states(group, path: Path, keys: Sequence[str]) -> np.ndarray:
    """The observations [T, S] of an array, or of a group of named ones side by side: `keys`, by default all vectors in
    the order of their names.
    """
    if hasattr(group, "shape"):
        return group[()]
    names = keys or sorted(
        name for name in group if getattr(group[name], "ndim", 0) <= 2 and hasattr(group[name], "shape")
    )
    if not names:
        raise UserError(f"{path}: {group.name}: no observations that are vectors (found: {', '.join(group)})")
    parts = [_array(group, name, path) for name in names]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def d4rl(file, path: Path, keys: Sequence[str]) -> Arrays:
    """Flat rows; `terminals` end the task, `timeouts` cut it off, `next_observations` only in some sets."""
    rows = {key: _array(file, key, path) for key in RANKS if key in file and key != "observations"}
    return dict(observations=_states(file["observations"], path, keys)) | rows


def robomimic(file, path: Path, keys: Sequence[str]) -> Iterator[Episode]:
    """data/demo_k: `obs`, `next_obs`, `actions`, `rewards` of 1 where the task is solved, `dones`."""
    for demo in _several(file["data"], "demo_"):
        actions = _array(demo, "actions", path)
        rewards = _array(demo, "rewards", path) if "rewards" in demo else None
        if "obs" not in demo:
            raise UserError(f"{path}: {demo.name}: missing key 'obs'; make it with robomimic's dataset_states_to_obs")
        observations = _states(demo["obs"], path, keys)
        if "next_obs" in demo:
            observations = np.concatenate([observations, _states(demo["next_obs"], path, keys)[-1:]])
        ended = bool(_array(demo, "dones", path)[-1]) if "dones" in demo else False
        yield Episode(observations, actions, rewards, ended)


def maniskill(file, path: Path, keys: Sequence[str]) -> Iterator[Episode]:
    """traj_k: `obs` [T + 1], `actions` [T], `rewards`, `terminated`, `truncated`, `success`."""
    for trajectory in _several(file, "traj_"):
        if "obs" not in trajectory:
            raise UserError(f"{path}: {trajectory.name}: missing key 'obs'; replay the trajectories with an obs_mode")
        ended = bool(_array(trajectory, "terminated", path)[-1]) if "terminated" in trajectory else False
        rewards = _array(trajectory, "rewards", path) if "rewards" in trajectory else None
        yield Episode(_states(trajectory["obs"], path, keys), _array(trajectory, "actions", path), rewards, ended)


def _of_episodes(dialect: Callable[[Any, Path, Sequence[str]], Iterator[Episode]]):
    return lambda file, path, keys: arrays_of(dialect(file, path, keys), str(path))


DIALECTS: dict[str, Callable[[Any, Path, Sequence[str]], Arrays]] = {
    "observations": d4rl,
    "data": _of_episodes(robomimic),
    r"traj_\d+": _of_episodes(maniskill),
}
"""Which name at the top of the file gives a layout away."""
