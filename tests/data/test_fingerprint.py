"""A run knows its data again: where they lay, and what was in them."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import TASK
from qgf.data import Dataset
from qgf.data.fingerprint import fingerprint
from qgf.environments.datasets import dataset_of, load_dataset
from qgf.errors import Caution, UserError
from qgf.files import forget
from qgf.training.loop import train

MAZE = "pointmaze-medium-navigate-v0"


def change(folder):
    """Another number in one row of the file."""
    path = folder / f"{MAZE}.npz"
    arrays = dict(np.load(path))
    arrays["actions"][17] *= 0.5
    np.savez(path, **arrays)
    forget(path)


def copied(folder, place):
    shutil.copytree(folder, place)
    return place


def test_a_fingerprint_is_of_every_number_and_of_its_place(maze):
    known = fingerprint(maze)
    assert known == fingerprint(replace(maze, name="another", validation=None)) and len(known) == 16
    for name in ("observations", "actions", "rewards", "masks", "ends"):
        x = getattr(maze, name).copy()
        x.flat[-1] = not x.flat[-1] if x.dtype == bool else x.flat[-1] + 1e-3
        assert fingerprint(replace(maze, **{name: x})) != known
    swapped = replace(maze, rewards=maze.masks, masks=maze.rewards)
    assert len({known, fingerprint(swapped), fingerprint(replace(maze, rewards=None))}) == 3


def test_a_million_rows_take_less_than_a_second():
    n = 1_000_000
    dataset = Dataset("big", np.zeros((n, 28), np.float32), np.zeros((n, 5), np.float32), np.zeros(n, bool))
    began = time.process_time()
    fingerprint(dataset)
    assert time.process_time() - began < 1


def test_a_run_records_its_data_and_finds_them_again(tiny_run, maze, maze_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QGF_DATA", str(tmp_path))
    record = tiny_run.record
    assert record["data"] == dict(path=str((maze_folder / f"{MAZE}.npz").resolve()), fingerprint=fingerprint(maze))
    assert "data" not in json.loads((tiny_run.directory / "policy" / "config.json").read_text())
    found = dataset_of(record)
    assert (found.name, fingerprint(found), found.validation.transitions) == (TASK, fingerprint(maze), 1000)


def test_moved_data_are_found_in_the_folder_of_datasets_or_where_one_says(
    tiny_run, maze, maze_folder, tmp_path, monkeypatch
):
    place = copied(maze_folder, tmp_path / "there")
    record = tiny_run.record | dict(data=dict(tiny_run.record["data"], path=str(tmp_path / "gone.npz")))
    assert dataset_of(record, place).path == place / f"{MAZE}.npz"
    assert dataset_of(record, place / f"{MAZE}.npz").path == place / f"{MAZE}.npz"
    monkeypatch.setenv("QGF_DATA", str(place))
    assert fingerprint(dataset_of(record)) == fingerprint(maze)


def test_other_data_of_the_name_are_refused(tiny_run, maze, maze_folder, tmp_path):
    place = copied(maze_folder, tmp_path / "there")
    change(place)
    known, other = fingerprint(maze), fingerprint(load_dataset(TASK, place))
    with pytest.raises(UserError, match=f"other data .*fingerprint {other}, the run's {known}.*--data-dir"):
        dataset_of(tiny_run.record, place)
    old = {key: x for key, x in tiny_run.record.items() if key != "data"}
    assert fingerprint(dataset_of(old, place)) == other  # a run from before data were recorded


def test_a_run_is_not_resumed_with_other_data(maze, maze_folder, tiny, tmp_path):
    short = replace(tiny, steps=20, log_every=10, checkpoint_every=10)
    run = train(maze, short, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    place = copied(maze_folder, tmp_path / "there")
    moved = load_dataset(TASK, place)
    change(place)
    other = load_dataset(TASK, place)
    with pytest.raises(
        UserError, match=f"fingerprint {fingerprint(maze)} there, {fingerprint(other)} now.*--overwrite"
    ):
        train(other, replace(short, steps=30), run.directory)
    assert before == {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    train(moved, replace(short, steps=30), run.directory)  # the same, elsewhere
    assert Path(run.record["data"]["path"]).parent == place.resolve()


def test_a_file_is_found_from_another_folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    ends = np.arange(60) % 20 == 19
    arrays = dict(observations=rng.normal(size=(60, 3)), actions=rng.uniform(-1, 1, (60, 2)), terminals=ends)
    np.savez(tmp_path / "mine.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("mine.npz")
    record = dict(dataset="mine.npz", data=dict(path=str(dataset.path.resolve()), fingerprint=fingerprint(dataset)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert fingerprint(dataset_of(record)) == fingerprint(dataset)
    shutil.move(tmp_path / "mine.npz", tmp_path / "elsewhere")
    assert fingerprint(dataset_of(record, tmp_path / "elsewhere")) == fingerprint(dataset)
    shutil.move(tmp_path / "elsewhere" / "mine.npz", tmp_path / "other.npz")  # and called otherwise
    for found in (dataset_of(record, tmp_path / "other.npz"), load_dataset("mine.npz", tmp_path / "other.npz")):
        assert (found.name, fingerprint(found)) == ("mine.npz", fingerprint(dataset))
    assert load_dataset("gone.hdf5", tmp_path / "other.npz").name == "gone.hdf5"


def test_short_episodes_are_left_out_with_a_word(tiny, tmp_path):
    rng = np.random.default_rng(0)
    ends = np.zeros(64, bool)
    ends[[30, 33, 63]] = True
    rewards = np.ones(64, np.float32)
    observations, actions = rng.normal(size=(64, 3)), rng.uniform(-1, 1, (64, 2))
    dataset = Dataset("mine", observations.astype(np.float32), actions.astype(np.float32), ends, rewards)
    with pytest.warns(Caution, match=r"^mine: 1 of 3 episodes are shorter than the action chunk of 5 and are left out"):
        train(dataset, replace(tiny, steps=10, log_every=10, checkpoint_every=10), tmp_path / "run")
