"""What a family answers about its names, and that asking changes nothing."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from qgf.environments import FAMILIES, Family, family_of
from qgf.environments.family import find_family, maze_of
from qgf.environments.ogbench.names import known_names, parse_name, split_name
from qgf.environments.vector import make_vector_env
from qgf.errors import UserError
from qgf.plugins import use

OGBENCH = FAMILIES["ogbench"]
EXAMPLES = Path(__file__).parents[2] / "examples" / "own"
CUBE, MAZE = "cube-single-play", "pointmaze-medium-navigate"


@pytest.mark.parametrize("form", [None, "singletask", "oraclerep"])
def test_every_known_name_is_of_an_environment(form):
    names = known_names(form)
    assert len(names) == len(set(names)) > 40
    for name in names:
        parsed = parse_name(name)
        assert parsed.full == name and family_of(name) is OGBENCH
        assert (parsed.single_task, parsed.goals) == (form == "singletask", form == "oraclerep")


def test_an_ogbench_name_taken_apart():
    found = parse_name("puzzle-4x5-noisy-singletask-task3")
    assert found == (
        "puzzle-4x5-noisy-singletask-task3-v0", "puzzle", "puzzle-4x5-singletask-task3-v0", "puzzle-4x5-noisy-v0",
        "noisy", True, False, 3, False, False,
    )  # fmt: skip
    assert parse_name("scene-play-singletask").env == "scene-singletask-v0"
    assert parse_name("antsoccer-arena-navigate-v0").env == "antsoccer-arena-v0"


def test_what_studies_tables_and_pictures_ask():
    one = f"{CUBE}-singletask-task2-v0"
    assert (OGBENCH.task(CUBE, 2), OGBENCH.trained(one), OGBENCH.goal(one), OGBENCH.tasks(one)) == (one, one, "", [one])
    goal = f"{CUBE}-oraclerep-task2-v0"
    assert OGBENCH.task(f"{CUBE}-oraclerep", 2) == goal
    assert (OGBENCH.trained(goal), OGBENCH.goal(goal)) == (f"{CUBE}-oraclerep-v0", "task 2")
    assert OGBENCH.file(one) == OGBENCH.file(goal) == f"{CUBE}-v0"
    assert (OGBENCH.lanes(one), OGBENCH.lanes(MAZE)) == (16, 50)
    assert (OGBENCH.transitions(CUBE, 1), OGBENCH.transitions("pointmaze-large-stitch", 201)) == (1000, 400)
    assert maze_of(one) is None and maze_of("runs/data.npz") is None and maze_of("never heard of") is None
    assert maze_of(f"{MAZE}-singletask-task1-v0").walls.shape == (8, 8)


@pytest.mark.parametrize(
    "name, said",
    [
        ("pointmaze-medium-singletask-navigate-v0", "did you mean 'pointmaze-medium-.*singletask"),
        ("pointmaz-medium-navigate-v0", "did you mean 'pointmaze-medium-navigate-v0'"),
        ("cube-single-play-singletask-task9-v0", "did you mean 'cube-single-play-singletask-task"),
        ("cube-single-play-oraclerep-task0-v0", "did you mean 'cube-single-play-oraclerep-task"),
        ("pointmaze-medium-v0", "did you mean 'pointmaze-medium-"),
        ("visual-cube-single-play-singletask-task9-v0", "did you mean .cube-single-play-singletask-task|visual-cube"),
        ("powderworld-easy-play", "its actions are discrete"),
        ("cube-quadruple-play-100m-singletask-task9-v0", "did you mean 'cube-quadruple-play-100m-singletask-task"),
        ("Never-v0", "unknown environment 'Never-v0'.* names in all"),
        ("no_such_module:Never-v0", "module no_such_module cannot be imported"),
        ("os.path:Never-v0", "unknown environment 'os.path:Never-v0'"),
        ("CartPole-v1", r"CartPole-v1 has discrete actions Discrete\(2\)"),
        ("FrozenLake-v1", r"FrozenLake-v1 has discrete actions Discrete\(4\)"),
    ],
)
def test_names_that_cannot_be_played_are_one_true_line(name, said):
    with pytest.raises(UserError, match=said) as caught:
        family = family_of(name)
        family.check(name)
        family.make(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_name_suggested_for_a_wrong_one_is_right():
    for wrong in ("pointmaze-medium-singletask-navigate-v0", "antmaze-larg-navigate", "cube-singel-play-oraclerep"):
        with pytest.raises(UserError) as caught:
            family_of(wrong).check(wrong)
        parse_name(str(caught.value).split("did you mean '")[1].split("'")[0])


@pytest.mark.usefixtures("forget")
def test_a_family_of_ones_own_is_asked_first():
    class Mine(Family):
        name = "mine"

        def owns(self, name):
            return name.startswith("cube-mine")

        def make(self, name, size=None):
            pytest.fail("nothing is played")

    FAMILIES["mine"] = mine = Mine()
    assert family_of("cube-mine-1") is mine and family_of(CUBE) is OGBENCH
    assert (mine.task("cube-mine-1", 1), mine.trained("cube-mine-1"), mine.file("cube-mine-1")) == ("cube-mine-1",) * 3
    with pytest.raises(UserError, match="there is no task 2"):
        mine.task("cube-mine-1", 2)
    with pytest.raises(UserError, match=r"nothing that collects data.*put cube-mine-1\.npz there"):
        mine.collect("cube-mine-1")
    with pytest.raises(UserError, match="derive one and add an instance"):
        FAMILIES["mine2"] = type("Mine2", (), dict(name="mine2"))()


@pytest.mark.usefixtures("forget")
def test_the_example_of_a_family_is_played_by_workers():
    use(EXAMPLES / "family.py")
    assert family_of("hill-7-v0").name == "hill" and find_family("mountain-7-v0") is None
    envs = make_vector_env("hill-7-v0", 5, 2)
    try:
        envs.reset(seed=[1, 2], options=dict(reset_mask=np.ones(2, bool)))
        played = [envs.step(np.zeros((2, 5, 1), np.float32))[4] for _ in range(2)]
        assert [list(info["steps"]) for info in played] == [[5, 5], [2, 2]]
        assert all(info["known"].all() for info in played)
    finally:
        envs.close()


STATE = """
import json, os, sys, warnings
import numpy, filelock  # which have filters of their own
state = lambda: (dict(os.environ), [str(x) for x in warnings.filters], vars(sys.modules["__main__"]).get("__spec__"))
before = state()
import qgf.environments, qgf.environments.datasets, qgf.environments.maze, qgf.environments.vector
import qgf.environments.ogbench.collect, qgf.environments.ogbench.family, qgf.environments.gym
after = state()
heavy = [name for name in ("gymnasium", "ogbench", "mujoco", "glfw", "jax") if name in sys.modules]
print(json.dumps([before == after, heavy]))
"""
MISSING = """
import sys
import tempfile
sys.modules |= dict.fromkeys(("gymnasium", "ogbench", "mujoco"))
from qgf.environments import family_of
from qgf.errors import UserError
from qgf.plugins import use
for name in ("cube-single-play", "CartPole-v1"):
    try:
        family_of(name).check(name)
    except UserError as error:
        print(error)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_environments_changes_nothing():
    assert json.loads(run(STATE)) == [True, []]


