"""One bit per episode is enough to train a critic: rewards and ends that follow from success."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.cli.main import main
from qgf.data.dataset import Dataset
from qgf.data.labels import read_labels
from qgf.environments.datasets import dataset_of, load_dataset
from qgf.errors import UserError
from qgf.training.loop import train
from qgf.training.run import Run

LENGTHS = (7, 5, 4)
ENDS = np.cumsum(LENGTHS) - 1
SAID = "rewards -1 until success: 2 of 3 episodes succeed, the others are cut off"


def rows(final=True, compact=False, **more):
    """Three episodes; in the compact layout each with a row for its final state."""
    rng, n = np.random.default_rng(0), sum(LENGTHS) + 3 * compact
    states = rng.normal(size=(sum(LENGTHS) + 3, 2))
    starts = np.cumsum([0, *(length + 1 for length in LENGTHS)])
    last = starts[1:] - 1
    made = dict(observations=states if compact else np.delete(states, last, 0), actions=rng.uniform(-1, 1, (n, 1)))
    if compact:
        return made | dict(terminals=np.isin(np.arange(n), last)) | more
    made |= dict(terminals=np.zeros(n, bool), timeouts=np.isin(np.arange(n), ENDS))
    return made | (dict(next_observations=np.delete(states, starts[:-1], 0)) if final else {}) | more


def column(*which, n=sum(LENGTHS)):
    return np.isin(np.arange(n), which)


@pytest.mark.parametrize(
    "arrays, labels",
    [
        (rows(), [1, 0, 1]),
        (rows(compact=True), [1, 0, 1]),
        (rows(success=[1, 0, 1]), None),
        (rows(is_success=column(ENDS[0], ENDS[2])), None),
        (rows(success=column(*range(7), *range(12, 16))), None),  # in every row of an episode
        (rows(compact=True, success=column(7, 18, n=19)), None),  # of the final state
        (rows(compact=True, success=column(6, 17, n=19)), None),
        (rows(rewards=np.zeros(16), masks=np.ones(16)), [1, 0, 1]),  # a file of labels is asked for
    ],
)
def test_labels_of_episodes_are_the_same_data_however_they_are_said(arrays, labels):
    found = Dataset.from_arrays(arrays, "x", labels and np.array(labels, bool))
    solved, used = np.flatnonzero(~found.ends)[[6, 15]], ~found.ends
    assert_array_equal(np.flatnonzero(found.rewards[used] == 0), [6, 15])
    assert set(found.rewards[used]) == {-1, 0} and found.notes[-1] == SAID
    assert_array_equal(np.flatnonzero(found.masks == 0), solved)
    assert_array_equal(np.diff(np.flatnonzero(found.ends), prepend=-1), [8, 6, 5])


def test_without_final_states_success_keeps_its_step_and_failure_gives_it_up():
    found = Dataset.from_arrays(rows(final=False), "x", np.array([1, 0, 1], bool))
    assert_array_equal(np.diff(np.flatnonzero(found.ends), prepend=-1), [8, 5, 5])
    assert_array_equal(np.flatnonzero(found.masks == 0), [6, 16])


def test_a_success_on_the_way_ends_the_task_there():
    found = Dataset.from_arrays(rows(success=column(2, 3)), "x")
    assert_array_equal(np.flatnonzero(found.masks == 0), [2, 3])
    returns, bootstrap = found.chunk_returns(np.array([0, 3]), 4, 0.5)
    assert_array_equal(returns, [-1.5, 0])
    assert_array_equal(bootstrap, [0, 0])


def test_rewards_that_are_there_are_kept():
    arrays = rows(success=column(6), rewards=np.arange(16.0))
    assert_array_equal(Dataset.from_arrays(arrays, "x").rewards[:7], np.arange(7))


@pytest.mark.parametrize(
    "arrays, labels, said",
    [
        (rows(), [1, 0], "x: 2 success labels for 3 episodes"),
        (rows(success=[1, 0, 1, 1]), None, "x: 4 success labels for 3 episodes"),
        (rows(success=[1, 0, 2]), None, "x: 'success' must be 0 or 1, one for each row or one for each episode"),
        (rows(success=np.full(16, 0.5)), None, "x: 'success' must be 0 or 1, row 0 is 0.5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(arrays, labels, said):
    with pytest.raises(UserError) as caught:
        Dataset.from_arrays(arrays, "x", labels and np.array(labels, bool))
    assert str(caught.value) == said


GO = "rewards 1 at success, else 0: 2 of 3 episodes succeed, the others end with nothing"


@pytest.mark.parametrize(
    "arrays, labels",
    [
        (rows(), [1, 0, 1]),
        (rows(final=False), [1, 0, 1]),
        (rows(compact=True), [1, 0, 1]),
        (rows(success=column(ENDS[0], ENDS[2])), None),
        (rows(rewards=np.arange(16.0), success=column(ENDS[0], ENDS[2])), None),  # it was asked for
        (rows(rewards=1.0 * column(ENDS[0], ENDS[2])), None),  # rewards that say it themselves
        (rows(compact=True, rewards=np.where(column(7, 13, 18, n=19), np.nan, column(6, 17, n=19))), None),
    ],
)
def test_success_to_go_ends_every_episode(arrays, labels):
    found = Dataset.from_arrays(arrays, "x", labels and np.array(labels, bool), "success-to-go")
    used = ~found.ends
    assert_array_equal(found.rewards[used], column(6, 15))
    assert_array_equal(found.masks[used], ~column(6, 11, 15))
    assert_array_equal(np.diff(np.flatnonzero(found.ends), prepend=-1), [8, 6, 5])  # no step is given up
    assert found.notes[-1] == GO and found.rewarded == "success-to-go"


def exact(found, discount=0.9):
    """Q of every step by Bellman's equation, what is cut off NaN; a list for each episode."""
    value, episodes = np.nan, [[] for _ in found.lengths]
    for row in reversed(range(len(found.ends))):
        if found.ends[row]:
            value, episode = np.nan, episodes[found.ends[:row].sum()]
        else:
            value = found.rewards[row] + (discount * value if found.masks[row] else 0)
            episode.insert(0, value)
    return episodes


