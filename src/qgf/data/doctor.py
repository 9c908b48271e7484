"""What a dataset is, in numbers, and what about it is suspicious."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qgf.data.dataset import Dataset
from qgf.data.outliers import Outlier, outliers
from qgf.data.scaling import blocks, moments, squared, still
from qgf.data.stored import Stored

BINS = 10
"""Of a histogram of rewards, and the distinct values that are shown one by one."""
LONG = 10_000
"""Steps of an episode that is more likely several whose ends were not marked."""


ALIKE = 0.01
"""Rewards whose range is less, in parts of their size, are nearly the same."""


@dataclass(frozen=True)
class Examination:
    """A dataset in numbers; lengths are in actions, not rows."""

    name: str
    transitions: int
    lengths: np.ndarray  # [E] of the episodes
    terminated: int  # episodes in which the task ends; the others are cut off
    ending: float | None  # median number of steps until then; None if there are none
    obs_mean: np.ndarray  # [S]
    obs_std: np.ndarray  # [S]
    action_low: np.ndarray  # [A]
    action_high: np.ndarray  # [A]
    rewards: tuple[np.ndarray, np.ndarray] | None  # the distinct values, at most 10, and how often each; or a histogram
    reward_range: tuple[float, float] | None
    horizon: int
    cameras: tuple[tuple[str, tuple[int, int, int]], ...]  # as in `Dataset`
    still: tuple[str, ...]  # those of them whose pictures are all the same
    chunks: int  # starts from which `horizon` actions lie in one episode
    largest: float  # of the actions as networks see them
    whole: bool  # every action is a whole number
    apart: dict[str, list[Outlier]]  # of "observation", "action" and "reward" what lies far from all others

    @property
    def constant(self) -> np.ndarray:
        """Observations that never change, [<= S]."""
        return np.flatnonzero(self.obs_std == 0)

    @property
    def nearly_constant(self) -> np.ndarray:
        """Observations whose deviation is a thousandth of their size or less, and less than a thousandth, [<= S]: at
        test time a sensor's offset would be many deviations.
        """
        scale = np.minimum(np.abs(self.obs_mean), 1.0)
        return np.flatnonzero((self.obs_std > 0) & (self.obs_std < 1e-3 * scale))

    @property
    def minute(self) -> np.ndarray:
        """Observations that are taken for constant only because their unit is so large, [<= S]."""
        moves = self.obs_std > 1e-3 * np.abs(self.obs_mean)
        return np.flatnonzero(moves & still(self.obs_mean, self.obs_std))

    @property
    def lost(self) -> float:
        """The share of actions at which no chunk starts, so near to their episode's end."""
        return 1 - self.chunks / self.transitions

    @property
    def discount(self) -> float | None:
        """1 - 1 / L with 1 / L to one digit, L the `ending`: that far values look ahead; None if no episode ends."""
        return None if self.ending is None else 1 - float(f"{1 / max(self.ending, 2):.1g}")


def examine(dataset: Dataset | Stored, horizon: int = 5) -> Examination:
    """Look at all rows of a dataset once, [N, *] in float64 by columns; of one on the disk that was done before."""
    if isinstance(dataset, Stored):
        return _examined(dataset, horizon)
    used = ~dataset.ends
    actions = dataset.actions[used]
    rewards = None if dataset.rewards is None else dataset.rewards[used]
    found = moments(partial(blocks, dataset.observations))
    columns = dict(observation=dataset.observations)
    columns |= dict(action=actions) if dataset.scaled_by_extent else {}
    columns |= {} if rewards is None else dict(reward=rewards[:, None])
    return Examination(
        **_episodes(dataset, dataset.episodes[1], horizon),
        obs_mean=found.mean,
        obs_std=found.std,
        action_low=actions.min(axis=0),
        action_high=actions.max(axis=0),
        rewards=None if rewards is None else _histogram(rewards),
        reward_range=None if rewards is None else (float(rewards.min()), float(rewards.max())),
        still=tuple(name for name, _ in dataset.cameras if (dataset.images[name] == dataset.images[name][0]).all()),
        largest=float(np.abs(dataset.scaled().actions[used]).max()),
        whole=bool((actions == np.round(actions)).all()),
        apart={what: outliers(x) for what, x in columns.items()},
    )


def _episodes(dataset: Dataset | Stored, ended: np.ndarray, horizon: int) -> dict[str, Any]:
    """What is known of data wherever they lie; `ended` as in `Dataset.episodes`."""
    lengths, reached = dataset.lengths, ended[ended > 0]
    return dict(
        name=dataset.name,
        transitions=dataset.transitions,
        lengths=lengths,
        terminated=len(reached),
        ending=float(np.median(reached)) if len(reached) else None,
        horizon=horizon,
        cameras=dataset.cameras,
        chunks=int(np.maximum(lengths - horizon + 1, 0).sum()),
    )


def _examined(dataset: Stored, horizon: int) -> Examination:
    """The same of what was measured when the data were converted."""
    meta, (low, high) = dataset.meta, dataset.extent
    rewards = meta.rewards
    return Examination(
        **_episodes(dataset, dataset.ended, horizon),
        obs_mean=np.array(meta.observations.mean),
        obs_std=np.array(meta.observations.std),
        action_low=low,
        action_high=high,
        rewards=None if rewards is None else (np.array(rewards.values), np.array(rewards.counts)),
        reward_range=None if rewards is None else (rewards.low, rewards.high),
        still=tuple(meta.still),
        largest=float(np.abs(dataset.scaled_extent).max()),
        whole=meta.whole,
        apart={what: [Outlier(*one) for one in those] for what, those in meta.apart.items()},
    )