def test_without_simulators_only_playing_needs_them():
    missing = run(MISSING).splitlines()
    assert len(missing) == 2 and all("pip install 'qgf[ogbench]'" in line for line in missing)
    assert split_name(CUBE).dataset == f"{CUBE}-v0"


def test_making_environments_leaves_this_process_as_it_was():
    """Neither the program, nor the environment variables, warnings, or gymnasium's registry and log level."""
    family_of(MAZE).check(MAZE)  # OGBench's own ids are known from here on
    main, state = sys.modules["__main__"], []
    for _ in range(2):
        program = {name: vars(main).get(name) for name in ("__spec__", "__file__", "__name__")}
        known = (program, dict(os.environ), list(gymnasium.registry), gymnasium.logger.min_level)
        state.append(known)
        if len(state) == 1:
            envs = make_vector_env(f"{MAZE}-oraclerep-task1-v0", 5, 2)
            assert (envs.num_envs, envs.single_observation_space.shape) == (2, (4,))
            envs.close()
            family_of(MAZE).make(f"{MAZE}-singletask-task1-v0").close()
    assert state[0] == state[1]


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate-v0", "pointmaze-medium-navigate-oraclerep-v0"])
def test_a_maze_leaves_no_file_and_none_open(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handles = lambda: len(os.listdir("/proc/self/fd"))
    family_of(name).make(name).close()  # what is loaded once
    before = handles()
    for _ in range(3):
        env = family_of(name).make(name)
        env.reset(seed=0)
        env.close()
    assert os.listdir(tmp_path) == [] and handles() == before
