"""Making OGBench's datasets with the scripted oracles."""

import json
import os
import shutil

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import processes
from qgf.environments.datasets import load_dataset
from qgf.environments.ogbench.collect import collect, episode_length, training_episodes
from qgf.environments.ogbench.names import parse_name
from qgf.environments.ogbench.oracles import _cells, _on_table
from qgf.errors import UserError
from qgf.files import SUMS

MAZE = "pointmaze-medium-navigate-v0"
FILES = {SUMS, f"{MAZE}.npz", f"{MAZE}-val.npz"}


def contents(folder, name=MAZE):
    """All arrays of the training and of the validation file."""
    return [dict(np.load(folder / f"{name}{suffix}.npz")) for suffix in ("", "-val")]


def assert_same_files(a, b, name=MAZE):
    for x, y in zip(contents(a, name), contents(b, name), strict=True):
        assert x.keys() == y.keys()
        for key in x:
            assert x[key].dtype == y[key].dtype
            assert_array_equal(x[key], y[key])


def test_the_files_are_as_ogbench_writes_them(maze_folder):
    assert set(os.listdir(maze_folder)) == FILES
    train, validation = contents(maze_folder)
    for arrays, episodes in ((train, 4), (validation, 1)):
        n = episodes * 1001
        shapes = {key: (x.shape, x.dtype) for key, x in arrays.items()}
        single = np.dtype(np.float32)
        assert shapes == dict(
            observations=((n, 2), single),
            actions=((n, 2), single),
            terminals=((n,), np.dtype(bool)),
            qpos=((n, 2), single),
            qvel=((n, 2), single),
        )
        assert_array_equal(np.flatnonzero(arrays["terminals"]), 1001 * np.arange(1, episodes + 1) - 1)
        assert np.abs(arrays["actions"]).max() <= 1
        assert_array_equal(arrays["qpos"], arrays["observations"])  # the state before the step
        np.testing.assert_array_less(np.linalg.norm(np.diff(arrays["qpos"], axis=0), axis=1)[:1000], 0.5)


def test_the_walk_follows_its_actions_and_visits_the_maze(maze_folder):
    train, _ = contents(maze_folder)
    moves, actions = np.diff(train["qpos"], axis=0), train["actions"][:-1]
    inside = ~train["terminals"][:-1]
    assert np.mean(np.sum(moves * actions, axis=1)[inside] > 0) > 0.8
    starts = train["qpos"][[0, 1001, 2002, 3003]]
    assert len(np.unique(starts.round(2), axis=0)) == 4
    cells = np.unique((train["qpos"] / 4).round(), axis=0)
    assert len(cells) > 15  # of 26 free ones


def test_the_result_does_not_depend_on_the_number_of_workers(maze_folder, tmp_path):
    collect(MAZE, 4000, workers=1, directory=tmp_path)
    assert_same_files(maze_folder, tmp_path)


def test_a_larger_collection_starts_with_the_smaller_one_and_another_seed_differs(maze_folder, tmp_path):
    collect(MAZE, 5000, workers=2, directory=tmp_path / "more")
    collect(MAZE, 1000, seed=1, workers=1, directory=tmp_path / "other")
    first, more, other = (
        contents(folder)[0]["observations"] for folder in (maze_folder, tmp_path / "more", tmp_path / "other")
    )
    assert_array_equal(more[:4004], first)
    assert not np.array_equal(more[4004:], first[:1001])
    assert len(other) == 1001
    assert np.abs(other - first[:1001]).max() > 0.1


def test_the_validation_episodes_are_not_training_episodes(maze_folder):
    train, validation = contents(maze_folder)
    assert not any(
        np.array_equal(validation["actions"][:50], train["actions"][k : k + 50]) for k in range(0, 4004, 1001)
    )


COLLECT = """
import sys
from qgf.environments.ogbench.collect import collect
if __name__ == "__main__":
    collect("pointmaze-medium-navigate", 4000, workers=1, directory=sys.argv[1])
"""


