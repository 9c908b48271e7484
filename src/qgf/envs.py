"""Environments by name: what an OGBench name means, and vector environments that play chunks of actions."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import numpy as np

from qgf.errors import UserError, unknown
from qgf.processes import worker_processes

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GLFW complains on every machine without a display
        import gymnasium
        import ogbench  # noqa: F401  (registers its environments)
except ImportError as error:
    raise UserError(f"environments need {error.name}: pip install 'qgf[ogbench]'") from error

from gymnasium.vector import AsyncVectorEnv, AutoresetMode

warnings.filterwarnings("ignore", module="glfw")  # MuJoCo asks for a display again when it first renders
gymnasium.logger.min_level = gymnasium.logger.ERROR  # precision warnings of the simulators' spaces

KINDS = ("singletask", "oraclerep")
TASKS = 5
"""OGBench has five goals in every environment."""
LANES, LIGHT_LANES = 16, 50
"""Episodes in flight. Fixed rather than read off the machine, so that results do not depend on its cores."""


class EnvName(NamedTuple):
    """An OGBench name taken apart, e.g. cube-single-play-singletask-task2-v0 or cube-single-play-oraclerep-v0.

    To OGBench's oraclerep names, whose episodes have one of five goals each, come those of one goal,
    cube-single-play-oraclerep-task2-v0.
    """

    full: str
    env: str  # gymnasium id, cube-single-singletask-task2-v0
    dataset: str  # file name, cube-single-play-v0
    single_task: bool
    goals: bool = False


def parse_name(name: str) -> EnvName:
    """Take an OGBench name apart. Raises UserError with the nearest known name if there is no such environment."""
    name = name if re.search(r"-v\d+$", name) else f"{name}-v0"
    parts = name.split("-")
    kind = next((kind for kind in KINDS if kind in parts), "")
    if kind:
        at = parts.index(kind)
        env, dataset = "-".join(parts[: at - 1] + parts[at:]), "-".join(parts[:at] + parts[-1:])
    else:
        env, dataset = "-".join(parts[:-2] + parts[-1:]), name
    if env not in gymnasium.registry:
        raise unknown("environment", name, _known_names(kind))
    return EnvName(name, env, dataset, kind == "singletask", kind == "oraclerep")


def tasks_of(name: str) -> list[str]:
    """The names of all goals of an oraclerep name, or the name itself if it is of one task."""
    parsed = parse_name(name)
    base, version = parsed.full.rsplit("-", 1)
    whole = parsed.goals and base.endswith("-oraclerep")
    return [f"{base}-task{k}-{version}" for k in range(1, TASKS + 1)] if whole else [parsed.full]


def _known_names(kind: str) -> list[str]:
    names = []
    for env in gymnasium.registry:
        base, *rest = re.split(r"-(?=singletask-task|oraclerep|v\d)", env, maxsplit=1)
        of = next((of for of in KINDS if f"-{of}-" in env), "")
        if rest and of == kind and re.match("pointmaze|cube|scene|puzzle", base):
            names += [f"{base}-{kind}-{rest[0]}" for kind in (("navigate",) if "maze" in base else ("play",))]
    return names


def seed_globals(seed: int) -> None:
    """Seed NumPy's global generator: OGBench's mazes and oracles draw from it."""
    np.random.seed(seed % 2**32)


class GoalEnv(gymnasium.Wrapper):
    """An environment that shows its goal: observation = (state, oracle representation of the episode's goal).

    `task` is one of OGBench's goals, 1 to 5; None: another in every episode, drawn with its seed.
    """

    def __init__(self, env: gymnasium.Env, task: int | None = None):
        super().__init__(env)
        self.task = task
        state = np.random.get_state()  # only a reset tells the size of a goal
        shape = self.reset()[0].shape
        np.random.set_state(state)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float64)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, info = self.env.reset(seed=seed, options=dict(task_id=self.task) if self.task else {})
        self._goal = np.asarray(info["goal"], float)
        return self._with_goal(obs), info

    def step(self, action):
        obs, *rest = self.env.step(action)
        return self._with_goal(obs), *rest

    def _with_goal(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(obs, float), self._goal])


def _goal_env(env: str, task: int | None = None, **options) -> GoalEnv:
    return GoalEnv(gymnasium.make(env, use_oracle_rep=True, **options), task)


def _register_goal_envs() -> None:
    """An id for each environment with its goals, and for each goal, as OGBench has them for single tasks."""
    for env in list(gymnasium.registry):
        if re.match(r"(pointmaze|antmaze|humanoidmaze|cube|scene|puzzle)-(?!.*singletask)", env):
            base, version = env.rsplit("-", 1)
            for task in (None, *range(1, TASKS + 1)):
                name = f"{base}-oraclerep-{version}" if task is None else f"{base}-oraclerep-task{task}-{version}"
                gymnasium.register(name, entry_point=_goal_env, kwargs=dict(env=env, task=task))


_register_goal_envs()


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose step takes a chunk of actions [H, A], played open loop until the episode ends.

    Returns the summed reward, and in `info` whether the task succeeded and how many actions were played. After the
    end of its episode it stands still until it is reset.
    """

    def __init__(self, env: gymnasium.Env, horizon: int):
        super().__init__(env)
        box = env.action_space
        self.action_space = gymnasium.spaces.Box(np.tile(box.low, (horizon, 1)), np.tile(box.high, (horizon, 1)))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self._last = np.zeros(self.observation_space.shape, np.float32)
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            seed_globals(seed)
        obs, _ = self.env.reset(seed=seed)
        self._over, self._last = False, obs.astype(np.float32)
        return self._last, {}

    def step(self, action):
        total, steps, success, terminated, truncated = 0.0, 0, False, False, False
        for one in action if not self._over else ():
            obs, reward, terminated, truncated, info = self.env.step(one)
            total, steps, success = total + float(reward), steps + 1, success or bool(info.get("success", False))
            self._last, self._over = obs.astype(np.float32), terminated or truncated
            if self._over:
                break
        return self._last, total, terminated, truncated, dict(success=success, steps=steps)


def lanes_of(env_id: str) -> int:
    """How many episodes to play at a time: a maze is light (25 MB), a robot's meshes take half a gigabyte each."""
    return LIGHT_LANES if env_id.startswith("pointmaze") else LANES


def make_vector_env(env_id: str, horizon: int, lanes: int | None = None) -> AsyncVectorEnv:
    """`lanes` (default `lanes_of`) processes, each with one chunked environment; episodes are started one by one with
    a reset mask.
    """
    lanes = lanes or lanes_of(env_id)
    with worker_processes() as way:
        return AsyncVectorEnv(
            [lambda: ChunkEnv(gymnasium.make(env_id), horizon)] * lanes,
            context=way,
            autoreset_mode=AutoresetMode.DISABLED,
        )
