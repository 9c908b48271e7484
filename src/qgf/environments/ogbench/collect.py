"""Make OGBench's datasets on the spot with the scripted oracles that ship in its wheel.

Every episode has its own seed, drawn from (seed, split, number), so that the result does not depend on how many
processes work on it. Finished episodes wait in NAME.partial/ until all are there: a killed collection goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.environments.ogbench.names import gymnasium, parse_name
from qgf.environments.vector import seed_globals
from qgf.errors import UserError, unknown
from qgf.files import atomic_path, write_text
from qgf.processes import cores, end_with_parent, worker_processes

Episode = dict[str, np.ndarray]
POINTMAZE_NOISE = 0.5

# Environment -> rows of the published training set; the kinds of data each family has.
PUBLISHED_ROWS = {"cube-triple": 3e6, "puzzle-4x5": 3e6, "cube-quadruple": 5e6, "puzzle-4x6": 5e6}
KINDS = {
    "pointmaze": ("navigate", "stitch"),
    "cube": ("play", "noisy"),
    "scene": ("play", "noisy"),
    "puzzle": ("play", "noisy"),
}
P_STACK = {"single": (0, 0), "double": (0, 0.25), "triple": (0.05, 0.35), "quadruple": (0.1, 0.5), "octuple": (0, 0.35)}


def _family(dataset: str) -> tuple[str, str]:
    """("cube", "play") of cube-single-play-v0; UserError where no oracle is at hand."""
    family, kind = dataset.split("-")[0], dataset.split("-")[-2]
    if family not in KINDS:
        raise UserError(f"{dataset}: no scripted oracle in the ogbench wheel (collectable: {', '.join(KINDS)})")
    if kind not in KINDS[family]:
        raise unknown(f"kind of {family} data", kind, KINDS[family])
    return family, kind


def episode_length(dataset: str) -> int:
    """Rows of one episode."""
    family, kind = _family(dataset)
    if family != "pointmaze":
        return 1001
    return 201 if kind == "stitch" else 2001 if "giant" in dataset else 1001


def published_episodes(dataset: str) -> int:
    """Training episodes of the published dataset."""
    rows = next((n for env, n in PUBLISHED_ROWS.items() if dataset.startswith(env)), 1e6)
    return round(rows / (episode_length(dataset) - 1))


def training_episodes(dataset: str, transitions: int | None) -> int:
    """Whole episodes that hold at least so many transitions, by default those of the published dataset."""
    return published_episodes(dataset) if transitions is None else -(-transitions // (episode_length(dataset) - 1))


def collect(
    name: str,
    transitions: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    directory: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write NAME.npz (at least `transitions`, default as published) and NAME-val.npz (a tenth more); their folder.

    Resumes an interrupted collection. `progress(done, total)` counts transitions. Raises UserError if the dataset is
    there already and `overwrite` is not set, or if the environment has no scripted oracle.
    """
    dataset = parse_name(name).dataset
    length = episode_length(dataset)
    train = training_episodes(dataset, transitions)
    if train < 1:
        raise UserError(f"transitions must be at least 1, got {transitions}")
    jobs = [("train", k) for k in range(train)] + [("val", k) for k in range(-(-train // 10))]
    folder = data_dir(directory)
    target = folder / f"{dataset}.npz"
    if target.exists() and not overwrite:
        raise UserError(f"{target} is there already; pass --overwrite to make it anew")
    partial = folder / f"{dataset}.partial"
    _claim(partial, dict(dataset=dataset, seed=seed))
    todo = [job for job in jobs if not _shard(partial, *job).exists()]
    done = len(jobs) - len(todo)
    progress(done * length, len(jobs) * length)
    with (
        worker_processes() as way,
        ProcessPoolExecutor(workers or len(cores()), get_context(way), initializer=end_with_parent) as pool,
    ):
        pending = [pool.submit(_collect_one, dataset, seed, split, k, str(partial)) for split, k in todo]
        try:
            for future in as_completed(pending):
                future.result()
                done += 1
                progress(done * length, len(jobs) * length)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for split, path in (("val", folder / f"{dataset}-val.npz"), ("train", target)):
        episodes = [read_npz(_shard(partial, *job)) for job in jobs if job[0] == split]
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **{key: np.concatenate([e[key] for e in episodes]) for key in episodes[0]})  # type: ignore[arg-type]
    shutil.rmtree(partial)
    return target


def _claim(partial: Path, plan: dict) -> None:
    """Create NAME.partial/, or make sure that what is in it belongs to the same collection."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{partial}: cannot be created ({error.strerror})") from error
    path = partial / "plan.json"
    if path.exists() and (found := json.loads(path.read_text(encoding="utf-8"))) != plan:
        raise UserError(f"{partial} holds a collection with other settings ({found}); delete it or use its seed")
    write_text(path, json.dumps(plan))


def _shard(partial: Path, split: str, k: int) -> Path:
    return partial / f"{split}-{k:05d}.npz"


def _collect_one(dataset: str, seed: int, split: str, k: int, partial: str) -> None:
    """Collect episode `k` of a split and write it where `collect` looks for it (in a worker process)."""
    family, kind = _family(dataset)
    entropy = [seed, ("train", "val").index(split), k]
    episode_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    seed_globals(episode_seed)
    rng = np.random.default_rng([*entropy, 1])
    env = _env(dataset)
    if family == "pointmaze":
        rows = list(_navigate(env, kind, rng, episode_seed))
    else:
        rows = _manipulate(env, family, kind, rng, episode_seed)
    with atomic_path(_shard(Path(partial), split, k)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **_stack(rows))  # type: ignore[arg-type]


def _stack(rows: list[Episode]) -> Episode:
    types: dict[str, type] = dict(terminals=bool, button_states=np.int64)
    return {key: np.array([row[key] for row in rows], types.get(key, np.float32)) for key in rows[0]}


@lru_cache(maxsize=1)
def _env(dataset: str):
    parsed = parse_name(dataset)
    options = {} if dataset.startswith("pointmaze") else dict(mode="data_collection")
    return gymnasium.make(parsed.env, terminate_at_goal=False, max_episode_steps=episode_length(dataset), **options)


def _navigate(env, kind: str, rng: np.random.Generator, seed: int) -> Iterator[Episode]:
    """Follow the maze's shortest path to random goals with Gaussian action noise; one row per step."""
    maze = env.unwrapped
    free, corners = _cells(maze.maze_map)

    def pick(cells):
        return tuple(cells[rng.integers(len(cells))])

    start = pick(free)
    goal = pick(corners)
    if kind == "stitch":
        steps_to = maze.get_oracle_subgoal(maze.ij_to_xy(start), maze.ij_to_xy(start))[1]
        near = np.argwhere(steps_to == 4)
        goal = pick(near) if len(near) else pick(np.argwhere(steps_to == steps_to.max()))
    obs, _ = env.reset(seed=seed, options=dict(task_info=dict(init_ij=start, goal_ij=goal)))
    done = False
    while not done:
        here = maze.get_xy()
        direction = maze.get_oracle_subgoal(here, maze.cur_goal_xy)[0] - here
        action = direction / (np.linalg.norm(direction) + 1e-6) + rng.normal(0, POINTMAZE_NOISE, 2)
        action = np.clip(action, -1, 1)
        following, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        yield _row(obs, action, done, info)
        if info["success"] and kind == "navigate":
            maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(pick(corners))))
        obs = following


