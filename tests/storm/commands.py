"""The commands that write, each on a folder of its own: what has to be there first, and its arguments."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import ClassVar, NamedTuple
from unittest import mock

import numpy as np

import brief  # noqa: F401  every kill is played to its end
from qgf.cli.main import main

ENV = "pointmaze-medium-navigate"
TASK = f"{ENV}-singletask-task1-v0"
SMALL = "--width 16 --depth 1 --batch-size 16"
TINY = f"""
[[environment]]
name = "{ENV}"
tasks = [1]
seeds = [0]
[train.tiny]
width = 16
depth = 1
batch_size = 16
log_every = 20
horizon = 50
"""
"""What studies train, at the end of which settings of their own follow."""
STUDY = f"""
episodes = 1
[tuning]
rungs = [1]
{TINY}
steps = 40
checkpoint_every = 20
[method.qgf]
strength = [0.5, 1]
[method.offline]
strength = [0.5, 2]
tune = "offline"
"""


class Command(NamedTuple):
    """`arguments` as on the command line, in whose folder `first` ran."""

    arguments: str
    first: str = ""
    again: str = ""
    """What the command says with status 2 when it had done all: a file that is there is not written anew."""


TRAIN = f"train data.npz --out run --steps 60 --log-every 20 --checkpoint-every 20 --keep 2 {SMALL}"
MAZE = f"{TRAIN.replace('data.npz', TASK).replace('steps 60', 'steps 20')} --data-dir . --horizon 50"
PLAY = "--strength 1 2 --episodes 1"
COMMANDS = {
    "train": Command(TRAIN),
    "train again": Command(f"{TRAIN} --overwrite", TRAIN.replace("steps 60", "steps 40")),
    "collect": Command(f"collect {ENV} --transitions 2000 --data-dir new", again="is there already"),
    "convert": Command("data data.npz --convert new.npz", again="is there already"),
    "convert to shards": Command("data data.npz --convert new", again="is there already"),
    "train through a window": Command(
        f"{TRAIN.replace('data.npz', 'new')} --memory 6KB", "data data.npz --convert new"
    ),
    "export": Command("export run --step 40", TRAIN),
    "evaluate": Command(f"evaluate run --guide none qgf {PLAY}", f"{MAZE}; evaluate run --guide ood --episodes 1"),
    "tune": Command("tune run --strength 1 2 --rungs 1 --episodes 1", MAZE),
    "analyse": Command("analyse run --guide qgf --updates 20 --states 8 --best-of 1 2 --data-dir .", MAZE),
    "report": Command("report run", f"{MAZE}; evaluate run {PLAY}"),
    "compare": Command("compare study.toml --out out --data-dir . --jobs 1"),
}


def prepare(name: str, folder: Path, data: Path) -> None:
    """Make the folder in which a command runs; `data` holds a small maze dataset."""
    folder.mkdir()
    for path in data.iterdir():
        shutil.copy(path, folder)
    (folder / "study.toml").write_text(STUDY)
    random = np.random.default_rng(0)
    for file, n in (("data.npz", 300), ("data-val.npz", 100)):
        steps = dict(observations=random.normal(size=(n, 2)), actions=random.uniform(-1, 1, (n, 2)))
        np.savez(folder / file, **steps, rewards=-np.ones(n), terminals=np.arange(n) % 20 == 19)
    for line in filter(None, COMMANDS[name].first.split("; ")):
        status, said = call(line, folder)
        assert status == 0, said


def call(line: str, folder: Path) -> tuple[int, str]:
    """Status and last line of a command called in a folder."""
    back, said = os.getcwd(), StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(said):
            main(line.split())
    except SystemExit as ended:
        return int(ended.code or 0), said.getvalue().strip()
    finally:
        os.chdir(back)
    return 0, ""


# What would take time without writing anything: processes for environments, and what a clock says


class Lanes:
    """The part of `vector.Lanes` that is used, in this process."""

    made: ClassVar[dict[tuple, Lanes]] = {}

    def __init__(self, name: str, horizon: int, lanes: int):
        from qgf.environments import family_of
        from qgf.environments.chunk import ChunkEnv

        self.num_envs = lanes
        self.envs = [ChunkEnv(family_of(name).make(name), horizon) for _ in range(lanes)]
        self.single_action_space, self.single_observation_space = (
            self.envs[0].action_space,
            self.envs[0].observation_space,
        )
        space = self.single_observation_space
        self.observation_space = mock.Mock(shape=(lanes, *space.shape), dtype=space.dtype)

    def reset(self, *, seed, options):
        for env, one, starts in zip(self.envs, seed, options["reset_mask"], strict=True):
            if starts:
                env.reset(seed=one)
        return np.stack([env._last for env in self.envs]), {}

    def step(self, actions):
        obs, rewards, terminated, truncated, infos = zip(*map(_step, self.envs, actions), strict=True)
        told = {key: np.array([info[key] for info in infos]) for key in infos[0]}
        return np.stack(obs), np.array(rewards), np.array(terminated), np.array(truncated), told

    def close(self):
        pass


def _step(env, action):
    return env.step(action)


def lanes(name: str, horizon: int, number: int | None = None, keys=(), rule: str = "") -> Lanes:
    key = (name, horizon, number)
    if key not in Lanes.made:
        Lanes.made[key] = Lanes(name, horizon, number or 1)
    return Lanes.made[key]


def collected(dataset, seed, todo, partial, workers) -> Iterator[None]:
    """`collect._collected` in this process."""
    from qgf.environments.ogbench.collect import _collect_one

    for split, k in todo:
        _collect_one(dataset, seed, split, k, str(partial))
        yield


def ticking() -> Callable[[], float]:
    """A clock on which every question takes a second."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    return clock


@contextmanager
def alone() -> Iterator[None]:
    """No other process is started, and no clock is asked."""
    with (
        mock.patch("qgf.environments.vector.make_vector_env", lanes),
        mock.patch("qgf.environments.ogbench.collect._collected", collected),
        mock.patch("qgf.playing.episodes.perf_counter", ticking()),
        mock.patch("qgf.laboratory.cost.perf_counter", ticking()),
    ):
        yield
