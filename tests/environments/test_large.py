"""Data of 100 million transitions: many files under one name, collected one by one, labelled part by part."""

from unittest import mock

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from conftest import TASK
from qgf.data.stored import Stored
from qgf.environments import family_of
from qgf.environments.converting import convert
from qgf.environments.datasets import environment_of, load_dataset
from qgf.environments.ogbench import collect as collecting
from qgf.environments.ogbench.names import LARGE, known_names, parse_name
from qgf.errors import UserError
from storm.commands import collected

NAME = "pointmaze-medium-navigate-100m"
LARGE_TASK = TASK.replace("navigate", "navigate-100m")
GOALS = f"{NAME}-oraclerep-v0"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """What `maze_folder` holds, in files of two episodes."""
    folder = tmp_path_factory.mktemp("large")
    with collecting_in_twos():
        assert collecting.collect(NAME, 4000, directory=folder) == folder / f"{NAME}-v0"
    return folder


def collecting_in_twos():
    return mock.patch.multiple(collecting, FILE_ROWS=2000, _collected=collected)


def test_the_names_are_of_the_same_environments():
    for name in LARGE:
        known = parse_name(f"{name}-100m-singletask-task2")
        assert known.large and known.dataset == f"{name}-100m-v0"
        assert known.env == parse_name(f"{name}-singletask-task2").env
        assert family_of(known.full).task(f"{name}-100m", 2) == known.full and environment_of(known.full) == known.full
    assert {f"{name}-100m-v0" for name in LARGE} <= set(known_names())
    assert collecting.training_episodes(parse_name("scene-play-100m")) == 100_000


def test_files_are_collected_one_by_one_and_a_killed_collection_goes_on(large, maze_folder):
    folder = large / f"{NAME}-v0"
    names = [f"pointmaze-medium-navigate-v0-{part}" for part in ("000-val.npz", "000.npz", "001.npz")]
    assert sorted(path.name for path in folder.glob("*.npz")) == names and not (folder / "partial").exists()
    parts = [dict(np.load(folder / name)) for name in names[1:]]
    whole = dict(np.load(maze_folder / "pointmaze-medium-navigate-v0.npz"))
    for key, x in whole.items():
        assert_array_equal(np.concatenate([part[key] for part in parts]), x)
    before = (folder / names[1]).stat().st_mtime_ns
    with collecting_in_twos():
        with pytest.raises(UserError, match="is there already"):
            collecting.collect(NAME, 4000, directory=large)
        with pytest.raises(UserError, match="holds a collection with other settings"):
            collecting.collect(NAME, 5000, seed=1, directory=large)
        content = (folder / names[2]).read_bytes()
        (folder / names[2]).unlink()
        collecting.collect(NAME, 4000, directory=large)
    assert (folder / names[2]).read_bytes() == content and (folder / names[1]).stat().st_mtime_ns == before


@pytest.mark.parametrize("name", [LARGE_TASK, GOALS])
def test_a_task_s_rewards_and_goals_are_those_of_the_data_in_memory(name, large, maze_folder):
    with pytest.raises(UserError, match=f"converted once: qgf data {name} --convert .*{name}.shards --data-dir"):
        load_dataset(name, large)
    convert(name, large / f"{name}.shards", large)
    stored, there = load_dataset(name, large), load_dataset(name.replace("-100m", ""), maze_folder)
    assert isinstance(stored, Stored) and stored.name == name and stored.goal_dim == there.goal_dim
    whole = stored.whole()
    for field in ("observations", "actions", "ends", "rewards", "masks", "goals"):
        assert_array_equal(getattr(whole, field), getattr(there, field), field)
    assert stored.validation.transitions == there.validation.transitions
    assert load_dataset(large / f"{name}.shards").name == name  # whose environment is known


def test_where_there_are_none_what_to_do_is_said(tmp_path):
    with pytest.raises(
        UserError, match=r"no such dataset.* a folder cube-double-play-100m-v0 of numbered files, .*collect"
    ):
        load_dataset("cube-double-play-100m-singletask-task1-v0", tmp_path)
