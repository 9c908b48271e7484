"""HDF5: D4RL's flat rows, robomimic's demonstrations, ManiSkill's trajectories. Needs h5py."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data.episodes import Episode, apart, arrays_of, batches
from qgf.data.layout import RANKS, Arrays
from qgf.data.names import SYNONYMS, UNREAD
from qgf.data.pictures import IMAGES
from qgf.errors import UserError
from qgf.files import Room, chunk_fits

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
    except (
        OSError,
        LookupError,
        ValueError,
        TypeError,
        RuntimeError,
        ArithmeticError,
        SystemError,
    ) as error:  # one per kind of damage
        raise UserError(f"{path}: cannot be read, it is truncated or no HDF5 file ({error})") from error


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a file, of which dialect its groups tell; `keys` chooses observations that have names.

    Raises UserError, naming the file and the key, for a dialect that is not known, or a key that is missing or wrong.
    """
    room = Room.of(path)
    with opened(path) as file:
        for says, dialect in DIALECTS.items():
            if any(re.fullmatch(says, name) for name in file):
                return dialect(file, room, keys)
        raise UserError(
            f"{path}: an HDF5 file of no known layout (found: {', '.join(file) or 'nothing'}); known are D4RL's, "
            "robomimic's and ManiSkill's; of a Minari dataset name the folder"
        )


def parts(path: Path, keys: Sequence[str] = ()) -> Iterator[Arrays]:
    """The same, some episodes at a time where the file keeps them apart."""
    room = Room.of(path).unheld()
    with opened(path) as file:
        for says, dialect in APART.items():
            if any(re.fullmatch(says, name) for name in file):
                yield from batches(dialect(file, room, keys), str(room))
                return
    yield read(path, keys)


def survey(path: Path, room: Room) -> None:
    """Count everything in a file that another library is to read. Raises UserError as `_item` and `_read` do."""
    import h5py

    def fault(name: str, found: object) -> str | None:  # what a visitor returns ends the visit; it must not raise
        return f"{name!r} is a link into another file" if isinstance(found, h5py.ExternalLink) else None

    arrays: list[tuple[str, Any]] = []
    with opened(path) as file:
        if wrong := file.visititems_links(fault):
            raise UserError(f"{path}: {wrong}")
        file.visititems(lambda name, found: arrays.append((name, found)))
        for name, found in arrays:
            if isinstance(found, h5py.Dataset):
                if found.external or found.is_virtual:
                    raise UserError(f"{path}: {name!r} has no numbers of its own in the file")
                room.take((found.size or 0) * found.dtype.itemsize, name)
                _check_chunks(found, name, room)


def _array(group, key: str, room: Room) -> np.ndarray:
    if key not in group:
        raise UserError(f"{room}: {group.name}: missing key {key!r} (found: {', '.join(group) or 'nothing'})")
    return _read(_item(group, key, room), f"{group.name}: {key!r}", room)


def _item(group, key: str, room: Room):
    """What is called `key` in a group, in this file. Raises UserError if that is a link into another one."""
    import h5py

    if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
        raise UserError(f"{room}: {group.name}: {key!r} is a link into another file")
    return group[key]


def _read(array, what: str, room: Room) -> np.ndarray:
    """The numbers of an array that lie in the file itself and that there is memory for."""
    if not hasattr(array, "shape"):
        raise UserError(f"{room}: {what} is a group, expected an array")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise UserError(f"{room}: {what} has type {array.dtype}, expected numbers")
    if array.size is None or array.external or array.is_virtual:
        raise UserError(f"{room}: {what} has no numbers of its own in the file")
    room.take(array.size * array.dtype.itemsize, what)
    _check_chunks(array, what, room)
    return array[()]


def _check_chunks(array, what: str, room: Room) -> None:
    """Raises UserError for a chunk that unpacks to more than it declares."""
    if not array.chunks:
        return
    stored: list[Any] = []
    array.id.chunk_iter(lambda chunk: stored.append(chunk) if chunk.size else None)
    most = math.prod(array.chunks) * array.dtype.itemsize
    for chunk in stored:
        content = lambda at=chunk.chunk_offset: array.id.read_direct_chunk(at)[1]
        if not chunk_fits(chunk.size, most, content if array.compression == "gzip" else None):
            raise UserError(f"{room}: {what}: the chunk at {list(chunk.chunk_offset)} unpacks to more than it declares")


