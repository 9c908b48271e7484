"""Success labels, one bit per step or per episode: rewards and ends of data that have no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qgf.errors import UserError
from qgf.files import read_text

WORDS = dict.fromkeys(("1", "true", "yes", "success"), True) | dict.fromkeys(("0", "false", "no", "failure"), False)


def read_labels(path: str | Path) -> np.ndarray:
    """A file with a line per episode, 1 or 0 (or true/false, yes/no, success/failure), [E] bool."""
    lines = read_text(Path(path)).strip().splitlines()
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