def test_a_killed_collection_goes_on_where_it_stopped(maze_folder, tmp_path):
    partial = tmp_path / f"{MAZE}.partial"
    program = processes.start(COLLECT, tmp_path)
    try:
        processes.wait_until(lambda: len(list(partial.glob("train-*.npz"))) >= 2, program)
        processes.kill(program)
    finally:
        processes.clear(program)
    assert not FILES & set(os.listdir(tmp_path))
    whole = list(partial.glob("*-0*.npz"))
    assert 2 <= len(whole) <= 5
    counted = []
    collect(MAZE, 4000, workers=1, directory=tmp_path, progress=lambda done, total: counted.append((done, total)))
    assert counted == [(k * 1001, 5 * 1001) for k in range(len(whole), 6)]
    assert_same_files(maze_folder, tmp_path)
    assert not partial.exists()


def test_the_workers_of_a_killed_collection_end(tmp_path):
    program = processes.start(COLLECT.replace("4000", "400000"), tmp_path)
    try:
        processes.wait_until(lambda: len(list(tmp_path.glob("*.partial/train-*.npz"))) >= 1, program)
        processes.kill(program)
        assert processes.session_ends(program, seconds=4)
    finally:
        processes.clear(program)


def test_lost_shards_are_made_again(maze_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda path, **how: None)  # keep the shards
    collect(MAZE, 4000, workers=2, directory=tmp_path)
    monkeypatch.undo()
    partial = (tmp_path / f"{MAZE}.gone").rename(tmp_path / f"{MAZE}.partial")
    assert sorted(p.name for p in partial.glob("*.npz")) == [*(f"train-0000{k}.npz" for k in range(4)), "val-00000.npz"]
    for name in ("train-00001.npz", "val-00000.npz"):
        (partial / name).unlink()
    (tmp_path / f"{MAZE}.npz").unlink()
    counted = []
    collect(MAZE, 4000, workers=1, directory=tmp_path, progress=lambda done, total: counted.append(done))
    assert counted == [3 * 1001, 4 * 1001, 5 * 1001]
    assert_same_files(maze_folder, tmp_path)


def test_shards_of_another_seed_are_not_mixed_in(tmp_path):
    partial = tmp_path / f"{MAZE}.partial"
    partial.mkdir()
    (partial / "plan.json").write_text(json.dumps(dict(dataset=MAZE, seed=3)))
    with pytest.raises(UserError, match=r"other settings.*'seed': 3"):
        collect(MAZE, 1000, seed=0, directory=tmp_path)


def test_a_finished_dataset_is_not_overwritten_unasked(maze_folder, tmp_path):
    before = (maze_folder / f"{MAZE}.npz").read_bytes()
    with pytest.raises(UserError, match=r"is there already; pass --overwrite"):
        collect(MAZE, 1000, directory=maze_folder)
    assert (maze_folder / f"{MAZE}.npz").read_bytes() == before
    shutil.copy(maze_folder / f"{MAZE}.npz", tmp_path)
    collect(MAZE, 1000, workers=1, directory=tmp_path, overwrite=True)
    assert [len(x["terminals"]) for x in contents(tmp_path)] == [1001, 1001]


