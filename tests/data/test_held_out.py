"""A share of the episodes of any data is put aside, and found again by whoever judges a run by it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.data.dataset import Dataset
from qgf.data.fingerprint import fingerprint
from qgf.environments.datasets import dataset_of, load_dataset
from qgf.errors import UserError
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.validation import held_out

LENGTHS = np.array([4, 7, 5, 6, 3, 8, 5, 4, 6, 9])


def rows():
    """Ten episodes; every number tells which one it is of."""
    episode = np.repeat(np.arange(10), LENGTHS)
    ends = np.isin(np.arange(len(episode)), np.cumsum(LENGTHS) - 1)
    states = np.stack([episode, np.arange(len(episode))], axis=1).astype(np.float32)
    actions = (np.arange(len(episode)) / 10)[:, None]
    return dict(observations=states, actions=actions, terminals=ends, rewards=np.arange(len(episode)) % 2.0)


def test_whole_episodes_are_put_aside_the_same_ones_every_time():
    whole = Dataset.from_arrays(rows(), "x")
    found = whole.apart(0.3)
    kept, aside = (set(x.observations[:, 0]) for x in (found, found.validation))
    assert len(aside) == 3 and len(kept) == 7 and not kept & aside
    assert sorted([*found.lengths, *found.validation.lengths]) == sorted(LENGTHS - 1)
    for part in (found, found.validation):
        which = part.observations[:, 1].astype(int)
        for name in ("observations", "actions", "ends", "rewards"):
            assert_array_equal(getattr(part, name), getattr(whole, name)[which])
    assert_array_equal(whole.apart(0.3).validation.observations, found.validation.observations)
    assert_array_equal(found.action_range, found.extent)  # of what is trained on, as for data in two files


@pytest.mark.parametrize("share", [0.0, 0.04, 0.96, 1.0, -0.2, 3, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(UserError, match="of 10 episodes cannot be held out"):
        Dataset.from_arrays(rows(), "x").apart(share)


def test_a_run_finds_what_it_was_not_trained_on(tmp_path):
    """Of a LeRobotDataset, which is one folder."""
    path = formats.lerobot(tmp_path, rewards=False)
    said = dict(rewards="success-to-go", held_out=0.5)
    config = TrainConfig(1, batch_size=4, horizon=2, log_every=1, checkpoint_every=1, method=BC(8, 1, "mc"))
    dataset = load_dataset(path, **said)
    run = train(dataset, config, tmp_path / "run")
    again = dataset_of(run.record)
    assert len(again.lengths) == len(again.validation.lengths) == 1
    assert_array_equal(again.validation.observations, dataset.validation.observations)
    assert callable(held_out(again, config))  # there is something to judge by
    with pytest.raises(UserError, match=r"other data .* now; held_out 0.5 there, None now\)"):
        train(load_dataset(path, rewards="success-to-go"), config, tmp_path / "run")


def test_labels_go_with_their_episodes(tmp_path):
    """A file with a line per episode, of a LeRobotDataset: each part has its own, and a run finds both again."""
    path, labels = formats.lerobot(tmp_path, rewards=False), tmp_path / "labels.txt"
    for said in ([True, False], [False, True]):
        labels.write_text("".join(f"{x:d}\n" for x in said))
        whole = load_dataset(path, labels=labels, rewards="success-to-go")
        found = load_dataset(path, labels=labels, rewards="success-to-go", held_out=0.5)
        assert sorted([found.rewards.max(), found.validation.rewards.max()]) == [0, 1]
        first = found if len(found.ends) == whole.first[1] else found.validation  # episodes differ in length
        assert first.rewards.max() == said[0]
        known = dict(path=str(path), fingerprint=fingerprint(found), labels=str(labels), rewards="success-to-go")
        again = dataset_of(dict(dataset=str(path), data=known | dict(held_out=0.5)))
        assert_array_equal(again.validation.rewards, found.validation.rewards)


def test_data_that_have_held_out_episodes_keep_them(tmp_path):
    for name in ("x.npz", "x-val.npz"):
        np.savez(tmp_path / name, **rows())
    assert load_dataset(tmp_path / "x.npz").validation is not None
    with pytest.raises(UserError, match=r"its held-out episodes are in .*x-val.npz: leave out the share"):
        load_dataset(tmp_path / "x.npz", held_out=0.3)
    with pytest.raises(UserError, match="an environment's name, whose held-out episodes are in its own"):
        load_dataset("pointmaze-medium-navigate-v0", held_out=0.3)
