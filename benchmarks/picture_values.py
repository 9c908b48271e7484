"""What critics that see a maze from above make of its places: V by the number of cells to the goal.

    python benchmarks/picture_values.py NAME=RUN [NAME=RUN ...] [--data-dir DIR] [--states 400]

The runs are of one task of a visual point maze, the states some of its data's. Prints mean and deviation of V, in
rewards of -1 a step, over the states of each distance.
"""

import argparse
from collections import deque
from pathlib import Path

import numpy as np

from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.environments.family import maze_of
from qgf.environments.maze import Maze
from qgf.environments.ogbench.names import split_name
from qgf.training.run import Run


def distances(maze: Maze) -> np.ndarray:
    """Cells from every cell to the goal's, of the maze's shape, -1 in walls."""
    column, row = np.round((maze.goal + maze.offset) / maze.unit).astype(int)
    found = np.full(maze.walls.shape, -1)
    found[row, column] = 0
    todo = deque([(row, column)])
    while todo:
        i, j = todo.popleft()
        for cell in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if maze.walls[cell] == 0 and found[cell] < 0:
                found[cell] = found[i, j] + 1
                todo.append(cell)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--states", type=int, default=400)
    options = parser.parse_args()
    if wrong := [run for run in options.runs if "=" not in run]:
        parser.error(f"{wrong[0]}: expected NAME=RUN")
    runs = {name: Run(run) for name, run in (given.split("=", 1) for given in options.runs)}
    name = split_name(next(iter(runs.values())).trained().dataset)
    maze = maze_of(name.with_states)
    if maze is None:
        parser.error(f"{name.full} is not a point maze")
    arrays = read_npz(data_dir(options.data_dir) / f"{name.dataset}.npz", ("observations", "qpos"))
    rows = np.sort(np.random.default_rng(0).choice(len(arrays["qpos"]), options.states, replace=False))
    column, row = np.round((arrays["qpos"][rows] + maze.offset) / maze.unit).astype(int).T
    far = distances(maze)[row, column]
    values = {label: np.asarray(run.v(dict(image=arrays["observations"][rows]))) for label, run in runs.items()}
    print(f"{'cells':>5} {'states':>7} " + " ".join(f"{label:>16}" for label in values))
    for cells in np.unique(far):
        mine = [x[far == cells] for x in values.values()]
        print(f"{cells:>5} {len(mine[0]):>7} " + " ".join(f"{x.mean():>8.2f} ± {x.std():<5.2f}" for x in mine))


if __name__ == "__main__":
    main()
