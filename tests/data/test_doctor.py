"""What the doctor says of datasets whose faults are known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.data.dataset import Dataset
from qgf.data.doctor import examine, summary, suspicions
from qgf.data.episodes import Episode, arrays_of


def made(
    lengths=(20, 30, 30), rewards=lambda n: np.where(np.arange(n) == n - 1, 0.0, -1.0), terminated=True, change=None
):
    """Episodes of random states [.., 3] and actions [.., 2]."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(rng.normal(size=(n + 1, 3)), rng.uniform(-0.9, 0.9, (n, 2)), rewards and rewards(n), terminated)
        for n in lengths
    ]
    return Dataset.from_arrays(arrays_of(map(change, episodes) if change else episodes, "x"), "x")


def test_a_dataset_in_numbers():
    found = examine(made(), horizon=5)
    assert (found.transitions, found.terminated, found.chunks) == (80, 3, 80 - 3 * 4)
    assert_array_equal(found.lengths, [20, 30, 30])
    assert_array_equal(found.rewards[0], [-1, 0])
    assert_array_equal(found.rewards[1], [77, 3])
    assert found.discount == pytest.approx(0.97) and found.lost == pytest.approx(12 / 80)
    assert (np.abs(found.action_low) <= 0.9).all() and (found.action_low < found.action_high).all()
    assert suspicions(found) == []
    assert summary(found) == [
        "80 transitions in 3 episodes of 20 to 30 steps, 3 observations -> 2 actions",
        "rewards -1 to 0; 3 episodes end the task, 0 are cut off",
        "nothing suspicious",
    ]


def test_last_rows_hold_final_states_and_are_not_looked_at():
    """Their actions, rewards and masks are padding."""
    found = examine(made(rewards=lambda n: np.full(n, -1.0)))
    assert found.reward_range == (-1, -1) and len(found.rewards[0]) == 1


def test_the_way_to_the_end_of_a_task_is_counted_from_its_episode_to_its_first_end():
    """Play data go on after a success."""
    dataset = made(lengths=(20, 30, 30), terminated=False)
    masks = dataset.masks.copy()
    masks[[4, 10, 21 + 9]] = 0  # steps 4 and 10 of the first episode, 9 of the second
    found = examine(replace(dataset, masks=masks))
    assert (found.terminated, found.ending, found.discount) == (2, 7.5, 1 - 0.1)


def test_many_rewards_are_a_histogram_whose_counts_are_all_of_them():
    values, counts = examine(made(rewards=lambda n: np.arange(n) / n)).rewards
    assert len(values) == 10 and counts.sum() == 80
    assert_allclose(values[0], 0)


def sensor(value, jitter=0.0):
    def change(episode):
        states = episode.observations.copy()
        states[:, 1] = value + jitter * states[:, 1]
        return episode._replace(observations=states)

    return change


def one_row(what, column, value, every=None):
    """A fault of one number, in the shortest episode; or of every so manieth in all."""

    def change(episode):
        x = getattr(episode, what).astype(float)
        if every:
            x[::every, column] = value
        elif len(episode.actions) == 20:
            x[7, column] = value
        return episode._replace(**{what: x})

    return change


def reward_at(step, value):
    return lambda n: np.where(np.arange(n) == step, value, np.random.default_rng(0).normal(size=n))


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(lengths=(10_001,)), "an episode of 10,001 steps"),
        (dict(rewards=None), "no rewards: a flow can be cloned"),
        (dict(rewards=lambda n: np.ones(n)), "every reward is 1"),
        (dict(terminated=False), "no episode ends its task"),
        (dict(lengths=(30, 3)), "1 of 2 episodes are shorter than a chunk of 5"),
        (dict(lengths=(9, 10)), "42 % of the actions start no chunk of 5"),
        (dict(change=sensor(0.25)), "observation 1 never changes"),
        (dict(change=sensor(0.3, 1e-5)), "observation 1 hardly changes"),
        (dict(change=lambda e: e._replace(actions=e.actions / 20)), "no action is larger than 0.045"),
        (dict(change=lambda e: e._replace(actions=e.actions * [1, 0])), "action 1 never changes"),
        (dict(lengths=(60,)), "all 60 steps are one episode: are the ends of episodes marked"),
        (dict(change=lambda e: e._replace(actions=np.round(3 * e.actions))), "every action is a whole number"),
        (
            dict(change=one_row("observations", 1, 1e6)),
            "observation 1: 1 of 80 are far from all others (as 1e+06), and",
        ),
        (
            dict(change=one_row("observations", 1, -999)),
            "observation 1: 1 of 80 are far from all others (as -999), and",
        ),
        (
            dict(change=one_row("actions", 0, 100)),
            "action 0: 1 of 80 are far from all others (as 100), and set the range",
        ),
        (dict(rewards=reward_at(7, 1e6)), "reward: 3 of 80 are far from all others (as 1e+06), and set the unit by"),
        (
            dict(change=one_row("observations", 1, -9999, every=5)),
            "observation 1: 19 of 80 are far from all others (as -9999), and set the deviation",
        ),
        (
            dict(change=one_row("observations", 1, 65535, every=2)),
            "observation 1: 43 of 80 are far from all others (as 6.554e+04), and",
        ),
        (dict(change=one_row("actions", 0, -999, every=5)), "action 0: 16 of 80 are far from all others (as -999)"),
        (dict(rewards=lambda n: np.where(np.arange(n) % 5, reward_at(7, 0)(n), -999)), "reward: 16 of 80 are far"),
        (
            dict(rewards=lambda n: 1e36 * (1 + np.arange(n))),
            "rewards have a size of 3e+37, which float32 cannot square: mul",
        ),
        (
            dict(rewards=lambda n: 1e-20 * (1 + np.arange(n))),
            "rewards have a size of 3e-19, which float32 cannot square",
        ),
        (dict(rewards=lambda n: 1e6 + np.arange(n)), "rewards lie between 1000000 and 1000029: beside what they have"),
        (dict(change=sensor(0.0, 1e-8)), "observation 1 deviates by less than 1e-06 and is taken for constant"),
    ],
)
def test_every_fault_is_named_and_nothing_else(options, said):
    notes = suspicions(examine(made(**options)))
    assert [note for note in notes if said in note]
    assert len(notes) == 1 or "shorter" in said


def test_what_is_far_but_where_most_is_the_same_is_not_accused():
    """A contact, a light, a gripper: seldom and not at all near what is usual."""

    def change(episode):
        states = episode.observations.copy()
        states[:, 1] = 50.0 * (np.arange(len(states)) == 7)
        return episode._replace(observations=states)

    assert suspicions(examine(made(change=change))) == []


def test_actions_are_small_or_not_by_the_range_that_they_have():
    raw = made(change=lambda e: e._replace(actions=e.actions / 20))
    own = replace(raw, action_range=(np.full(2, -0.05), np.full(2, 0.05)))
    assert suspicions(examine(own)) == []


@pytest.mark.parametrize("change", [sensor(0.0, 1e-5), sensor(1.7e3, 5.0), sensor(5.0, 0.1)])
def test_what_is_small_or_far_from_zero_but_varies_is_not_accused(change):
    assert suspicions(examine(made(change=change))) == []
