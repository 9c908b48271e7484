"""What a step of OGBench's environments costs: as OGBench makes it, as it is played here, and in MuJoCo alone.

    python benchmarks/evaluator.py [--steps 400] [--check 2000]

Control steps per CPU second of one environment under smoothed random actions; MuJoCo alone repeats each step's substeps
from the same states; all are taken in turns. Last, the CPU seconds until an environment has begun its first episode: an
evaluation spends them once, as its lanes are forked from one. --check plays so many more steps in both and fails
unless observations, rewards, ends and infos are equal, bit for bit.
"""

import argparse
import warnings
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

warnings.simplefilter("ignore")

import gymnasium  # noqa: E402
import mujoco  # noqa: E402
import ogbench  # noqa: E402, F401  its environments are gymnasium's then
from ogbench.manipspace.envs.manipspace_env import ManipSpaceEnv  # noqa: E402

from qgf.environments.ogbench.making import made  # noqa: E402
from qgf.environments.ogbench.names import parse_name  # noqa: E402

NAMES = (
    "cube-single-play-singletask-task2", "cube-double-play", "scene-play-singletask-task2",
    "puzzle-3x3-play-singletask-task1", "puzzle-4x6-play", "pointmaze-medium-navigate-singletask-task1",
)  # fmt: skip


def theirs(name: str) -> gymnasium.Env:
    return gymnasium.make(parse_name(name).env)


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = process_time()
    result = function(*arguments)
    return process_time() - began, result


def start(env: gymnasium.Env, seed: int, box: gymnasium.Space | None = None) -> Any:
    """The first observation of an episode. `box`: what OGBench draws actions from, to settle the goal."""
    np.random.seed(seed)
    if box is not None:
        box.seed(seed)
    return env.reset(seed=seed)[0]


def actions(env: gymnasium.Env, steps: int, seed: int) -> np.ndarray:
    """Smoothed noise [steps, A], for robot arms often downwards, where things can be touched."""
    rng, out = np.random.default_rng(seed), np.zeros((steps, env.action_space.shape[0]))
    for k in range(1, steps):
        out[k] = 0.8 * out[k - 1] + 0.6 * rng.normal(size=out.shape[1])
    if out.shape[1] > 2:
        out[:, 2] -= 0.3 * (np.arange(steps) % 100 > 40)
    return out.clip(-1, 1)


def speeds(name: str, steps: int) -> tuple[float, float, float, float]:
    """Steps per CPU second: OGBench's, ours, ours with success alone in the infos, MuJoCo alone."""
    envs = theirs(name), made(parse_name(name)), made(parse_name(name), described=False)
    spent = np.zeros(4)
    for env in envs:
        start(env, 0)
    inner = envs[0].unwrapped
    model, data = inner.model, inner.data
    substeps = getattr(inner, "_n_steps", None) or inner.frame_skip
    alone, state = mujoco.MjData(model), mujoco.mjtState.mjSTATE_INTEGRATION
    for action in actions(envs[0], steps, 0):
        kept = np.empty(mujoco.mj_stateSize(model, state))
        mujoco.mj_getState(model, data, kept, state)
        for i, env in enumerate(envs):
            seconds, (*_, terminated, truncated, _) = timed(env.step, action)
            spent[i] += seconds
        kept_control = data.ctrl.copy()
        mujoco.mj_setState(model, alone, kept, state)
        alone.ctrl[:] = kept_control
        spent[3] += timed(mujoco.mj_step, model, alone, substeps)[0]
        if terminated or truncated:
            for env in envs:
                start(env, 1)
    return tuple(steps / spent)


def check(name: str, steps: int) -> None:
    a, b = theirs(name), made(parse_name(name))
    box = b.action_space
    ManipSpaceEnv.action_space = box  # OGBench's is another at every look, without a seed
    over, episode = True, 0
    for action in actions(a, steps, 1):
        if over:
            assert np.array_equal(*(start(env, episode, box) for env in (a, b))), name
            episode += 1
        x, y = a.step(action), b.step(action)
        assert np.array_equal(x[0], y[0]) and x[1:4] == y[1:4] and x[4].keys() == y[4].keys(), name
        assert all(np.array_equal(value, y[4][key]) for key, value in x[4].items()), name
        over = x[2] or x[3]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--check", type=int, default=0)
    given = parser.parse_args()
    columns = ("environment", "OGBench", "here, described", "here", "MuJoCo alone", "here / OGBench", "begun in")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in NAMES:
        begun = timed(lambda name=name: start(theirs(name), 0))[0]
        rates = speeds(name, given.steps)
        cells = [
            parse_name(name).env,
            *(f"{rate:,.0f}" for rate in rates),
            f"{rates[2] / rates[0]:.2f}",
            f"{begun:.2f} s",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if given.check:
            check(name, given.check)


if __name__ == "__main__":
    main()
