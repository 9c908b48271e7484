"""How far from its goal does a maze's critic still know the way?

    python benchmarks/way.py "NAME=RUN,RUN..." ... --data-dir FOLDER [--states 2048] [--bins 12]

The runs of a name are training seeds of one task of a point maze. At free places all over the maze, by their distance
to the goal along the shortest way (Dijkstra on a grid of 8 neighbours, in chunks at the agent's full speed): how often
Q prefers a chunk at full speed along that way to the one straight back, the cosine of grad Q at the cloned flow's
actions, summed over the chunk, with the way, and with the beeline to the goal, that of two seeds' gradients, and the
mean Q of the flow's best of 16. Writes docs/results/hard/way.csv and way.png: a column a name, with a map of the
cosine and of the gradient's direction, of the first of its seeds.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from choices import RESULTS
from critic_maps import grid
from matplotlib.figure import Figure
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from qgf.environments.datasets import dataset_of
from qgf.environments.family import maze_of
from qgf.environments.maze import Maze
from qgf.files import write_table
from qgf.pages import plots
from qgf.training.run import Run

SPACING, SAMPLES = 0.25, 16
TOLD = ("prefers", "cosine", "beeline", "agreement", "value")


class Map(NamedTuple):
    """What a picture shows of one run."""

    maze: Maze
    places: np.ndarray  # [N, 2]
    cosine: np.ndarray  # [N] of the gradient with the shortest way
    direction: np.ndarray  # [N, 2] of the gradient


def ways(maze: Maze, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Free places [N, 2], their distance to the goal [N] and the direction [N, 2] of where the shortest way is after
    the distance `reach`.
    """
    xy, free = grid(maze, SPACING)
    number = np.full(free.shape, -1)
    number[free] = np.arange(free.sum())
    rows, columns, lengths = [], [], []
    for i, j in ((0, 1), (1, 0), (1, 1), (1, -1)):  # not past the corner of a wall
        there, beside, above = (np.roll(number, shift, (0, 1)) for shift in ((-i, -j), (0, -j), (-i, 0)))
        linked = np.minimum(np.minimum(number, there), np.minimum(beside, above)) >= 0
        linked[len(linked) - i :] = linked[:, linked.shape[1] - j :] = False
        rows, columns = [*rows, number[linked]], [*columns, there[linked]]
        lengths += [np.full(linked.sum(), SPACING * np.hypot(i, j))]
    n = int(free.sum())
    graph = coo_matrix((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), (n, n))
    places = xy[free]
    goal = int(np.argmin(np.linalg.norm(places - maze.goal, axis=1)))
    distance, before = dijkstra(graph.tocsr(), directed=False, indices=goal, return_predecessors=True)
    at = np.arange(n)
    for _ in range(round(reach / SPACING)):
        at = np.where(before[at] >= 0, before[at], at)
    toward = places[at] - places
    known = np.isfinite(distance) & (distance > reach)
    return places[known], distance[known], (toward / np.linalg.norm(toward, axis=1, keepdims=True).clip(1e-9))[known]


