"""How far from the goal a maze's critics think each place is: Q of the best of a cloned flow's samples, over the maze.

    python benchmarks/critic_maps.py NAME=RUN [NAME=RUN ...] --out FIGURE.png [--samples 16] [--spacing 0.25]

The runs are of one task of a point maze; the samples, the same for all critics, are those of the first run's flow. Q is
in environment steps, minus 1 for each, discounted.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from qgf.environments.family import maze_of
from qgf.environments.maze import Maze
from qgf.pages.plots import _figure, draw_maze, save, style
from qgf.training.run import Run
from qgf.training.trained import load_trained


def grid(maze: Maze, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions [I, J, 2] all over the maze, rows from its bottom, and which are not inside a wall."""
    left, right, bottom, top = maze.extent
    axes = (np.arange(low + spacing / 2, high, spacing) for low, high in ((left, right), (bottom, top)))
    xy = np.stack(np.meshgrid(*axes), axis=-1).astype(np.float32)
    column, row = np.moveaxis(np.round((xy + maze.offset) / maze.unit).astype(int), -1, 0)
    return xy, maze.walls[row, column] == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--spacing", type=float, default=0.25)
    options = parser.parse_args()
    if wrong := [run for run in options.runs if "=" not in run]:
        parser.error(f"{wrong[0]}: expected NAME=RUN")
    runs = dict(run.split("=", 1) for run in options.runs)
    trained = {name: load_trained(Run(Path(run)).policy_dirs()[0]) for name, run in runs.items()}
    first = next(iter(trained.values()))
    maze = maze_of(first.dataset)
    if maze is None:
        parser.error(f"{first.dataset} is not a point maze")
    xy, free = grid(maze, options.spacing)
    obs = np.repeat(xy[free], options.samples, axis=0)
    actions = first.policy()(obs, jax.random.key(0)).reshape(len(obs), -1)
    best = lambda one: np.max(jax.vmap(one.policy().critic)(obs, actions).reshape(-1, options.samples), axis=1)
    maps = {name: best(one) for name, one in trained.items()}
    low = min(values.min() for values in maps.values())
    with style():
        figure, axes = _figure(3 * len(maps) + 0.8, 3.2, ncols=len(maps), squeeze=False)
        for ax, (name, values) in zip(axes[0], maps.items(), strict=True):
            draw_maze(ax, maze)
            shown = np.full(free.shape, np.nan)
            shown[free] = values
            image = ax.imshow(shown, vmin=low, vmax=0, origin="lower", extent=maze.extent, zorder=2)
            ax.plot(*maze.goal, "*", color="white", mec="black", ms=13, zorder=3)
            ax.set_title(name)
        figure.colorbar(image, ax=axes, label="Q of the best sample", fraction=0.02, pad=0.01)
    save(figure, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
