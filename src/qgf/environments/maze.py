"""Mazes as pictures need them: walls, goal, and where each arm went."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qgf.data.npz import read_npz
from qgf.errors import UserError
from qgf.files import sealed_path


@dataclass(frozen=True)
class Maze:
    """Walls as a 0/1 grid of square cells, and the task's goal; lengths in the simulator's units."""

    walls: np.ndarray  # [I, J]; cell (i, j) is centred at (j, i) * unit - offset
    unit: float
    offset: np.ndarray  # [2]
    goal: np.ndarray  # [2]
    radius: float  # of the goal

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """left, right, bottom, top of the grid."""
        (rows, columns), half = self.walls.shape, self.unit / 2
        left, bottom = -self.offset - half
        return left, left + columns * self.unit, bottom, bottom + rows * self.unit


@dataclass(frozen=True)
class Walks:
    """Positions at each decision, per arm and episode, of the policy after `updates` updates."""

    maze: Maze
    updates: int
    paths: dict[str, list[np.ndarray]]  # arm's label -> per episode [C, S], positions first
    success: dict[str, np.ndarray]  # arm's label -> [episodes]

    def save(self, path: Path) -> None:
        """Write the walks; arms that the file already has of the same policy stay in it."""
        old = Walks.load(path)
        paths, success = self.paths, self.success
        if old is not None and old.updates == self.updates:
            paths, success = old.paths | paths, old.success | success
        arrays = {f"maze_{key}": np.asarray(value) for key, value in vars(self.maze).items()}
        arrays |= dict(updates=np.array(self.updates), labels=np.array(list(paths)))
        for i, label in enumerate(paths):
            arrays |= {f"xy_{i}": np.concatenate(paths[label]).astype(np.float32), f"success_{i}": success[label]}
            arrays[f"lengths_{i}"] = np.array([len(p) for p in paths[label]])
        with sealed_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @staticmethod
    def load(path: Path) -> Walks | None:
        """What `save` wrote, None if there is no such file."""
        if not os.path.lexists(path):
            return None
        x = read_npz(path, keys=None)
        try:
            maze = Maze(
                x["maze_walls"], float(x["maze_unit"]), x["maze_offset"], x["maze_goal"], float(x["maze_radius"])
            )
            labels = {str(label): i for i, label in enumerate(x["labels"])}
            paths = {label: _split(x[f"xy_{i}"], x[f"lengths_{i}"]) for label, i in labels.items()}
            success = {label: x[f"success_{i}"] for label, i in labels.items()}
            fits = (maze.walls.ndim, maze.offset.shape, maze.goal.shape) == (2, (2,), (2,)) and all(
                np.shape(success[label]) == (len(paths[label]),) for label in labels
            )
            if not fits or not all(v.dtype.kind in "biuf" for k, v in x.items() if k != "labels"):
                raise ValueError("shapes that do not fit")
            return Walks(maze, int(x["updates"]), paths, success)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}: holds no walks, it is damaged or of another version ({error})") from None


def _split(xy: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Positions [C, S] of each episode."""
    if xy.ndim != 2 or xy.shape[1] < 2 or lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != len(xy):
        raise ValueError("episodes of other lengths")
    return np.split(xy, np.cumsum(lengths)[:-1])
