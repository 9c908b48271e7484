"""Episodes, the common form into which every data format is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from qgf.data.dataset import Dataset
from qgf.errors import UserError


class Episode(NamedTuple):
    """T steps: state s_i, action a_i, reward r_i, and the state after the last one where the format has it."""

    observations: np.ndarray  # [T + 1, S], or [T, S] where the final state was not recorded
    actions: np.ndarray  # [T, A]
    rewards: np.ndarray | None  # [T]
    terminated: bool  # the last action ended the task; False: a time limit, the state after it has a value

    @property
    def has_final_state(self) -> bool:
        return len(self.observations) > len(self.actions)


def dataset_of(episodes: Iterable[Episode], name: str) -> Dataset:
    """The episodes laid end to end, each with a last row for its final state.

    Where that was not recorded, a terminated episode repeats its last state, whose value nothing asks for, and one that
    was cut off gives up its last step, whose end is not known. Raises UserError, naming the episode, for lengths that
    do not fit, and for what `Dataset.from_arrays` refuses.
    """
    whole = [_with_final_state(episode, f"{name}: episode {k}") for k, episode in enumerate(episodes)]
    whole = [episode for episode in whole if len(episode.actions)]
    if not whole:
        raise UserError(f"{name}: no episode with a step in it")
    if len({episode.rewards is None for episode in whole}) > 1:
        raise UserError(f"{name}: some episodes have rewards and some have none")
    lengths = [len(episode.actions) for episode in whole]
    ends = np.zeros(sum(lengths) + len(lengths), bool)
    ends[np.cumsum(lengths) + np.arange(len(lengths))] = True
    stacked = dict(
        observations=np.concatenate([episode.observations for episode in whole]),
        actions=_padded([episode.actions for episode in whole], 0),
        terminals=ends,
        masks=_padded([_masks(episode) for episode in whole], 1),
    )
    if whole[0].rewards is not None:
        stacked["rewards"] = _padded([np.asarray(episode.rewards) for episode in whole], 0)
    return Dataset.from_arrays(stacked, name)


def _masks(episode: Episode) -> np.ndarray:
    """0 where the task has ended, else 1, [T]."""
    masks = np.ones(len(episode.actions), np.float32)
    masks[-1] = 1.0 - episode.terminated
    return masks


def _padded(parts: list[np.ndarray], value: float) -> np.ndarray:
    """The parts end to end, each followed by a row of `value`."""
    row = [np.full((1, *part.shape[1:]), value, part.dtype) for part in parts]
    return np.concatenate([x for pair in zip(parts, row, strict=True) for x in pair])


def _with_final_state(episode: Episode, where: str) -> Episode:
    observations, actions, rewards, terminated = episode
    steps = len(actions)
    if len(observations) not in (steps, steps + 1):
        raise UserError(f"{where} has {len(observations)} states for {steps} actions, expected {steps} or {steps + 1}")
    if rewards is not None and len(rewards) != steps:
        raise UserError(f"{where} has {len(rewards)} rewards for {steps} actions")
    if episode.has_final_state or not steps:
        return episode
    if terminated:
        return episode._replace(observations=np.concatenate([observations, observations[-1:]]))
    return Episode(observations, actions[:-1], None if rewards is None else rewards[:-1], False)


def episodes_of(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray | None,
    terminals: np.ndarray,
    timeouts: np.ndarray | None = None,
    next_observations: np.ndarray | None = None,
) -> Iterator[Episode]:
    """Flat rows of steps, N of each, cut into episodes.

    An episode ends where the task did (`terminals`), at a time limit (`timeouts`), and after a row whose
    `next_observations` is not the next row's state: there the data have a gap.
    """
    ends = terminals.astype(bool).copy()
    if timeouts is not None:
        ends |= timeouts.astype(bool)
    if next_observations is not None:
        ends[:-1] |= (next_observations[:-1] != observations[1:]).any(axis=tuple(range(1, observations.ndim)))
    ends[-1] = True
    first = 0
    for last in map(int, np.flatnonzero(ends)):
        rows = slice(first, last + 1)
        states = observations[rows]
        if next_observations is not None:
            states = np.concatenate([states, next_observations[last : last + 1]])
        yield Episode(states, actions[rows], None if rewards is None else rewards[rows], bool(terminals[last]))
        first = last + 1
