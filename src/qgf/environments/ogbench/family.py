"""OGBench's environments and datasets behind their names."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qgf.data.actions import UNIT, Range
from qgf.environments.family import LANES, Counted, Family, Label
from qgf.environments.maze import Maze
from qgf.environments.ogbench.making import made
from qgf.environments.ogbench.names import GOALS, known_names, looks_like, parse_name, split_name
from qgf.environments.simulators import quiet, simulator
from qgf.errors import UserError

if TYPE_CHECKING:
    import gymnasium

LIGHT_LANES = 50
"""A point maze is light (25 MB); a robot's meshes take half a gigabyte each."""
INFO = ("qpos", "qvel", "button_states", "oracle_reps")


class OGBench(Family):
    """Single-task names, and names with goals (oraclerep), of which one run serves all five."""

    name = "ogbench"

    def owns(self, name: str) -> bool:
        return looks_like(name)

    def check(self, name: str) -> str:
        return parse_name(name).full

    def names(self) -> Iterable[str]:
        return [*known_names(), *known_names("singletask"), *known_names("oraclerep")]

    def make(self, name: str, size: int | None = None) -> gymnasium.Env:
        return self._make(name, **(dict(width=size, height=size) if size and not split_name(name).visual else {}))

    def maker(self, name: str) -> Callable[[], gymnasium.Env]:
        return partial(self._make, name, described=False)

    def seeded(self, name: str) -> bool:
        return True

    def forks(self, name: str) -> bool:
        """Not with what draws: each process needs its own."""
        return not split_name(name).visual

    def _make(self, name: str, **options: Any) -> gymnasium.Env:
        parsed = parse_name(name)
        env = made(parsed, **options, **(dict(use_oracle_rep=True) if parsed.goals else {}))
        if not parsed.goals:
            return env
        from qgf.environments.ogbench.goals import GoalEnv  # a wrapper needs gymnasium

        with quiet():
            return GoalEnv(env, parsed.task)

    def actions(self, name: str) -> Range:
        return UNIT

    def lanes(self, name: str) -> int:
        parsed = split_name(name)
        return LIGHT_LANES if parsed.group == "pointmaze" and not parsed.visual else LANES

    def maze(self, name: str) -> Maze | None:
        if split_name(name).group != "pointmaze" or split_name(name).visual:
            return None
        env = _started(self.make(name)).unwrapped
        offset = -np.array(env.ij_to_xy((0, 0)), float)
        return Maze(env.maze_map, float(env._maze_unit), offset, np.array(env.cur_goal_xy, float), env._goal_tol)

    # Tasks

    def tasks(self, name: str) -> list[str]:
        parsed = parse_name(name)
        several = parsed.goals and parsed.task is None
        return [parsed.with_task(k) for k in GOALS] if several else [parsed.full]

    def goal(self, name: str) -> str:
        parsed = split_name(name)
        return f"task {parsed.task}" if parsed.goals and parsed.task else ""

    def task(self, name: str, number: int) -> str:
        """Of pointmaze-medium-navigate a single task, of pointmaze-medium-navigate-oraclerep one of its goals."""
        return split_name(name).with_task(number)

    def trained(self, name: str) -> str:
        parsed = split_name(name)
        return parsed.with_task(None) if parsed.goals else parsed.full

    # Data

    def file(self, name: str) -> str:
        return split_name(name).dataset

    def shards(self, name: str) -> str:
        return f"{split_name(name).full}.shards"

    def labeller(self, name: str) -> Label:
        """Rewards and masks of a single task, or the goal that each state is, from OGBench's own functions."""
        parsed, relabel = parse_name(name), simulator("ogbench.relabel_utils")
        labelled = parsed.single_task or parsed.goals
        env = _started(self.make(parsed.with_states)) if labelled else None

        def label(arrays: dict[str, Any], path: Path) -> dict[str, Any]:
            if labelled and "qpos" not in arrays:
                what = "goals" if parsed.goals else "rewards"
                raise UserError(f"{path}: missing key 'qpos', needed to compute the {what} of {parsed.full}")
            if labelled:
                with quiet(), _same_numbers():
                    (relabel.add_oracle_reps if parsed.goals else relabel.relabel_dataset)(parsed.env, env, arrays)
            kept = {key: x for key, x in arrays.items() if key not in INFO}
            return kept | (dict(goals=arrays["oracle_reps"]) if "oracle_reps" in arrays else {})

        return label

    def download(self, name: str, folder: Path) -> bool:
        """Fetch NAME.npz and NAME-val.npz from OGBench's server; False if it cannot be reached or has them not."""
        if split_name(name).large:
            return False
        utils, file = simulator("ogbench.utils"), self.file(name)
        try:
            urllib.request.urlopen(f"{utils.DATASET_URL}/{file}.npz", timeout=10).close()
            utils.download_datasets([file], str(folder))
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
        return True

    def source(self, name: str) -> str:
        from qgf.environments.ogbench.collect import COLLECTABLE

        parsed = parse_name(name)
        if parsed.large:
            files = f"a folder {parsed.dataset} of numbered files"
            made = f", or made with: qgf collect {parsed.dataset}" if parsed.group in COLLECTABLE else ""
            return f"it is {files}, to be fetched from OGBench's server{made}"
        if parsed.group in COLLECTABLE:
            return f"make it with: qgf collect {parsed.dataset.rsplit('-', 1)[0]}"
        return f"fetch it from OGBench's server; there is no scripted oracle for {parsed.group}"

    def transitions(self, name: str, wanted: int) -> int:
        from qgf.environments.ogbench.collect import episode_length, training_episodes

        parsed = parse_name(name)
        return training_episodes(parsed, wanted) * (episode_length(parsed) - 1)

    def collect(
        self,
        name: str,
        transitions: int | None = None,
        seed: int = 0,
        workers: int | None = None,
        directory: str | Path | None = None,
        overwrite: bool = False,
        progress: Counted = lambda done, total: None,
    ) -> Path:
        from qgf.environments.ogbench.collect import collect

        return collect(name, transitions, seed, workers, directory, overwrite, progress)


@contextmanager
def _same_numbers() -> Iterator[None]:
    """Leave NumPy's global generator as it was: the simulators draw from it when they reset."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def _started(env: gymnasium.Env) -> gymnasium.Env:
    with quiet(), _same_numbers():
        env.reset(seed=0)
    return env
