"""A dataset is flat arrays and the rows at which episodes end.

File format (OGBench's, any `.npz`), one row per step, N rows:

  observations [N, S]  float   state before the step
  actions      [N, A]  float   as the environment takes them, or in [-1, 1]
  terminals    [N]     bool    marks the last row of each episode. That row only holds the final state; its action,
                               reward and mask are not used. (Not so with one of the last two keys.)
  rewards      [N]     float   optional for cloning, needed for a critic
  masks        [N]     float   optional, 0 where the task has ended in that state, else 1. A time limit is no end.
  next_observations [N, S]     optional, state after the step. Then every row is a step, an episode ends at `terminals`,
                               `timeouts` and where the next row is not the state after, and without `masks` the task
                               ends at `terminals`.
  timeouts     [N]     bool    optional, also called truncations: likewise, without recorded final states (D4RL)
  success      [N] or [E] bool optional, instead of rewards: the steps, or the episodes, that solve the task, from which
                               rewards follow (`labels.rewarded`)
  ref_min_score, ref_max_score []  optional, the returns that a normalised score calls 0 and 100
  action_low, action_high [A]  optional, the range that the environment takes, if actions are in its units
  images/CAMERA [N, H, W, C] uint8  optional, pictures before the step, with `observations` or without any; with
                               `next_observations` there is `next_images/CAMERA`. One camera alone may be called
                               `observations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qgf.data.actions import RANGE, UNIT, Range, declared, equal, extent, how_scaled, outside, same, scaled, within
from qgf.data.labels import Rewarded
from qgf.data.layout import RANKS, REFERENCES, Hazard, lay_out
from qgf.data.names import SYNONYMS, UNREAD
from qgf.data.pictures import IMAGES, seen
from qgf.data.scaling import blocks, observed, reward_unit
from qgf.errors import UserError

KEYS = (*RANKS, *SYNONYMS, *UNREAD, *RANGE, *REFERENCES, "qpos", "qvel", "button_states")
"""All that is read of a file."""


@dataclass(frozen=True)
class Dataset:
    """Episodes laid end to end. `ends` marks each episode's last row, which holds its final state and no action."""

    name: str
    observations: np.ndarray  # [N, S] float32, or float64 where that cannot tell them apart (`layout`)
    actions: np.ndarray  # [N, A] float32
    ends: np.ndarray  # [N] bool
    rewards: np.ndarray | None = None  # [N] float32
    masks: np.ndarray | None = None  # [N] float32
    goals: np.ndarray | None = None  # [N, G] float32, each state as a goal to reach
    validation: Dataset | None = None
    notes: tuple[str, ...] = ()  # what was decided while it was read
    path: Path | None = None  # the file it was read from
    keys: tuple[str, ...] = ()  # what its observations were made of, where that was chosen
    labels: Path | None = None  # the file that says which episodes succeed
    rewarded: Rewarded | None = None  # how rewards follow from success, where that was chosen
    held_out: float | None = None  # the share of its episodes that is its validation, where that was chosen
    references: tuple[float, float] | None = None  # the returns that a normalised score calls 0 and 100
    action_range: Range | None = None  # what -1 and 1 mean to the networks, where these are not actions themselves
    images: Mapping[str, np.ndarray] = field(default_factory=dict)  # by camera, [N, H, W, C] uint8
    expendable: bool = False  # nobody needs it once it is on the device, which may use up its memory

    @property
    def cameras(self) -> tuple[tuple[str, tuple[int, int, int]], ...]:
        """Every camera's name and the shape [H, W, C] of its pictures, in the order of the names."""
        return tuple((name, self.images[name].shape[1:]) for name in sorted(self.images))

    @property
    def obs_dim(self) -> int:
        return self.observations.shape[1]

    @property
    def action_dim(self) -> int:
        return self.actions.shape[1]

    @property
    def goal_dim(self) -> int:
        return 0 if self.goals is None else self.goals.shape[1]

    @property
    def transitions(self) -> int:
        """Rows that have a next state."""
        return len(self.ends) - int(self.ends.sum())

    @property
    def episodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Every episode's last row, and the steps after which its task first ends, 0 if it does not, [E] each."""
        last = np.flatnonzero(self.ends)
        ended = np.zeros(len(last), np.int64)
        if self.masks is not None:
            over = np.flatnonzero((self.masks == 0) & ~self.ends)
            episode, at = np.unique(np.searchsorted(last, over), return_index=True)
            ended[episode] = over[at] - (last[episode - 1] * (episode > 0) - (episode == 0))
        return last, ended

    @property
    def lengths(self) -> np.ndarray:
        """Transitions of the episodes, [E]."""
        return np.diff(np.flatnonzero(self.ends), prepend=-1) - 1

    @property
    def first(self) -> np.ndarray:
        """First rows of the episodes, [E]."""
        return np.flatnonzero(np.append(True, self.ends[:-1]))

    @property
    def numbers(self) -> np.ndarray:
        """The number of its episode of every row, [N]."""
        return np.cumsum(self.ends) - self.ends

    def chunk_actions(self, starts: np.ndarray, horizon: int) -> np.ndarray:
        """The chunks that start at these rows [M], [M, H * A]."""
        return self.actions[starts[:, None] + np.arange(horizon)].reshape(len(starts), -1)

    @property
    def kind(self) -> np.dtype:
        """The type of observations."""
        return self.observations.dtype

    def part(self, first: np.ndarray, rows: np.ndarray, capacity: int | None = None) -> Dataset:
        """Pieces of episodes, `rows` [P] from `first` [P] on, laid end to end: the last row of each counts as its final
        state. Up to `capacity` rows they are repeated, as episodes without a step.
        """
        total = int(rows.sum())
        which = np.arange(total) + np.repeat(first - np.cumsum(rows) + rows, rows)
        ends = np.zeros(total, bool)
        ends[np.cumsum(rows) - 1] = True
        more = (capacity or total) - total
        return replace(self.rows(np.resize(which, total + more)), ends=np.append(ends, np.ones(more, bool)))

    def rows(self, which: Any) -> Dataset:
        """Some of its rows: a slice, or a mask or numbers of them; whole episodes, for the ends stay where they are."""
        cut = {name: x[which] for name, x in vars(self).items() if isinstance(x, np.ndarray)}
        return replace(self, **cut, images={name: x[which] for name, x in self.images.items()})

    def apart(self, share: float) -> Dataset:
        """The dataset without a share of its episodes, which are its `validation`: drawn at random, the same ones
        whenever it is read. Raises UserError where that leaves nothing on one side.
        """
        episodes = len(self.lengths)
        number = round(share * episodes) if 0 < share < 1 else 0
        if not 0 < number < episodes:
            raise UserError(f"{self.name}: {share:g} of {episodes} episodes cannot be held out; a share as 0.2 can")
        drawn = np.random.default_rng(0).permutation(episodes)[:number]
        aside = np.isin(self.numbers, drawn)
        left, ends = self.rows(~aside), self.action_range
        return replace(
            left,
            validation=self.rows(aside),
            held_out=share,
            action_range=left.extent if self.scaled_by_extent else ends,
        )

    def starts(self, horizon: int, option: str = "--horizon") -> np.ndarray:
        """Rows at which a chunk of `horizon` actions, and the state after it, lie inside one episode, [M].

        An episode of fewer transitions has none. Raises UserError if all are so short; `option` set the horizon.
        """
        long_enough(self.name, self.lengths, horizon, option)
        inside = ~self.ends
        for k in range(1, min(horizon, len(inside))):  # steps of the chunk, none of which ends the episode
            inside[:-k] &= ~self.ends[k:]
        return np.flatnonzero(inside)

    def short(self, horizon: int) -> int:
        """How many episodes are shorter than a chunk, so that nothing starts in them."""
        return int(np.sum(self.lengths < horizon))

    def chunk_returns(self, starts: np.ndarray, horizon: int, discount: float) -> tuple[np.ndarray, np.ndarray]:
        """R = sum_i gamma^i r_i up to and including the first terminal step, and gamma^H prod masks; [M] each.

        Raises UserError if the dataset has no rewards.
        """
        rewards, masks = self._rewarded()
        returns, alive = np.zeros(len(starts), np.float32), np.ones(len(starts), np.float32)
        for part, r, on in zip(*map(blocks, (starts, returns, alive)), strict=True):
            for i in range(horizon):
                r += discount**i * on * rewards[part + i]
                on *= masks[part + i]
            on *= discount**horizon
        return returns, alive

    def returns_to_go(self, discount: float) -> np.ndarray:
        """G = r + gamma m G' of every row, to the episode's last action; 0 of final states; [N]. Of masks m = 0, where
        the task ended, nothing later counts. Raises UserError if the dataset has no rewards.
        """
        rewards, masks = self._rewarded()
        found = np.zeros(len(self.ends))
        last, lengths = np.flatnonzero(self.ends), self.lengths
        for back in range(1, lengths.max() + 1):
            rows = last[lengths >= back] - back
            found[rows] = rewards[rows] + discount * masks[rows] * found[rows + 1]
        return found.astype(np.float32)

    def _rewarded(self) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and masks, [N] each."""
        if self.rewards is None:
            raise UserError(
                f"{self.name}: missing key 'rewards' (shape [{len(self.ends)}]), which a critic needs. For OGBench use "
                "a single-task name such as pointmaze-medium-navigate-singletask-task1-v0"
            )
        return self.rewards, np.ones(len(self.ends), np.float32) if self.masks is None else self.masks

    def normaliser(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the observations, and of the goals if there are any, [S + G] each; what does
        not move has deviation 1 (`scaling.still`).
        """
        return self.scales()[:2]

    def scales(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same, and how far from 0 normalised observations may go when a policy acts."""
        return observed([self.observations] if self.goals is None else [self.observations, self.goals])

    @property
    def reward_unit(self) -> float:
        """What rewards are divided by before a critic learns from them; 1 where there are none (`scaling`)."""
        return 1.0 if self.rewards is None else reward_unit(self.rewards[~self.ends])

    def in_units(self, unit: float) -> Dataset:
        """The dataset with its rewards in this unit; itself if that is 1."""
        if unit == 1 or self.rewards is None:
            return self
        held_out = self.validation and self.validation.in_units(unit)
        return replace(self, rewards=self.rewards / np.float32(unit), validation=held_out)

    @property
    def extent(self) -> Range:
        """The least and the most of every action number, [A] each; rows that hold a final state have none."""
        return extent(self.actions[~self.ends])

    @property
    def scaled_by_extent(self) -> bool:
        """Whether what -1 and 1 mean is the least and the most of the actions, as nothing else is known."""
        return self.action_range is not None and same(self.action_range, self.extent)

    @property
    def scaling(self) -> str:
        """How actions become what networks see, a sentence; "" where they are that."""
        return how_scaled(self.action_range, self.extent)

    def scaled(self) -> Dataset:
        """The dataset as networks see it, its actions in [-1, 1]; itself where they are so already."""
        if self.action_range is None:
            return self
        held_out = self.validation and replace(self.validation, action_range=self.action_range).scaled()
        return replace(self, actions=scaled(self.actions, self.action_range), validation=held_out, action_range=None)

    def seen(self, rows: np.ndarray, rng: np.random.Generator) -> Any:
        """What a policy sees at `rows`, [B, S + G]: the observation, with goals in the data also that of any state.
        With pictures a dictionary, as in `types.Spec.one`.
        """
        state = self.observations[rows]
        if self.goals is not None:
            state = np.concatenate([state, rng.choice(self.goals, len(rows))], axis=1)
        return seen(self.images, rows, state)

    @staticmethod
    def from_arrays(
        arrays: dict[str, np.ndarray],
        name: str,
        labels: np.ndarray | None = None,
        rewards: Rewarded | None = None,
    ) -> Dataset:
        """Check raw arrays against the file format and lay them out; `labels` [E] say which episodes succeed, `rewards`
        how rewards follow from that. UserError names file, key, shape and row.
        """
        rows, notes = lay_out(arrays, name, labels, rewards)
        fields = rows["observations"], rows["actions"], rows["ends"], rows.get("rewards"), rows.get("masks")
        images = {key.removeprefix(IMAGES): x for key, x in rows.items() if key.startswith(IMAGES)}
        dataset = Dataset(
            name, *fields, rewarded=rewards, notes=notes, references=references(arrays, name), images=images
        )
        given = declared(arrays, dataset.action_dim, name)
        if given is None:
            return dataset if within(dataset.extent, UNIT) else replace(dataset, action_range=dataset.extent)
        if beyond := outside(dataset.extent, given, name):
            dataset = replace(dataset, notes=(*notes, Hazard(beyond)))
        return dataset if equal(given, UNIT) and not beyond else replace(dataset, action_range=given)


D = TypeVar("D")


def expendable(dataset: D) -> D:
    """What was loaded for nothing but to be trained on; data on the disk are so anyway."""
    return replace(dataset, expendable=True) if isinstance(dataset, Dataset) else dataset


def long_enough(name: str, lengths: np.ndarray, horizon: int, option: str) -> None:
    """Raises UserError if no episode of so many transitions [E] has a chunk of `horizon` actions; `option` set it."""
    if lengths.max() < horizon:
        raise UserError(
            f"{name}: all {len(lengths)} episodes are shorter than the action chunk of {horizon}, the longest "
            f"has {lengths.max()} transitions; train with a shorter {option}"
        )


def references(arrays: dict[str, np.ndarray], name: str) -> tuple[float, float] | None:
    """The returns that arrays give for a normalised score, low and high. UserError if they are no two numbers."""
    if any(key not in arrays for key in REFERENCES):
        return None
    low, high = (np.asarray(arrays[key]) for key in REFERENCES)
    numbers = low.size == high.size == 1 and low.dtype.kind in "fiu" and high.dtype.kind in "fiu"
    if not numbers or not np.isfinite([low.item(), high.item()]).all() or low.item() >= high.item():
        raise UserError(f"{name}: 'ref_min_score' must be a number below 'ref_max_score', got {low} and {high}")
    return float(low.item()), float(high.item())