def zero_one(path):
    import h5py

    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            demo["rewards"][...] = demo["rewards"][()] + 1
    return path


def with_success(path):
    import zarr

    zarr.open_group(str(path))["data"].create_array("success", data=np.isin(np.arange(12), [6]))
    return path


SAYS = dict(
    lerobot=formats.lerobot,
    lerobot_alone=lambda out: formats.lerobot(out, rewards=False),
    maniskill=formats.maniskill,
    robomimic=lambda out: zero_one(formats.robomimic(out)),
    zarr=lambda out: with_success(formats.diffusion_policy(out)),
)
TOLD = dict(npz=formats.ogbench_npz, d4rl=formats.d4rl, minari=formats.minari, zarr_told=formats.diffusion_policy)


@pytest.mark.parametrize("name", SAYS | TOLD)
def test_q_is_the_discount_to_the_steps_until_success_and_0_after_failure(name, tmp_path):
    """In every format that says what succeeds, and with labels in those that do not."""
    labels = tmp_path / "labels.txt"
    labels.write_text("1\n0\n")
    path = (SAYS | TOLD)[name](tmp_path)
    to_go = load_dataset(path, labels=labels if name in TOLD else None, rewards="success-to-go")
    won, lost = exact(to_go)
    np.testing.assert_allclose(won, 0.9 ** np.arange(6, -1, -1.0), rtol=1e-6)
    assert_array_equal(lost, np.zeros(5))
    won, lost = exact(load_dataset(path, labels=labels if name in TOLD else None, rewards="until-success"))
    np.testing.assert_allclose(won, -(1 - 0.9 ** np.arange(6, -1, -1.0)) / 0.1, rtol=1e-6, atol=1e-6)
    assert np.isnan(lost).all()  # it is cut off


@pytest.mark.parametrize(
    "more, how, said",
    [
        (
            dict(rewards=np.arange(16.0)),
            "success-to-go",
            r"no 'success', and rewards are not 0 and 1 \(row 2: 2\); give",
        ),
        (
            dict(),
            "until-success",
            "x: nothing says which steps or episodes succeed: no 'success', no rewards; give --lab",
        ),
        (dict(success=[1, 0, 1]), "to-go", "unknown rewards 'to-go'.*success-to-go"),
    ],
)
def test_rewards_that_cannot_be_made_are_refused(more, how, said):
    with pytest.raises(UserError, match=said):
        Dataset.from_arrays(rows(**more), "x", None, how)


def test_a_file_of_labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("1\nfalse\n Success \n")
    assert_array_equal(read_labels(path), [True, False, True])
    path.write_text("1\n0.9\n")
    with pytest.raises(UserError, match=r"labels.txt: at line 2: '0.9' is no label, expected 1 or 0"):
        read_labels(path)


@pytest.mark.parametrize("write", [formats.diffusion_policy, lambda out: formats.lerobot(out, rewards=False)])
def test_formats_without_rewards_train_a_critic(write, tmp_path, capsys):
    """A replay buffer has nothing to say of success, a LeRobotDataset has next.success, which the file replaces."""
    path, labels = write(tmp_path), tmp_path / "labels.txt"
    labels.write_text("0\n1\n")
    found = load_dataset(path, labels=labels)
    assert_array_equal(np.flatnonzero(found.masks == 0), np.flatnonzero(found.rewards * ~found.ends + found.ends == 0))
    assert (found.masks == 0).sum() == 1
    main(["data", str(path), "--labels", str(labels)])
    said = capsys.readouterr().out
    assert "1 of 2 episodes succeed" in said and "1 episodes end the task, 1 are cut off" in said


def test_a_run_finds_its_labels_and_what_was_made_of_them_again(tmp_path, capsys):
    path, labels = formats.diffusion_policy(tmp_path), tmp_path / "labels.txt"
    labels.write_text("1\n0\n")
    tiny = dict(steps=10, log_every=10, checkpoint_every=10, width=8, depth=1, horizon=2, batch_size=4)
    tiny = [word for key, x in tiny.items() for word in (f"--{key.replace('_', '-')}", str(x))]
    said = ["--labels", str(labels), "--rewards", "success-to-go"]
    main(["train", str(path), *tiny, *said, "--out", str(tmp_path / "run")])
    assert "1 at success, else 0: 1 of 2 episodes succeed, the others end with nothing" in capsys.readouterr().out
    again = dataset_of(Run(tmp_path / "run").record)
    assert again.rewarded == "success-to-go" and again.rewards.max() == 1
    with pytest.raises(UserError, match=r"other data .* now; rewards success-to-go there, None now\)"):
        train(load_dataset(path, labels=labels), Run(tmp_path / "run").config, tmp_path / "run")
    labels.write_text("0\n1\n")
    with pytest.raises(UserError, match="other data"):
        dataset_of(Run(tmp_path / "run").record)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["labels"] == str(labels)
    with pytest.raises(UserError, match=r"leave out the choice of rewards \(until-success\)"):
        load_dataset("pointmaze-medium-navigate-v0", rewards="until-success")
    with pytest.raises(UserError, match="whose tasks have rewards"):
        load_dataset("pointmaze-medium-navigate-v0", labels=labels)
