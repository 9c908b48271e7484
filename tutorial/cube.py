"""Writes src/assets/cube.json and cube.webp: the small policy of a robot arm that demo D16 cuts open, and an episode.

The episode is the first that the policy, guided by QGF at the default strength, solves: `MOMENTS` of its decisions,
with what the policy saw and a picture of each, and the camera that took them, so that the page can draw into the pictures.

    qgf collect cube-single-play --transitions 100000
    qgf train cube-single-play-singletask-task2-v0 --steps 20000 --width 96 --depth 2 --out runs/cube
    MUJOCO_GL=egl python tutorial/cube.py runs/cube

and before the last, `qgf evaluate runs/cube --guide none qgf --episodes 20`: how many it solves goes along.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from qgf.environments import family_of
from qgf.environments.chunk import ChunkEnv
from qgf.errors import UserError
from qgf.method.policy import act_jit
from qgf.pages.tutorial import content
from qgf.training.run import Run
from qgf.training.trained import Trained, load_trained

ASSETS = Path(__file__).parent / "src/assets"
MOMENTS = 12
EPISODES = 40
SIZE = 240
"""Pixels of a picture's side."""
REACH = 0.05
"""Metres that an action of 1 moves the hand (OGBench's action range)."""


def main(run: str) -> None:
    trained = load_trained(Run(Path(run)).policy_dirs()[0])
    obs, pictures, camera = episode(trained)
    kept = np.linspace(0, len(obs) - 1, MOMENTS).round().astype(int)
    parts: dict[str, Any] = content(trained, obs[kept[[1, 5, 8]]], np.random.default_rng(0), run)
    parts |= dict(
        solved=solved(Path(run)),
        camera=camera,
        reach=REACH,
        moments=np.round(obs[kept], 6).tolist(),
        decisions=kept.tolist(),
    )
    (ASSETS / "cube.json").write_text(json.dumps(parts, separators=(",", ":")) + "\n", encoding="utf-8")
    strip = np.concatenate([pictures[k] for k in kept], axis=1)
    Image.fromarray(strip).save(ASSETS / "cube.webp", quality=45, method=6)


def solved(run: Path) -> dict[str, list[int]]:
    """[successes, episodes] of each guide that was played."""
    with open(run / "evaluation.csv", newline="", encoding="utf-8") as file:
        found = {row["guide"]: [int(row["successes"]), int(row["episodes"])] for row in csv.DictReader(file)}
    if not {"none", "qgf"} <= found.keys():
        raise UserError(f"{run}: none and qgf were not played: qgf evaluate {run} --guide none qgf --episodes 20")
    return found


def episode(trained: Trained) -> tuple[np.ndarray, list[np.ndarray], dict[str, Any]]:
    """Observations [decisions, S] and pictures [SIZE, SIZE, 3] of the first episode that is solved, and the camera."""
    name, policy = trained.dataset, trained.policy().guided("qgf", 1.0)
    env = family_of(name).make(name, SIZE)
    chunked = ChunkEnv(env, policy.horizon, name=name)
    for seed in range(EPISODES):
        seen, pictures, over, key = [], [], False, jax.random.key(seed)
        obs, _ = chunked.reset(seed=seed)
        while not over:
            seen.append(np.asarray(obs, float))
            pictures.append(env.render())
            key, now = jax.random.split(key)
            obs, _, terminated, truncated, _ = chunked.step(np.asarray(act_jit(policy, obs[None], now)[0][0]))
            over = terminated or truncated
        if terminated:
            return np.stack(seen), pictures, camera_of(env.unwrapped)
    raise UserError(f"{name}: none of {EPISODES} episodes was solved; train longer")


def camera_of(env: Any) -> dict[str, Any]:
    """What took the pictures: place, orientation [9] (row by row; it looks along its own -z), opening angle in degrees."""
    data, model = env._data, env._model
    index = model.camera("front").id
    return dict(
        place=data.cam_xpos[index].tolist(), turn=data.cam_xmat[index].tolist(), angle=float(model.cam_fovy[index])
    )


if __name__ == "__main__":
    main(sys.argv[1])
