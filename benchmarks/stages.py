"""Where does guidance get stuck on scene's task 2, and does the critic know what has to come first?

    python benchmarks/stages.py RUN[,RUN...] --data-dir FOLDER [--episodes 50]

Task 2: drawer and window are open, each is locked by a button, the block lies where it belongs; both are to be closed
and locked again. Each half has four stages, locked (0), unlocked (1), closed (2), closed and locked (3, the goal). The
reward counts what is not as it should be, so that unlocking costs a point a step before closing can win one. For the
stages of both halves, at held-out states of the data: the mean Q of the best of 16 actions of the clone. For several
ways of acting, from the start: in how many episodes each stage was reached, the block was still in place at the end,
and all was done. Writes docs/results/hard/stages.csv, stages.md and stages.png; the runs are training seeds.
"""

import argparse
from pathlib import Path

import numpy as np
from choices import RESULTS
from matplotlib.figure import Figure
from runs import outcomes, scores_of, states_of

from qgf.environments.datasets import environment_of
from qgf.files import write_table, write_text
from qgf.pages import plots
from qgf.pages.tables import markdown
from qgf.training.run import Run

WAYS = {
    "none": dict(guide="none"),
    "best-of-4": dict(guide="none", best_of=4),
    "best-of-16": dict(guide="none", best_of=16),
    "qgf 0.5": dict(guide="qgf", strength=0.5),
    "qgf 1": dict(guide="qgf", strength=1.0),
}
STAGES = ("locked", "unlocked", "closed", "done")
BLOCK, CENTER, NEAR = np.array([0.35, -0.05, 0.02]), np.array([0.425, 0.0, 0.0]), 0.04  # OGBench's scene, its task 2
SAMPLES = 16


def stages(obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stages of drawer and window [..., 2] and whether the block is in place [...], of OGBench's observations."""
    unlocked = np.stack([obs[..., -11] > 0.5, obs[..., -7] > 0.5], axis=-1)  # of [state one-hot 2, position, speed]
    closed = np.stack([np.abs(obs[..., -4] / 18), np.abs(obs[..., -2] / 15)], axis=-1) <= NEAR
    block = np.linalg.norm(obs[..., 19:22] / 10 + CENTER - BLOCK, axis=-1) <= NEAR
    return np.where(closed, np.where(unlocked, 2, 3), np.where(unlocked, 1, 0)), block


def values(run: Run, data_dir: Path | None, n: int = 20_000) -> np.ndarray:
    """Mean Q [4, 4] of the best of the clone's actions, by the stages of drawer and window."""
    obs = np.asarray(states_of(run, data_dir, n))
    stage = stages(obs)[0]
    policy = run.policy().guided("none", best_of=SAMPLES)
    q = np.concatenate([np.asarray(policy(part, 0, info=True)[1].value) for part in np.array_split(obs, 8)])
    found = np.full((4, 4), np.nan)
    for i in range(4):
        for j in range(4):
            if (here := (stage == (i, j)).all(axis=1)).sum() >= 5:
                found[i, j] = q[here].mean()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    runs = [Run(Path(x)) for x in options.runs.split(",")]
    env = environment_of(runs[0].record["dataset"])
    assert env and "scene" in env and "task2" in env, "scene's task 2"
    rows = []
    for run in runs:
        ways = {name: run.policy().guided(**way) for name, way in WAYS.items()}
        for name, score in scores_of(run, ways, options.episodes).items():
            for k, (path, won) in enumerate(zip(score.paths, outcomes(score), strict=True)):
                stage, block = stages(path)
                most = stage.max(axis=0)
                told = dict(way=name, seed=str(run.config.seed), episode=str(k), solved=won)
                told |= dict(drawer=str(most[0]), window=str(most[1]), block=f"{block[-1]:d}")
                rows.append(told)
            print(name, run.directory.name, score.success.mean(), flush=True)
    folder = RESULTS / "hard"
    write_table(folder / "stages.csv", rows)
    lines = []
    for name in WAYS:
        mine = [row for row in rows if row["way"] == name]
        share = lambda told, mine=mine: f"{100 * np.mean([told(row) for row in mine]):.0f}"
        line = dict(way=name, episodes=str(len(mine)))
        for k, stage in enumerate(STAGES[1:], 1):
            for half in ("drawer", "window"):
                line[f"{half} {stage}"] = share(lambda row, half=half, k=k: int(row[half]) >= k)
        lines.append(
            line
            | {"block in place": share(lambda row: int(row["block"])), "solved": share(lambda row: int(row["solved"]))}
        )
    write_text(folder / "stages.md", markdown(lines))
    plots.save(picture([values(run, options.data_dir) for run in runs], runs), folder / "stages.png")


def picture(found: list[np.ndarray], runs: list[Run]) -> Figure:
    low, high = np.nanmin(found), np.nanmax(found)
    with plots.style():
        figure = Figure(figsize=(4 * len(found) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(found), squeeze=False)[0]
        for axis, q, run in zip(axes, found, runs, strict=True):
            image = axis.imshow(q, vmin=low, vmax=high, origin="lower")
            for i in range(4):
                for j in range(4):
                    if np.isfinite(q[i, j]):
                        dark = q[i, j] < (low + high) / 2
                        axis.text(j, i, f"{q[i, j]:.0f}", ha="center", va="center", color="white" if dark else "black")
            axis.set(xticks=range(4), yticks=range(4), xticklabels=STAGES, yticklabels=STAGES, xlabel="window")
            axis.set_title(f"training seed {run.config.seed}")
            axis.grid(False)
        axes[0].set(ylabel="drawer")
        figure.colorbar(image, ax=axes, label="Q of the best of 16", shrink=0.85)
    return figure


if __name__ == "__main__":
    main()
