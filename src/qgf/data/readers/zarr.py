"""Diffusion Policy's replay buffers: zarr, data/{obs, action} in flat rows and meta/episode_ends. Needs zarr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data.episodes import Episode, apart, arrays_of
from qgf.data.layout import Arrays
from qgf.data.pictures import are_pictures
from qgf.errors import UserError
from qgf.files import Room, chunk_fits, real_size, small

STATES = ("obs", "state", "keypoint")
"""The arrays taken as observations if none are named: the first of these that is there."""


OTHERS = ("action", "reward", "rewards", "success")
"""What is read besides."""


def reads(path: Path) -> bool:
    """Whether the folder is a zarr group."""
    return any((path / name).is_file() for name in (".zgroup", "zarr.json"))


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a replay buffer: states and actions, no final state; `reward` where it has one. An episode's end
    is a time limit: nothing says that a task was solved.

    Raises UserError if zarr is not there, and for arrays that are missing or do not fit.
    """
    try:
        import zarr
    except ImportError:
        raise UserError(f"{path}: replay buffers need zarr: pip install 'qgf[zarr]'") from None
    room, wanted = Room.of(path), {*keys, *STATES, *OTHERS}
    for file in (file for name in (".z*", "zarr.json") for file in path.rglob(name)):
        small(file)
    try:
        root: Any = zarr.open_group(str(path), mode="r")
        group = root["data"]
        data = {name: _read(group[name], name, room) for name in wanted if name in group}
        ends = _read(root["meta/episode_ends"], "meta/episode_ends", room)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        AttributeError,
        ArithmeticError,
        SystemError,
    ) as error:  # fmt: skip; zarr and its codecs raise these
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"{path}: not a replay buffer ({type(error).__name__}: {first})") from error
    data = {name: x for name, x in data.items() if 1 <= x.ndim <= 2 or (name in keys and are_pictures(x))}
    names = list(keys) or [name for name in STATES if name in data][:1]
    for name in (*names, "action"):
        if name not in data:
            what = "vectors, or of pictures (uint8)" if name in keys else "vectors"
            raise UserError(f"{path}: no array data/{name} of {what} (found: {', '.join(data) or 'nothing'})")
    if not names:
        raise UserError(f"{path}: none of {', '.join(STATES)} in data/; name others (found: {', '.join(data)})")
    states, images = apart({name: data[name] for name in names}, f"{path}: data")
    rewards = next((data[name].ravel() for name in ("reward", "rewards") if name in data), None)
    success = data["success"].ravel() if "success" in data else None
    if ends.ndim != 1 or not len(ends) or (np.diff(ends, prepend=0) <= 0).any() or ends[-1] != len(data["action"]):
        raise UserError(f"{path}: meta/episode_ends must rise to the {len(data['action'])} rows of data/action")
    if len(states) != ends[-1]:
        raise UserError(f"{path}: data/{names[0]} has {len(states)} rows, data/action {ends[-1]}")
    part = lambda x, rows: None if x is None else x[rows]
    episodes = [
        Episode(
            states[rows],
            data["action"][rows],
            part(rewards, rows),
            False,
            part(success, rows),
            {name: x[rows] for name, x in images.items()},
        )
        for rows in map(slice, [0, *ends[:-1]], ends)
    ]
    return arrays_of(episodes, str(path))


def _read(array, name: str, room: Room) -> np.ndarray:
    """An array that is numbers, and that there is memory for."""
    if not hasattr(array, "nbytes") or array.dtype.kind not in "biuf":
        raise UserError(f"{room}: data/{name} is no array of numbers")
    most = max(array.nbytes, math.prod(array.chunks) * array.dtype.itemsize)
    room.take(most, name)
    deflated = any(word in repr(codec).lower() for codec in array.compressors for word in ("zlib", "gzip"))
    for file in (room.path / array.path).rglob("*"):
        if not file.is_dir() and not chunk_fits(real_size(file), most, file.read_bytes if deflated else None):
            raise UserError(f"{file}: unpacks to more than the array that it is a part of")
    return np.asarray(array)
