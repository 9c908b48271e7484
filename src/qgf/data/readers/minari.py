"""Minari's datasets, by the folder or by the name under which Minari keeps them. Needs minari."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data.episodes import Episode, apart, arrays_of, batches, beside
from qgf.data.layout import MADE_OF, REFERENCES, Arrays
from qgf.data.pictures import ONLY, are_pictures
from qgf.data.readers.hdf5 import survey
from qgf.errors import UserError
from qgf.files import Room, read_text, small


def reads(path: Path) -> bool:
    """Whether the folder holds a Minari dataset: data/metadata.json beside its episodes."""
    return (path / "data" / "metadata.json").is_file() or (path / "metadata.json").is_file()


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a folder, with the reference scores if it has them. `keys` chooses
    among the parts of observations that are dictionaries, by default all, in an order that
    is kept with them. Raises UserError if minari is not there or cannot read the folder.
    """
    with _opened(path, keys) as (dataset, keys):
        arrays = arrays_of([_episode(episode, path, keys) for episode in dataset.iterate_episodes()], str(path))
        return arrays | _references(dataset) | ({MADE_OF: np.array(keys)} if keys else {})


def parts(path: Path, keys: Sequence[str] = ()) -> Iterator[Arrays]:
    """The same, some episodes at a time."""
    with _opened(path, keys) as (dataset, keys):
        more = _references(dataset) | ({MADE_OF: np.array(keys)} if keys else {})
        for arrays in batches((_episode(episode, path, keys) for episode in dataset.iterate_episodes()), str(path)):
            yield arrays | more


@contextmanager
def _opened(path: Path, keys: Sequence[str]) -> Iterator[tuple[Any, Sequence[str]]]:
    """The dataset, and what its observations are made of."""
    try:
        import minari
    except ImportError:
        raise UserError(f"{path}: Minari datasets need minari: pip install 'qgf[minari]'") from None
    folder = path / "data" if (path / "data" / "metadata.json").is_file() else path
    room = Room.of(folder)
    for file in folder.rglob("*.json"):
        small(file)
    for file in folder.glob("*.hdf5"):
        survey(file, room)
    try:
        _check_declared(folder, room)
        dataset = minari.MinariDataset(folder)
        parts = getattr(dataset.observation_space, "spaces", ())
        yield dataset, keys or (tuple(parts) if isinstance(parts, dict) else ())
    except (
        OSError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        SystemError,
    ) as error:  # fmt: skip; minari does not check what it reads
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: cannot be read as a Minari dataset ({type(error).__name__}: {first})") from error


def _check_declared(folder: Path, room: Room) -> None:
    """Raises UserError for metadata that Minari believes and should not: without spaces it makes the environment that
    they name, which is whatever function a stranger likes; and it makes arrays as long as they say.
    """
    metadata = json.loads(read_text(folder / "metadata.json"))
    for name in ("observation_space", "action_space"):
        if not isinstance(metadata.get(name), str):
            raise UserError(
                f"{folder}: metadata.json has no {name}: to know it, the environment would have to be made, which is "
                "code; save the data with a Minari that writes it, 0.5 or newer"
            )
        for shape in _shapes(json.loads(metadata[name])):
            room.take(2 * 8 * math.prod(shape), name)
    room.take(8 * int(metadata["total_episodes"]), "total_episodes")


def _shapes(space: Any) -> Iterator[list[int]]:
    """Of a space as Minari writes it, and of all that it is made of."""
    if isinstance(space, dict) and "shape" in space:
        yield space["shape"]
    for part in space.values() if isinstance(space, dict) else space if isinstance(space, list) else ():
        yield from _shapes(part)


def _references(dataset: Any) -> Arrays:
    """The returns of a normalised score, where the data know them."""
    metadata = dataset.storage.metadata
    return {key: np.array(float(metadata[key])) for key in REFERENCES if metadata.get(key) is not None}


def _episode(episode: Any, path: Path, keys: Sequence[str]) -> Episode:
    where = f"{path}: episode {episode.id}"
    actions = _vectors(episode.actions, where, "actions", ())
    states, images = _states(episode.observations, where, keys)
    return Episode(states, actions, np.asarray(episode.rewards), bool(episode.terminations[-1]), images=images)


def _states(x: Any, where: str, keys: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """[T, S] of all that is no picture, and the pictures by name."""
    if are_pictures(x):
        return np.zeros((len(x), 0), np.float32), {ONLY: x}
    if not isinstance(x, dict) or not any(map(are_pictures, x.values())):
        return _vectors(x, where, "observations", keys), {}
    if missing := [key for key in keys if key not in x]:
        raise UserError(f"{where}: observations have no key {missing[0]!r} (found: {', '.join(x)})")
    parts = {key: x[key] for key in keys or sorted(x)}
    return apart(
        {k: part if are_pictures(part) else _vectors(part, where, "observations", ()) for k, part in parts.items()},
        where,
    )


def _vectors(x: Any, where: str, what: str, keys: Sequence[str]) -> np.ndarray:
    """[T, *] of an array, or of a dictionary or tuple of them side by side."""
    if isinstance(x, dict):
        if missing := [key for key in keys if key not in x]:
            raise UserError(f"{where}: {what} have no key {missing[0]!r} (found: {', '.join(x)})")
        parts = [_vectors(x[key], where, what, ()) for key in keys or sorted(x)]
    elif isinstance(x, tuple):
        parts = [_vectors(part, where, what, ()) for part in x]
    else:
        array = np.asarray(x)
        if not np.issubdtype(array.dtype, np.number):
            raise UserError(f"{where}: {what} have type {array.dtype}, expected numbers")
        if what == "actions" and array.ndim == 1:
            raise UserError(f"{where}: actions are single numbers: discrete actions cannot be flowed to")
        if array.ndim == 0:
            raise UserError(f"{where}: {what} are no arrays")
        return array.reshape(len(array), math.prod(array.shape[1:]))
    return beside(parts, where)