def _several(groups, prefix: str, room: Room) -> list[Any]:
    """The groups PREFIX0, PREFIX1, ... in the order of their numbers."""
    names = [name for name in groups if re.fullmatch(rf"{prefix}\d{{1,18}}", name)]
    found = [_item(groups, name, room) for name in sorted(names, key=lambda name: int(name[len(prefix) :]))]
    if arrays := [x.name for x in found if hasattr(x, "shape")]:
        raise UserError(f"{room}: {arrays[0]} is an array, expected a group")
    return found


def _flags(group, key: str, room: Room) -> np.ndarray:
    """Some flags; none if they are not there."""
    return _array(group, key, room).ravel() != 0 if key in group else np.zeros(0, bool)


def _states(group, key: str, room: Room, keys: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The observations [T, S] of an array, or of a group of named ones side by side: `keys`, by default all vectors in
    the order of their names. The pictures among them by name.
    """
    found = _item(group, key, room)
    if hasattr(found, "shape"):
        return _read(found, f"{group.name}: {key!r}", room), {}
    vector = lambda x: hasattr(x, "shape") and len(x.shape or ()) <= 2
    names = keys or sorted(name for name in found if vector(_item(found, name, room)))
    if not names:
        raise UserError(f"{room}: {found.name}: no observations that are vectors (found: {', '.join(found)})")
    return apart({name: _array(found, name, room) for name in names}, f"{room}: {found.name}")


def _followed(states: np.ndarray, following: np.ndarray, where: str) -> np.ndarray:
    """States [T, S] and the one after the last, [T + 1, S]. Raises UserError if the two are not of one shape."""
    if states.shape != following.shape or not states.ndim:
        raise UserError(f"{where}: obs has shape {list(states.shape)}, next_obs {list(following.shape)}")
    return np.concatenate([states, following[-1:]])


def d4rl(file, room: Room, keys: Sequence[str]) -> Arrays:
    """Flat rows; `terminals` end the task, `timeouts` cut it off, `next_observations` only in some sets."""
    rows = {
        key: _array(file, key, room) for key in (*RANKS, *SYNONYMS, *UNREAD) if key in file and key != "observations"
    }
    states, images = _states(file, "observations", room, keys)
    return dict(observations=states) | {IMAGES + name: x for name, x in images.items()} | rows


def robomimic(file, room: Room, keys: Sequence[str]) -> Iterator[Episode]:
    """data/demo_k: `obs`, `next_obs`, `actions`, `rewards` of 1 where the task is solved, `dones`."""
    for demo in _several(_item(file, "data", room), "demo_", room):
        actions = _array(demo, "actions", room)
        rewards = _array(demo, "rewards", room) if "rewards" in demo else None
        if "obs" not in demo:
            raise UserError(f"{room}: {demo.name}: missing key 'obs'; make it with robomimic's dataset_states_to_obs")
        observations, images = _states(demo, "obs", room, keys)
        if "next_obs" in demo:
            final, last = _states(demo, "next_obs", room, keys)
            observations = _followed(observations, final, f"{room}: {demo.name}")
            images = {name: _followed(x, last[name], f"{room}: {demo.name}") for name, x in images.items()}
        ended = _flags(demo, "dones", room)
        yield Episode(observations, actions, rewards, ended, images=images)


def maniskill(file, room: Room, keys: Sequence[str]) -> Iterator[Episode]:
    """traj_k: `obs` [T + 1], `actions` [T], `rewards`, `terminated`, `truncated`, `success`."""
    for trajectory in _several(file, "traj_", room):
        if "obs" not in trajectory:
            raise UserError(f"{room}: {trajectory.name}: missing key 'obs'; replay the trajectories with an obs_mode")
        ended = _flags(trajectory, "terminated", room)
        rewards, success = (_array(trajectory, x, room) if x in trajectory else None for x in ("rewards", "success"))
        (states, images), actions = _states(trajectory, "obs", room, keys), _array(trajectory, "actions", room)
        yield Episode(states, actions, rewards, ended, success, images)


def _of_episodes(dialect: Callable[[Any, Room, Sequence[str]], Iterator[Episode]]):
    return lambda file, room, keys: arrays_of(dialect(file, room, keys), str(room))


APART = {"data": robomimic, r"traj_\d+": maniskill}
DIALECTS: dict[str, Callable[[Any, Room, Sequence[str]], Arrays]] = {"observations": d4rl} | {
    says: _of_episodes(dialect) for says, dialect in APART.items()
}
"""Which name at the top of the file gives a layout away."""
