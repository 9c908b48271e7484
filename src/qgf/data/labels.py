"""Success labels, one bit per step or per episode: rewards and ends of data that have no other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from qgf.errors import UserError, unknown
from qgf.files import at_home, read_text

WORDS = dict.fromkeys(("1", "true", "yes", "success"), True) | dict.fromkeys(("0", "false", "no", "failure"), False)

Rewarded = Literal["until-success", "success-to-go"]
"""How rewards follow from success (`rewarded`)."""


def read_labels(path: str | Path) -> np.ndarray:
    """A file with a line per episode, 1 or 0 (or true/false, yes/no, success/failure), [E] bool."""
    lines = read_text(at_home(path)).strip().splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip().lower() not in WORDS:
            shown = line.strip()[:20]
            raise UserError(f"{path}: at line {number}: {shown!r} is no label, expected 1 or 0, an episode a line")
    return np.array([WORDS[line.strip().lower()] for line in lines], bool)


def per_episode(success: np.ndarray, name: str) -> np.ndarray:
    """Labels [E] from an array that is no column. Raises UserError for anything but 0 and 1."""
    labels = np.asarray(success)
    if labels.ndim != 1 or not (labels.dtype == bool or np.isin(labels, (0, 1)).all()):
        raise UserError(f"{name}: 'success' must be 0 or 1, one for each row or one for each episode")
    return labels.astype(bool)


def of_episodes(labels: np.ndarray, ends: np.ndarray, last: np.ndarray, name: str) -> np.ndarray:
    """Labels [E] as a column [N] that is true in the last steps of the episodes that succeed; `ends` [N] marks the last
    rows of the episodes, of which `last` [E] are the last that are steps. Raises UserError unless they are as many.
    """
    if len(labels) != ends.sum():
        raise UserError(f"{name}: {len(labels)} success labels for {ends.sum()} episodes")
    success = np.zeros(len(ends), bool)
    success[last[labels]] = True
    return success


def reached(success: np.ndarray, ends: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The steps [N] at which the task is solved, from a column that says so of steps, of the states after them, or of
    all steps of an episode: then it is the last.
    """
    success = success.copy()
    success[last] |= success[ends]  # of a final state
    number = np.cumsum(ends) - ends
    only = np.zeros(len(ends), bool)
    only[last] = True
    steps = ~ends | only
    whole = np.ones(ends.sum(), bool)
    np.logical_and.at(whole, number[steps], success[steps])
    return np.where(whole[number], only, success) & steps


def told(rewards: np.ndarray, steps: np.ndarray, name: str) -> np.ndarray:
    """The steps [N] with a reward of 1, in data whose rewards are 1 at success and else 0 (robomimic's, mazes') and
    that have no other word of it. Raises UserError for other rewards.
    """
    odd = np.flatnonzero(steps & (rewards != 0) & (rewards != 1))
    if odd.size:
        raise UserError(
            f"{name}: nothing says which steps or episodes succeed: no 'success', and rewards are not 0 and 1 (row "
            f"{odd[0]}: {rewards[odd[0]]:.4g}); give --labels"
        )
    return steps & (rewards == 1)


def rewarded(success: np.ndarray, last: np.ndarray, how: Rewarded) -> tuple[np.ndarray, np.ndarray, str]:
    """Rewards and masks [N] of the steps that solve a task, [N], and what becomes of other episodes; `last` [E] are the
    last steps of all. With k the steps from one to the success, and Q the value of the data's own behaviour:

      until-success   -1, at success 0 and its end:  Q = -(1 - gamma^k) / (1 - gamma). An episode without success is
                      cut off: its last state is worth what the critic says of such states, about -1 / (1 - gamma) if
                      none of them leads to success.
      success-to-go   0, at success 1 and its end:  Q = gamma^k. Every episode ends with its last step, for Bellman's
                      equation of rewards 0 alone, Q = gamma Q', has a solution of any size, and failure would be worth
                      what bootstrapping happened to leave: with mask 0 it is 0, of all states after the last success.

    Raises UserError for another name.
    """
    if how == "until-success":
        return success - 1.0, 1.0 - success, "are cut off"
    if how != "success-to-go":
        raise unknown("rewards", how, ("until-success", "success-to-go"))
    over = success.copy()
    over[last] = True
    return success * 1.0, 1.0 - over, "end with nothing"