def measured(name: str, runs: list[Run], n: int, bins: int, data_dir: Path | None) -> tuple[list[dict[str, str]], Map]:
    trained = [run.trained() for run in runs]
    maze = maze_of(trained[0].dataset)
    assert maze is not None, "a point maze"
    data, horizon = dataset_of(runs[0].record, data_dir), runs[0].config.horizon
    steps = np.linalg.norm(np.diff(data.observations[:, :2], axis=0), axis=1)
    speed = float(np.quantile(steps[steps < maze.unit / 2], 0.99))  # in a step; jumps are between episodes
    places, distance, toward = ways(maze, reach=maze.unit / 2)
    some = np.random.default_rng(0).permutation(len(places))[:n]
    places, chunks, toward = places[some].astype(np.float32), distance[some] / (speed * horizon), toward[some]
    along = np.tile(toward, horizon).astype(np.float32)
    many = np.repeat(places, SAMPLES, axis=0)
    actions = np.asarray(trained[0].policy().guided("none")(many, jax.random.key(0))).reshape(len(many), -1)
    directions, found = [], {}
    for k, one in enumerate(trained):
        q = one.policy().critic
        value = lambda obs, a, q=q: np.asarray(jax.vmap(q)(jnp.asarray(obs), jnp.asarray(a)))
        g = np.asarray(jax.vmap(jax.grad(q, argnums=1))(jnp.asarray(many), jnp.asarray(actions)))
        directions.append(g.reshape(len(places), SAMPLES, horizon, 2).sum(axis=2))
        found[k, "prefers"] = value(places, along) > value(places, -along)
        found[k, "cosine"] = cosine(directions[k], toward[:, None]).mean(axis=1)
        found[k, "beeline"] = cosine(directions[k], (maze.goal - places)[:, None]).mean(axis=1)
        found[k, "value"] = value(many, actions).reshape(len(places), SAMPLES).max(axis=1)
    pairs = [cosine(directions[i], directions[j]).mean(axis=1) for i in range(len(runs)) for j in range(i)]
    agreement = np.mean(pairs, axis=0) if pairs else np.full(len(places), np.nan)
    rows = []
    for low, high in pairwise(np.quantile(chunks, np.linspace(0, 1, bins + 1))):
        here = (chunks >= low) & (chunks <= high)
        for k, run in enumerate(runs):
            told = {column: (found | {(k, "agreement"): agreement})[k, column][here].mean() for column in TOLD}
            place = dict(task=name, seed=str(run.config.seed), chunks=f"{chunks[here].mean():.1f}")
            rows.append(place | {column: f"{x:.3f}" for column, x in told.items()})
    return rows, Map(maze, places, found[0, "cosine"], directions[0].mean(axis=1))


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sum(x * y, axis=-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)).clip(1e-12)


def picture(rows: list[dict[str, str]], maps: dict[str, Map]) -> Figure:
    lines = dict(
        prefers=("o-", "C0", "Q prefers the way to going back"), cosine=("s-", "C1", "cosine of grad Q with the way"),
        beeline=("^:", "C2", "with the beeline"),
    )  # fmt: skip
    with plots.style():
        figure = Figure(figsize=(4.4 * len(maps), 6), layout="constrained")
        axes = figure.subplots(2, len(maps), squeeze=False, height_ratios=(1.25, 1))
        for (above, below), (name, one) in zip(axes.T, maps.items(), strict=True):
            plots.draw_maze(above, one.maze)
            shown = above.scatter(*one.places.T, c=one.cosine, cmap="RdBu", vmin=-1, vmax=1, s=3, zorder=3)
            few = np.random.default_rng(0).permutation(len(one.places))[:200]
            arrows = one.direction[few] / np.linalg.norm(one.direction[few], axis=1, keepdims=True)
            above.quiver(*one.places[few].T, *arrows.T, zorder=4, scale=35, width=0.004)
            above.plot(*one.maze.goal, "*", color="white", mec="black", ms=13, zorder=5)
            above.set_title(name)
            mine = [row for row in rows if row["task"] == name]
            for seed in dict.fromkeys(row["seed"] for row in mine):
                x = [float(row["chunks"]) for row in mine if row["seed"] == seed]
                for column, (kind, colour, label) in lines.items():
                    y = [float(row[column]) for row in mine if row["seed"] == seed]
                    below.plot(x, y, kind, ms=3, color=colour, label=label if seed == mine[0]["seed"] else None)
            below.axhline(0, color="0.8", lw=1, zorder=0)
            below.set(xlabel="chunks to the goal, at full speed", ylim=(-0.55, 1.05))
        figure.colorbar(shown, ax=axes[0, -1], label="cosine of grad Q with the shortest way", shrink=0.8)
        axes[1, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="+", metavar="NAME=RUN,RUN...")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--states", type=int, default=2048)
    parser.add_argument("--bins", type=int, default=12)
    options = parser.parse_args()
    rows, maps = [], {}
    for task in options.tasks:
        name, runs = task.split("=")
        found = measured(name, [Run(Path(x)) for x in runs.split(",")], options.states, options.bins, options.data_dir)
        rows += found[0]
        maps[name] = found[1]
    print(*(" ".join(f"{k} {x}" for k, x in row.items()) for row in rows), sep="\n")
    write_table(RESULTS / "hard" / "way.csv", rows)
    plots.save(picture(rows, maps), RESULTS / "hard" / "way.png")


if __name__ == "__main__":
    main()
