"""Episodes, as formats that keep them apart have them, laid end to end in the documented format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from qgf.data.layout import Arrays
from qgf.data.pictures import IMAGES, are_pictures
from qgf.errors import UserError

PART = 64 * 2**20
"""Bytes of data that are handled together where they are not held as a whole."""


class Episode(NamedTuple):
    """T steps: state s_i, action a_i, reward r_i, and the state after the last one where the format has it."""

    observations: np.ndarray  # [T + 1, S], or [T, S] where the final state was not recorded
    actions: np.ndarray  # [T, A]
    rewards: np.ndarray | None  # [T]
    terminated: bool | np.ndarray  # the last action ended the task; False: a time limit, the state after it has a value
    #   or of all actions, [T], which ended it (none if that is empty): on the way, too, as where a success is held
    success: np.ndarray | None = None  # [T] steps that solve it
    images: Mapping[str, np.ndarray] = MappingProxyType({})  # by camera, uint8, as many as there are states


def arrays_of(episodes: Iterable[Episode], name: str) -> Arrays:
    """The arrays of the documented format (`qgf.data.layout`): compact, or without final states if any episode lacks
    its own. Raises UserError, naming the episode, for lengths that do not fit.
    """
    whole = [episode for k, episode in enumerate(episodes) if _fits(episode, f"{name}: episode {k}")]
    if not whole:
        raise UserError(f"{name}: no episode with a step in it")
    for what in ("observations", "actions"):
        if len(widths := {getattr(episode, what).shape[1] for episode in whole}) > 1:
            raise UserError(f"{name}: episodes have {what} of different sizes ({', '.join(map(str, sorted(widths)))})")
    if len({episode.rewards is None for episode in whole}) > 1:
        raise UserError(f"{name}: some episodes have rewards and some have none")
    compact = all(len(episode.observations) > len(episode.actions) for episode in whole)
    last = [np.arange(len(e.actions) + compact) == len(e.actions) + compact - 1 for e in whole]
    padded = lambda x, value: np.concatenate([x, np.full((int(compact), *x.shape[1:]), value, x.dtype)])
    arrays = dict(
        observations=np.concatenate([e.observations[: len(e.actions) + compact] for e in whole]),
        actions=np.concatenate([padded(e.actions, 0) for e in whole]),
    )
    for camera in whole[0].images:
        pictures = [e.images[camera][: len(e.actions) + compact] for e in whole]
        if len(shapes := {x.shape[1:] for x in pictures}) > 1:
            raise UserError(f"{name}: episodes have pictures {camera!r} of different sizes ({sorted(shapes)})")
        arrays[IMAGES + camera] = np.concatenate(pictures)
    if whole[0].rewards is not None:
        arrays["rewards"] = np.concatenate([padded(np.asarray(e.rewards), 0) for e in whole])
    if all(e.success is not None for e in whole):
        arrays["success"] = np.concatenate([padded(np.asarray(e.success), 0) for e in whole])
    over = [_over(episode) for episode in whole]
    masks = dict(masks=np.concatenate([padded(1.0 - x, 1) for x in over]))
    if compact:
        return arrays | dict(terminals=np.concatenate(last)) | masks
    terminals, timeouts = ([end & (x[-1] == so) for end, x in zip(last, over, strict=True)] for so in (True, False))
    on_the_way = any(x[:-1].any() for x in over)
    return (
        arrays
        | dict(terminals=np.concatenate(terminals), timeouts=np.concatenate(timeouts))
        | (masks if on_the_way else {})
    )


def _over(episode: Episode) -> np.ndarray:
    """The actions that ended the task, [T]."""
    steps, said = len(episode.actions), np.asarray(episode.terminated, bool)
    if said.ndim:
        return said if said.size else np.zeros(steps, bool)
    return (np.arange(steps) == steps - 1) & said


def batches(episodes: Iterable[Episode], name: str) -> Iterator[Arrays]:
    """The arrays of some episodes at a time."""
    held: list[Episode] = []
    size = 0
    for episode in episodes:
        held.append(episode)
        size += sum(x.nbytes for x in (episode.observations, episode.actions, *episode.images.values()))
        if size > PART:
            yield arrays_of(held, name)
            held, size = [], 0
    if held:
        yield arrays_of(held, name)


def beside(parts: Sequence[np.ndarray], where: str) -> np.ndarray:
    """Vectors [T, *] of each step side by side, [T, S]. Raises UserError if they are not of one length."""
    if any(np.ndim(part) == 0 for part in parts) or len({len(part) for part in parts}) > 1:
        raise UserError(f"{where}: observations have shapes {', '.join(str(list(np.shape(x))) for x in parts)}")
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], axis=1)


def apart(parts: Mapping[str, np.ndarray], where: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Of arrays [T, *] by name those that are no pictures side by side, [T, S], and the pictures under their names.

    Raises UserError if they are not of one length.
    """
    images = {name: x for name, x in parts.items() if are_pictures(x)}
    nothing = [np.zeros((len(x), 0), np.float32) for x in images.values()]
    return beside([x for name, x in parts.items() if name not in images] + nothing, where), images


def _fits(episode: Episode, where: str) -> bool:
    """Whether the episode has a step. Raises UserError unless its parts are of one length."""
    if np.ndim(episode.actions) != 2 or np.ndim(episode.observations) != 2:
        shapes = list(np.shape(episode.observations)), list(np.shape(episode.actions))
        raise UserError(f"{where} has states {shapes[0]} and actions {shapes[1]}, expected a vector of each step")
    steps = len(episode.actions)
    if len(episode.observations) not in (steps, steps + 1):
        raise UserError(
            f"{where} has {len(episode.observations)} states for {steps} actions, expected {steps} or {steps + 1}"
        )
    if any(len(x) != len(episode.observations) for x in episode.images.values()):
        raise UserError(f"{where} has {len(episode.observations)} states and another number of pictures")
    if np.ndim(episode.terminated) and np.size(episode.terminated) not in (0, steps):
        raise UserError(f"{where} says of {np.size(episode.terminated)} of {steps} actions whether they end the task")
    if episode.rewards is not None and np.shape(episode.rewards) != (steps,):
        raise UserError(f"{where} has rewards {list(np.shape(episode.rewards))} for {steps} actions")
    return steps > 0
