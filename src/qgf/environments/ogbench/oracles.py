"""Episodes of OGBench's scripted oracles, with its published settings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Episode = dict[str, np.ndarray]
POINTMAZE_NOISE = 0.5
P_STACK = {"single": (0, 0), "double": (0, 0.25), "triple": (0.05, 0.35), "quadruple": (0.1, 0.5), "octuple": (0, 0.35)}


def navigate(env, kind: str, rng: np.random.Generator, seed: int) -> Iterator[Episode]:
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


def manipulate(env, family: str, kind: str, rng: np.random.Generator, seed: int | None) -> list[Episode]:
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