@pytest.mark.parametrize(
    "name, said",
    [
        ("pointmaze-medium-explore-v0", "unknown kind of pointmaze data 'explore'.*known: navigate, stitch"),
        ("cube-single-plai-v0", "unknown kind of cube data 'plai': did you mean 'play'"),
        ("pointmaze-medum-navigate-v0", "unknown environment.*did you mean 'pointmaze-medium-navigate"),
        ("antmaze-large-navigate-v0", "no scripted oracle"),
    ],
)
def test_what_cannot_be_collected_is_refused(tmp_path, name, said):
    with pytest.raises(UserError, match=said):
        collect(name, 1000, directory=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("transitions", [0, -5])
def test_no_transitions_are_refused(tmp_path, transitions):
    with pytest.raises(UserError, match=f"transitions must be at least 1, got {transitions}"):
        collect(MAZE, transitions, directory=tmp_path)


def test_a_folder_that_cannot_be_made_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        collect(MAZE, 1000, directory=tmp_path / "file" / "data")


@pytest.mark.parametrize(
    "name, rows, episodes",
    [
        ("pointmaze-medium-navigate-v0", 1001, 1000),
        ("pointmaze-giant-navigate-v0", 2001, 500),
        ("pointmaze-large-stitch-v0", 201, 5000),
        ("pointmaze-giant-stitch-v0", 201, 5000),
        ("cube-single-play-v0", 1001, 1000),
        ("cube-triple-noisy-v0", 1001, 3000),
        ("cube-quadruple-play-v0", 1001, 5000),
        ("scene-play-v0", 1001, 1000),
        ("puzzle-4x5-play-v0", 1001, 3000),
        ("puzzle-4x6-noisy-v0", 1001, 5000),
    ],
)
def test_published_sizes(name, rows, episodes):
    parsed = parse_name(name)
    assert (episode_length(parsed), training_episodes(parsed)) == (rows, episodes)


def test_stitch_episodes_are_short_and_stay_near(tmp_path):
    collect("pointmaze-medium-stitch-v0", 2000, workers=2, directory=tmp_path)
    train, validation = contents(tmp_path, "pointmaze-medium-stitch-v0")
    assert_array_equal(np.flatnonzero(train["terminals"]), 201 * np.arange(1, 11) - 1)
    assert len(validation["terminals"]) == 201


def test_goals_are_free_cells_that_are_not_straight_corridors():
    rows = ["1111111", "1000001", "1011101", "1011101", "1000001", "1111111"]
    free, corners = _cells(np.array([[int(c) for c in row] for row in rows]))
    assert len(free) == 14
    assert {tuple(c) for c in corners} == {(1, 1), (1, 5), (4, 1), (4, 5)}


@pytest.mark.parametrize(
    "position, kept",
    [
        ((0.4, 0.0, 0.02), True),
        ((0.4, 0.28, 0.02), True),
        ((0.4, 0.29, 0.02), False),
        ((0.4, 0.40, 0.07), False),
        ((0.4, -0.29, 0.02), True),
        ((0.4, -0.30, 0.07), True),  # in the drawer
        ((0.4, -0.30, 0.059), False),
        ((0.4, -0.35, 0.081), False),
    ],
)
def test_scene_episodes_whose_cube_leaves_the_table_are_rejected(position, kept):
    fine = np.tile([0.4, 0.0, 0.02], (5, 1))
    assert _on_table(fine)
    fine[3] = position
    assert _on_table(fine) == kept


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """One training episode of each kind of cube-single data."""
    folder = tmp_path_factory.mktemp("cubes")
    for kind in ("play", "noisy"):
        collect(f"cube-single-{kind}-v0", 1000, workers=2, directory=folder)
    return {kind: contents(folder, f"cube-single-{kind}-v0") for kind in ("play", "noisy")}


def test_manipulation_data_holds_the_simulators_state(cubes):
    env = gymnasium.make("cube-single-v0").unwrapped
    env.reset()
    sizes = dict(observations=env.observation_space.shape[0], actions=5, qpos=env.model.nq, qvel=env.model.nv)
    env.close()
    assert (sizes["qpos"], sizes["qvel"]) == (21, 20)
    for arrays in (*cubes["play"], *cubes["noisy"]):
        assert {key: x.shape for key, x in arrays.items() if key != "terminals"} == {
            k: (1001, d) for k, d in sizes.items()
        }
        assert_array_equal(np.flatnonzero(arrays["terminals"]), [1000])
        assert all(np.isfinite(x).all() for x in arrays.values()) and np.abs(arrays["actions"]).max() <= 1


def test_the_oracle_moves_the_cube(cubes):
    for train, _ in cubes.values():
        assert np.ptp(train["qpos"][:, 14:16], axis=0).max() > 0.05
        assert train["qpos"][:, 16].max() > 0.06  # lifted


def test_noisy_data_takes_random_actions_and_play_data_does_not(cubes):
    jumps = {kind: np.abs(np.diff(x[0]["actions"], axis=0)).mean() for kind, x in cubes.items()}
    assert jumps["noisy"] > 2 * jumps["play"]
    assert not np.array_equal(cubes["play"][0]["qpos"][500:], cubes["noisy"][0]["qpos"][500:])


def test_manipulation_rewards_are_ogbenchs(cubes, tmp_path):
    for arrays, suffix in zip(cubes["play"], ("", "-val"), strict=True):
        np.savez(tmp_path / f"cube-single-play-v0{suffix}.npz", **arrays)
    dataset = load_dataset("cube-single-play-singletask-task2-v0", tmp_path, download=False)
    env = gymnasium.make("cube-single-singletask-task2-v0").unwrapped
    env.reset()
    distance = np.linalg.norm(cubes["play"][0]["qpos"][:, 14:17] - env._data.mocap_pos[0], axis=1)
    env.close()
    assert_array_equal(dataset.rewards, (distance <= 0.04) - 1.0)
    assert_array_equal(dataset.masks, 1.0 - (distance <= 0.04))