def _cells(maze_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Free cells, and the free cells that are not straight corridors, [n, 2] each."""
    free = np.argwhere(maze_map == 0)
    up, down, left, right = (
        maze_map[free[:, 0] + i, free[:, 1] + j] == 0 for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))
    )
    corridor = (up & down & ~left & ~right) | (left & right & ~up & ~down)
    return free, free[~corridor]


def _manipulate(env, family: str, kind: str, rng: np.random.Generator, seed: int | None) -> list[Episode]:
    """Let an oracle reach one random target after another; episodes that leave the scene's table are drawn again."""
    oracles = _oracles(env, family, kind)
    size = env.spec.id.split("-")[1]
    while True:
        obs, info = env.reset(seed=seed)
        rows, heights, done = [], [], False
        p_stack = rng.uniform(*P_STACK.get(size, (0.5, 0.5)) if family == "cube" else (0.5, 0.5))
        noise = rng.uniform(0, 0.1) * np.array([1, 1, 1, 3, 10]) if kind == "noisy" else None
        p_random = 0 if noise is None else 0.2 if family == "puzzle" else 0.1
        oracle = oracles[info["privileged/target_task"]]
        oracle.reset(obs, info)
        while not done:
            if p_random and rng.uniform() < p_random:
                action = rng.uniform(-1, 1, 5)
            else:
                action = np.array(oracle.select_action(obs, info))
                action = action if noise is None else action + rng.normal(0, noise)
            action = np.clip(action, -1, 1)
            following, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            rows.append(_row(obs, action, done, info))
            heights.append(info["qpos"][14:17])
            if oracle.done:
                oracle_obs, oracle_info = env.unwrapped.set_new_target(p_stack=p_stack)
                oracle = oracles[oracle_info["privileged/target_task"]]
                oracle.reset(oracle_obs, oracle_info)
            obs = following
        if family != "scene" or _on_table(np.array(heights)):
            return rows
        seed = None  # go on with the same random stream


def _on_table(cube: np.ndarray) -> bool:
    """Whether the scene's cube [n, 3] stayed where it can be seen: on the table or in the drawer."""
    y, z = cube[:, 1], cube[:, 2]
    return not ((y >= 0.29).any() or ((y <= -0.3) & ((z < 0.06) | (z > 0.08))).any())


def _oracles(env, family: str, kind: str) -> dict:
    """One oracle per kind of target, with OGBench's published settings."""
    from ogbench.manipspace.oracles.markov import button_markov, cube_markov, drawer_markov, window_markov
    from ogbench.manipspace.oracles.plan import button_plan, cube_plan, drawer_plan, window_plan

    if kind == "play":
        common = dict(env=env, noise=0.1, noise_smoothing=0.5)
        classes = dict(
            cube=cube_plan.CubePlanOracle,
            button=button_plan.ButtonPlanOracle,
            drawer=drawer_plan.DrawerPlanOracle,
            window=window_plan.WindowPlanOracle,
        )
    else:
        common = dict(env=env, min_norm=0.4)
        classes = dict(
            cube=cube_markov.CubeMarkovOracle,
            button=button_markov.ButtonMarkovOracle,
            drawer=drawer_markov.DrawerMarkovOracle,
            window=window_markov.WindowMarkovOracle,
        )
    special: dict[str, dict] = {}
    if family == "puzzle":
        special["button"] = dict(gripper_always_closed=True)
    if family == "scene" and kind == "noisy":
        special["cube"] = dict(max_step=100)
    tasks = dict(cube=("cube",), puzzle=("button",), scene=tuple(classes))[family]
    return {task: classes[task](**common, **special.get(task, {})) for task in tasks}


def _row(obs, action, done: bool, info: dict) -> Episode:
    row = dict(observations=obs, actions=action, terminals=done, qpos=info["prev_qpos"], qvel=info["prev_qvel"])
    return row | ({"button_states": info["prev_button_states"]} if "prev_button_states" in info else {})