def _histogram(x: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Values and counts of x, or if there are more than `bins`, left ends of as many bins and counts."""
    values, counts = np.unique(x, return_counts=True)
    if len(values) <= bins:
        return values, counts
    counts, edges = np.histogram(x, bins)
    return edges[:-1], counts


def suspicions(found: Examination, sensors: bool = True) -> list[str]:
    """What may be wrong with a dataset and what to do about it, a sentence each; `sensors` that hardly move too, from
    which a policy is protected (`data.scaling`).
    """
    notes = []
    if (longest := int(found.lengths.max())) > LONG:
        notes.append(f"an episode of {longest:,} steps: are the ends of episodes marked (terminals, timeouts)?")
    elif len(found.lengths) == 1:
        notes.append(f"all {longest:,} steps are one episode: are the ends of episodes marked (terminals, timeouts)?")
    notes += _of_rewards(found.reward_range)
    if found.rewards is not None and not found.terminated:
        notes.append("no episode ends its task (no mask is 0): values are those of a task that goes on for ever")
    if found.lost > 0.2:
        notes.append(
            f"{100 * found.lost:.0f} % of the actions start no chunk of {found.horizon}: use a shorter --horizon"
        )
    if (short := int((found.lengths < found.horizon).sum())) > 0:
        notes.append(
            f"{short} of {len(found.lengths)} episodes are shorter than a chunk of {found.horizon} and are left out"
        )
    notes += [_lonely(what, one, found.transitions) for what, those in found.apart.items() for one in those]
    if found.minute.size:
        notes.append(
            f"observation {_numbers(found.minute)} deviates by less than 1e-06 and is taken for constant: give it in a "
            "smaller unit"
        )
    resting = (("never changes", found.constant), ("hardly changes", found.nearly_constant))
    for what, which in resting if sensors else ():
        if which.size:
            verb = what if which.size == 1 else what.replace("changes", "change")
            notes.append(
                f"observation {_numbers(which)} {verb}: leave it out, or make sure that it is the same at test time"
            )
    notes += [f"every picture of {name} is the same: leave the camera out" for name in found.still]
    fixed = np.flatnonzero(found.action_low == found.action_high)
    if fixed.size:
        notes.append(f"action {_numbers(fixed)} never changes")
    if found.whole and not fixed.size:
        notes.append(
            "every action is a whole number: if they stand for choices, a flow policy, which gives any number between, "
            "is no model of them"
        )
    if found.largest < 0.1:
        notes.append(
            f"no action is larger than {found.largest:.2g} of the range [-1, 1]: are they scaled to the environment's?"
        )
    return notes


def _of_rewards(ends: tuple[float, float] | None) -> list[str]:
    """What is suspicious about rewards between these ends."""
    if ends is None:
        return ["no rewards: a flow can be cloned, but no critic trained"]
    low, high = ends
    if said := squared(max(abs(low), abs(high)) or 1.0):
        return [said]
    if low == high:
        return [
            f"every reward is {low + 0.0:g}: unless episodes end at success, a critic has nothing to learn and "
            "guidance is noise"
        ]
    if high - low < ALIKE * max(abs(low), abs(high)):
        return [
            f"rewards lie between {low:.7g} and {high:.7g}: beside what they have in common a critic hardly sees what "
            "tells them apart; subtract it"
        ]
    return []


def _lonely(what: str, one: Outlier, steps: int) -> str:
    where = what if what == "reward" else f"{what} {one.column}"
    sets = dict(observation="the deviation", action="the range", reward="the unit")[what]
    return (
        f"{where}: {one.rows} of {steps:,} are far from all others (as {one.value:.4g}), and set {sets} by which it is "
        "scaled: is that a fault?"
    )


def _numbers(which: np.ndarray, most: int = 8) -> str:
    """ "3, 7 and 12 others"."""
    shown = ", ".join(map(str, which[:most]))
    return shown if which.size <= most else f"{shown} and {which.size - most} others"


def _seen(found: Examination) -> str:
    """ "28 observations", "28 observations and pictures front 64 x 64 x 3"."""
    numbers, cameras = len(found.obs_mean), (f"{name} {' x '.join(map(str, shape))}" for name, shape in found.cameras)
    parts = [f"{numbers} observations"] if numbers or not found.cameras else []
    return " and ".join([*parts, f"pictures {', '.join(cameras)}"] if found.cameras else parts)


def summary(found: Examination) -> list[str]:
    """The dataset in three lines: episodes, rewards and ends, what is suspicious."""
    lengths, cut = found.lengths, len(found.lengths) - found.terminated
    distinct = len(np.unique(lengths))
    spread = f"{lengths.min()}" if distinct == 1 else f"{lengths.min()} to {lengths.max()}"
    spread += f" steps ({distinct} lengths)" if distinct > 2 else " steps"
    first = (
        f"{found.transitions:,} transitions in {len(lengths):,} episodes of {spread}, "
        f"{_seen(found)} -> {len(found.action_low)} actions"
    )
    if found.reward_range is None:
        second = "no rewards"
    else:
        low, high = found.reward_range
        rewards = f"every reward {low + 0.0:g}" if low == high else f"rewards {low:g} to {high:g}"
        second = f"{rewards}; {found.terminated:,} episodes end the task, {cut:,} are cut off"
    notes = suspicions(found)
    third = (
        "nothing suspicious" if not notes else f"look at: {notes[0]}" + (f" (+{len(notes) - 1})" if notes[1:] else "")
    )
    return [first, second, third]
