"""One real artefact of every kind that a command reads, made by what makes it, in a folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

import formats
from qgf.data.npz import write_npz
from qgf.environments.datasets import load_dataset
from qgf.environments.maze import Maze, Walks
from qgf.files import seal, write_csv, write_json
from qgf.laboratory.analysis import TABLES
from qgf.playing.arm import Arm
from qgf.playing.ledger import Ledger
from qgf.playing.scores import Score, write_scores
from qgf.playing.tune import Tuned, save
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.methods.bc import BC

STUDY = """
episodes = 4
seed = 0

[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
seeds = [0, 1]
transitions = 1000

[train.base]
method = "bc"
critic = "iql"
steps = 40
width = 8
expectile = 0.9

[tuning]
rungs = [2, 2]
seed = 1

[method.qgf]
guide = "qgf"
strength = [0.5, 1.0]
best_of = 1

[method."best of 4"]
guide = "none"
best_of = 4
"""
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nX = 1\r\n\r\n"
VALUES = {str: "qgf", int: 1, int | None: 1}
"""What stands in the cells of an analysis."""


def make(folder: Path) -> Path:
    """Every artefact below `folder`: run/, mine/, study/, partial/, request/ and data/."""
    data = folder / "data"
    data.mkdir(parents=True)
    walk = formats.ogbench_npz(data)
    write_npz(data / "compact.npz", load_dataset(walk))
    walk.unlink()
    formats.d4rl_npz(data).rename(data / "transitions.npz")
    seal(data / "transitions.npz")
    for write in (formats.d4rl, formats.robomimic, formats.maniskill, formats.minari, formats.lerobot):
        write(data)
    formats.diffusion_policy(data)
    make_run(folder / "run", data / "compact.npz").policy(guide="qgf", strength=0.5).save(folder / "mine")
    make_study(folder / "study")
    (folder / "request").mkdir()
    (folder / "request" / "request.http").write_bytes(REQUEST)
    write_json(folder / "partial" / "plan.json", dict(dataset="pointmaze-medium-navigate-v0", seed=0))
    return folder


def make_run(directory: Path, data: Path):
    config = TrainConfig(
        steps=20, batch_size=8, horizon=2, log_every=10, checkpoint_every=10, method=BC(width=4, depth=1)
    )
    run = train(load_dataset(data), config, directory, evaluate=lambda policy: 0.5, eval_every=10)
    arms = [Arm("none"), Arm("qgf", 1.0), Arm("qgf", weight=0.3, best_of=4)]
    scores = [score(arm, k) for k, arm in enumerate(arms)]
    write_scores(directory / "evaluation.csv", scores)
    maze = Maze(np.eye(3, dtype=int), 4.0, np.array([4.0, 4.0]), np.array([1.0, 2.0]), 0.5)
    paths = {arm.label: scores[k].paths for k, arm in enumerate(arms)}
    Walks(maze, 20, paths, {arm.label: scores[k].success for k, arm in enumerate(arms)}).save(directory / "walks.npz")
    rows = [x.row(train="", split="held-out") for x in scores]
    Ledger(directory / "tuning" / "episodes.csv").add(*rows)
    trials = {arm: scores[k].success for k, arm in enumerate(arms)}
    reports = {name: (row.arm, row) for name, row in zip(("none", "chosen", "default"), rows, strict=True)}
    tuned = Tuned(arms[1], trials, reports, dict(none=0.5, default=1.0), ["guidance is negligible"])
    save(tuned, directory / "tuning" / "tuned.json")
    for name, kind in TABLES.items():
        values = {field.name: VALUES.get(field.type, 0.25) for field in msgspec.structs.fields(kind)}
        write_csv(directory / "analysis" / f"{name}.csv", [kind(**values)] * 2, kind.__struct_fields__)
    return run


def make_study(folder: Path) -> None:
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    ledger = Ledger(folder / "episodes.csv")
    for k, arm in enumerate((Arm("none"), Arm("qgf", 1.0), Arm("none", best_of=4))):
        ledger.add(score(arm, k).row(train="base", split="held-out"))
    write_json(folder / "offline.json", {"pointmaze-medium-navigate-v0, base, seed 0": 0.5, "another": 1})


def score(arm: Arm, k: int) -> Score:
    """What an arm did in four episodes that nobody played."""
    rng = np.random.default_rng(k)
    numbers = {name: rng.uniform(0, 1, 4) for name in ("returns", "lengths", "value", "ratio", "skipped")}
    paths = [rng.normal(size=(3, 2)) for _ in range(4)]
    env = "pointmaze-medium-navigate-singletask-task1-v0"
    return Score(
        env, 0, rng.random(4) < 0.5, **numbers, seconds=1.5, decision_ms=0.25, weight=0.1, gflop=0.01, arm=arm,
        updates=20, paths=paths,
    )  # fmt: skip
