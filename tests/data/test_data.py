"""Reading, checking and cutting datasets."""

import urllib.error
import urllib.request
from itertools import pairwise

import numpy as np
import ogbench
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from ogbench.utils import load_dataset as ogbench_load

from conftest import TASK
from qgf.data import Dataset
from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError


def arrays(lengths=(6, 9), seed=0, **changes):
    """Episodes of so many rows in the file format, rewards and masks included."""
    rng, n = np.random.default_rng(seed), sum(lengths)
    terminals = np.zeros(n, bool)
    terminals[np.cumsum(lengths) - 1] = True
    made = dict(
        observations=rng.normal(size=(n, 3)).astype(np.float32),
        actions=rng.uniform(-1, 1, (n, 2)).astype(np.float32),
        terminals=terminals,
        rewards=rng.normal(size=n).astype(np.float32),
        masks=(rng.uniform(size=n) > 0.2).astype(np.float32),
    )
    return {key: value for key, value in (made | changes).items() if value is not None}


def spoilt(key, row, value):
    x = arrays()[key].copy()
    x[row] = value
    return {key: x}


FAULTS = {
    "no observations": (dict(observations=None), ["observations", "missing", "actions, terminals"]),
    "no actions": (dict(actions=None), ["actions", "missing"]),
    "no terminals": (dict(terminals=None), ["terminals", "missing"]),
    "observations flat": (dict(observations=np.zeros(15)), ["observations", "[15]", "[15, *]"]),
    "observations scalar": (dict(observations=np.float32(0)), ["observations", "[]"]),
    "observations images": (dict(observations=np.zeros((15, 4, 4))), ["observations", "[15, 4, 4]"]),
    "actions flat": (dict(actions=np.zeros(15)), ["actions", "[15]", "[15, *]"]),
    "actions without columns": (dict(actions=np.zeros((15, 0))), ["actions", "[15, 0]"]),
    "actions short": (dict(actions=np.zeros((14, 2))), ["actions", "[14, 2]", "[15, *]"]),
    "terminals long": (dict(terminals=np.zeros(16, bool)), ["terminals", "[16]", "[15]"]),
    "rewards matrix": (dict(rewards=np.zeros((15, 1))), ["rewards", "[15, 1]", "[15]"]),
    "masks short": (dict(masks=np.ones(3)), ["masks", "[3]", "[15]"]),
    "next_observations narrow": (
        dict(next_observations=np.zeros((15, 2))),
        ["next_observations", "[15, 2]", "[15, 3]"],
    ),
    "next_observations short": (dict(next_observations=np.zeros((9, 3))), ["next_observations", "[9, 3]", "[15, *]"]),
    "words": (dict(rewards=np.array(["a"] * 15)), ["rewards", "type"]),
    "objects": (dict(observations=np.full((15, 3), None, object)), ["observations", "type object"]),
    "no rows": ({key: x[:0] for key, x in arrays().items()}, ["observations", "empty"]),
    "range of one end": (dict(action_low=-np.ones(2)), ["missing key 'action_high'"]),
    **{
        f"{value} in {key}": (spoilt(key, 11, value), [key, "1 rows", "row 11"])
        for key in ("observations", "actions", "rewards", "masks")
        for value in (np.nan, np.inf, -np.inf)
    },
    "NaN in next_observations": (
        dict(next_observations=np.full((15, 3), np.nan)),
        ["next_observations", "15 rows", "row 0"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_key_and_place(fault):
    changes, said = FAULTS[fault]
    with pytest.raises(UserError) as caught:
        Dataset.from_arrays(arrays(**changes), "folder/mine.npz")
    message = str(caught.value)
    assert "\n" not in message
    for words in ["folder/mine.npz", *said]:
        assert words in message


def test_actions_a_rounding_error_outside_the_range_are_accepted():
    Dataset.from_arrays(arrays(**spoilt("actions", 3, [1.000001, -1.000001])), "mine")


# Files


def write(path, **content):
    np.savez(path, **content)
    return path


def damaged(tmp_path, kind):
    path = write(tmp_path / "mine.npz", **arrays(lengths=(500,)))
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-3000])
    elif kind == "cut to its head":
        path.write_bytes(path.read_bytes()[:40])
    elif kind == "flipped bits":
        content = bytearray(path.read_bytes())
        content[2000:2100] = bytes(255 - b for b in content[2000:2100])
        path.write_bytes(content)
    elif kind == "pickled":
        write(path, **arrays() | dict(observations=np.array([{"x": 1}] * 15, object)))
    elif kind == "web page":
        path.write_text("<html>404 not found</html>")
    elif kind == "single array":
        with open(path, "wb") as file:
            np.save(file, np.zeros((15, 3)))
    elif kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    return path


DAMAGE = {
    "empty": "empty",
    "truncated": "truncated",
    "cut to its head": "truncated",
    "flipped bits": "truncated",
    "pickled": "pickled objects",
    "web page": "truncated or no .npz",
    "single array": "truncated or no .npz",
    "missing": "no such file",
    "folder": "it is a folder",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_a_users_error(tmp_path, kind):
    path = damaged(tmp_path, kind)
    with pytest.raises(UserError) as caught:
        load_dataset(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and DAMAGE[kind] in message and "\n" not in message


def test_an_npz_file_is_loaded_with_its_validation_file(tmp_path):
    train, validation = arrays((6, 9)), arrays((5,), seed=1)
    write(tmp_path / "mine.npz", **train | dict(unrelated=np.array(["x"])))
    write(tmp_path / "mine-val.npz", **validation)
    loaded = load_dataset(tmp_path / "mine.npz")
    for dataset, expected in ((loaded, train), (loaded.validation, validation)):
        assert_array_equal(dataset.observations, expected["observations"])
        assert_array_equal(dataset.actions, expected["actions"])
        assert_array_equal(dataset.ends, expected["terminals"])
        assert_array_equal(dataset.rewards, expected["rewards"])
        assert_array_equal(dataset.masks, expected["masks"])
        assert dataset.observations.dtype == dataset.rewards.dtype == np.float32
    assert loaded.validation.validation is None
    assert (loaded.obs_dim, loaded.action_dim, loaded.transitions) == (3, 2, 13)


def test_other_number_types_are_converted(tmp_path):
    kinds = dict(observations=np.float64, actions=np.float16, terminals=np.float32, rewards=np.int64, masks=bool)
    mixed = {key: value.astype(kinds[key]) for key, value in arrays().items()}
    loaded = load_dataset(write(tmp_path / "mine.npz", **mixed))
    assert_array_equal(loaded.ends, arrays()["terminals"])
    assert_array_equal(loaded.rewards, mixed["rewards"].astype(np.float32))
    assert {x.dtype for x in (loaded.observations, loaded.actions, loaded.rewards, loaded.masks)} == {
        np.dtype(np.float32)
    }


def test_a_last_episode_without_end_marker_ends_with_the_file():
    dataset = Dataset.from_arrays(arrays(terminals=np.zeros(15, bool)), "mine")
    assert_array_equal(np.flatnonzero(dataset.ends), [14])


def test_next_observations_become_a_final_row_per_episode():
    raw = arrays((4, 3))
    following = np.roll(raw["observations"], -1, axis=0)
    following[[3, 6]] = np.random.default_rng(9).normal(size=(2, 3))
    dataset = Dataset.from_arrays(raw | dict(next_observations=following), "mine")
    blocks = [(0, 4), (4, 7)]
    expected = np.concatenate([np.vstack([raw["observations"][i:j], following[j - 1 : j]]) for i, j in blocks])
    assert_array_equal(dataset.observations, expected)
    assert_array_equal(np.flatnonzero(dataset.ends), [4, 8])
    kept = np.delete(np.arange(9), [4, 8])
    for key in ("actions", "rewards", "masks"):
        assert_array_equal(getattr(dataset, key)[kept], raw[key])
    assert dataset.transitions == 7
    assert_array_equal(dataset.starts(3), [0, 1, 5])
    returns, bootstrap = dataset.chunk_returns(np.array([1, 5]), 3, 0.9)
    for k, first in enumerate((1, 4)):
        reward, mask = raw["rewards"][first : first + 3], raw["masks"][first : first + 3]
        alive = np.cumprod([1, *mask])
        assert_allclose(returns[k], np.sum(0.9 ** np.arange(3) * alive[:-1] * reward), rtol=1e-5)
        assert_allclose(bootstrap[k], 0.9**3 * alive[-1], rtol=1e-5)


# Chunks


@given(
    lengths=st.lists(st.integers(2, 12), min_size=1, max_size=8),
    horizon=st.integers(1, 11),
    seed=st.integers(0, 99),
    discount=st.floats(0.5, 0.999),
)
@settings(max_examples=150, deadline=None)
def test_chunks_stay_inside_their_episode_and_returns_match_brute_force(lengths, horizon, seed, discount):
    raw = arrays(tuple(lengths), seed)
    dataset = Dataset.from_arrays(raw, "mine.npz")
    assert dataset.short(horizon) == sum(n - 1 < horizon for n in lengths)
    if max(lengths) - 1 < horizon:
        with pytest.raises(UserError):
            dataset.starts(horizon)
        return
    starts, edges = dataset.starts(horizon), np.cumsum([0, *lengths])
    expected = [row for first, end in pairwise(edges) for row in range(first, end) if row + horizon < end]
    assert_array_equal(starts, expected)
    returns, bootstrap = dataset.chunk_returns(starts, horizon, discount)
    for k, start in enumerate(starts):
        total, factor, alive = 0.0, 1.0, True
        for i in range(horizon):
            total += factor * raw["rewards"][start + i] * alive
            alive = alive and bool(raw["masks"][start + i])
            factor *= discount
        assert_allclose(returns[k], total, rtol=1e-4, atol=1e-5)
        assert_allclose(bootstrap[k], factor * alive, rtol=1e-4, atol=1e-6)
    assert returns.dtype == bootstrap.dtype == np.float32


def test_no_chunk_starts_in_an_episode_that_is_shorter_than_one():
    dataset = Dataset.from_arrays(arrays((9, 4, 9)), "folder/mine.npz")
    assert_array_equal(dataset.starts(5), [0, 1, 2, 3, 13, 14, 15, 16])
    assert [dataset.short(horizon) for horizon in (3, 4, 8, 9)] == [0, 1, 1, 3]
    assert len(dataset.starts(3)) == 6 + 1 + 6
    with pytest.raises(UserError, match=r"folder/mine\.npz: all 3 episodes are shorter.*chunk of 9.*has 8 transitions"):
        dataset.starts(9)


def test_without_masks_every_chunk_bootstraps():
    dataset = Dataset.from_arrays(arrays(masks=None), "mine")
    _, bootstrap = dataset.chunk_returns(dataset.starts(2), 2, 0.9)
    assert_allclose(bootstrap, 0.81, rtol=1e-6)


def test_missing_rewards_are_named_when_a_critic_needs_them():
    dataset = Dataset.from_arrays(arrays(rewards=None), "folder/mine.npz")
    with pytest.raises(UserError, match=r"folder/mine\.npz: missing key 'rewards' \(shape \[15\]\)"):
        dataset.chunk_returns(dataset.starts(2), 2, 0.9)


def test_normaliser_is_mean_and_deviation_and_spares_constants():
    raw = arrays((300,))
    raw["observations"][:, 1] = 7.25
    raw["observations"][:, 2] = 1e4 + 0.5 * raw["observations"][:, 2]
    mean, std = Dataset.from_arrays(raw, "mine").normaliser()
    wide = raw["observations"].astype(np.float64)
    assert_allclose(mean, wide.mean(0), rtol=1e-6)
    assert_allclose(std, [wide[:, 0].std(), 1.0, wide[:, 2].std()], rtol=1e-5)
    assert mean.dtype == std.dtype == np.float32


# OGBench


def assert_same_transitions(ours: Dataset, theirs: dict):
    """Our rows with a next state, against OGBench's regular layout."""
    rows = np.flatnonzero(~ours.ends)
    assert ours.transitions == len(theirs["observations"])
    assert_array_equal(ours.observations[rows], theirs["observations"])
    assert_array_equal(ours.observations[rows + 1], theirs["next_observations"])
    assert_array_equal(ours.actions[rows], theirs["actions"])
    assert_array_equal(ours.ends[rows + 1], theirs["terminals"])
    for key in ("rewards", "masks"):
        if key in theirs:
            assert_array_equal(getattr(ours, key)[rows], theirs[key])


def test_a_collected_file_reads_as_ogbench_reads_it(maze_folder):
    ours = load_dataset("pointmaze-medium-navigate-v0", maze_folder, download=False)
    path = str(maze_folder / "pointmaze-medium-navigate-v0.npz")
    assert_same_transitions(ours, ogbench_load(path))
    assert_same_transitions(ours.validation, ogbench_load(path.replace(".npz", "-val.npz")))
    assert ours.rewards is None and ours.masks is None


@pytest.mark.parametrize("task", [TASK, TASK.replace("task1", "task4"), "pointmaze-medium-navigate-singletask-v0"])
def test_rewards_and_masks_are_ogbenchs(maze_folder, task):
    ours = load_dataset(task, maze_folder, download=False)
    env, train, validation = ogbench.make_env_and_datasets(task, dataset_dir=str(maze_folder))
    env.close()
    assert_same_transitions(ours, train)
    assert_same_transitions(ours.validation, validation)
    assert ours.name == task


def test_the_rewards_do_not_depend_on_the_global_random_state(maze_folder, maze):
    np.random.seed(12345)  # OGBench draws from the global generator
    before = np.random.get_state()[1].copy()
    again = load_dataset(TASK, maze_folder, download=False)
    assert_array_equal(again.rewards, maze.rewards)
    assert_array_equal(np.random.get_state()[1], before)


def test_single_task_rewards_need_the_simulators_state(tmp_path):
    name = "pointmaze-medium-navigate-v0.npz"
    write(tmp_path / name, **arrays())
    with pytest.raises(UserError, match=rf"{name}: missing key 'qpos'"):
        load_dataset(TASK, tmp_path, download=False)


def test_an_unknown_environment_names_the_nearest(tmp_path):
    for wrong, right in (
        ("pointmaze-medum-navigate-v0", "pointmaze-medium-navigate-v0"),
        (TASK.replace("task1", "task7"), "task"),
    ):
        with pytest.raises(UserError, match=f"unknown environment.*did you mean '[^']*{right}"):
            load_dataset(wrong, tmp_path, download=False)


@pytest.mark.parametrize("name", ["cube-single-play-v0", "cube-single-play-singletask-task2-v0", "cube-single-play"])
def test_a_missing_dataset_names_the_command_that_makes_it(tmp_path, name):
    with pytest.raises(UserError, match=r"cube-single-play-v0\.npz: .*qgf collect cube-single-play$"):
        load_dataset(name, tmp_path, download=False)


def test_a_download_that_fails_names_the_command_as_well(tmp_path, monkeypatch):
    asked = []

    def offline(url, timeout=None):
        asked.append(url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(UserError, match="qgf collect cube-single-play"):
        load_dataset("cube-single-play-v0", tmp_path)
    assert len(asked) == 1 and asked[0].endswith("/cube-single-play-v0.npz")


def test_the_dataset_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("QGF_DATA", str(tmp_path / "here"))
    assert data_dir() == tmp_path / "here"
    assert data_dir(tmp_path / "there") == tmp_path / "there"
    monkeypatch.delenv("QGF_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir() == tmp_path / ".ogbench" / "data"


def test_read_npz_takes_the_keys_it_knows(tmp_path):
    path = write(tmp_path / "x.npz", **arrays(), qpos=np.zeros((15, 2)), other=np.zeros(3))
    assert set(read_npz(path)) == {*arrays(), "qpos"}
