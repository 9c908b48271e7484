"""How observations and rewards are scaled: what does not move, what is too large, what is the unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from qgf.data.scaling import observed, reward_unit


def column(mean, std, n=400, kind=np.float32):
    """n numbers of exactly this mean and deviation, but for rounding."""
    x = np.random.default_rng(0).normal(size=n)
    return (mean + std * (x - x.mean()) / x.std()).astype(kind)[:, None]


@pytest.mark.parametrize("mean, std", [(0.3, 1e-5), (0.3, 0), (-5.0, 1e-5), (300.0, 1e-4), (2e5, 0.0), (0.0, 1e-7)])
def test_what_hardly_moves_is_left_as_it_is_and_goes_no_farther_than_in_the_data(mean, std):
    x = column(mean, std)
    centre, deviation, limits = observed([x])
    assert deviation == 1 and abs(centre - mean) <= 1e-5 * abs(mean) + 1e-9
    assert_array_equal(limits, np.abs(x - centre).max(axis=0))
    assert limits <= 6 * std + 1e-6 * abs(mean)


@pytest.mark.parametrize("mean, std", [(-1.57, 2.1e-4), (0.0, 1e-5), (1e5, 1.0), (0.3, 1e-4), (1.7e5, 5.8)])
def test_what_moves_keeps_its_deviation_and_has_room(mean, std):
    """The first is a joint of OGBench's arm, the least that moves there in parts of its mean."""
    _, deviation, limits = observed([column(mean, std)])
    assert_allclose(deviation, std, rtol=0.02)
    assert limits == 10


def test_a_clock_is_centred_before_it_is_rounded():
    clock = 1.7e9 + 0.05 * np.arange(400.0)[:, None]
    mean, std, _ = observed([clock])
    z = ((clock - mean) / std).astype(np.float32)
    assert len(np.unique(z)) == 400 and abs(z).max() < 2


def test_goals_are_scaled_beside_observations():
    parts = [column(1.0, 2.0), np.hstack([column(3.0, 4.0), column(5.0, 0.0)])]
    mean, std, limits = observed(parts)
    assert_allclose(mean, [1, 3, 5], rtol=1e-5)
    assert_allclose(std, [2, 4, 1], rtol=1e-5)
    assert limits[2] < 1e-5 and (limits[:2] == 10).all()


@pytest.mark.parametrize(
    "rewards, unit",
    [
        ([-1, 0], 1),
        ([0, 1], 1),
        ([-1, -1], 1),
        ([-9, -8, -2, 0], 1),
        ([-24, -23], 1),
        ([0, 100], 100),
        ([-0.1, -0.2, 0.7], 0.1),
        ([0, 0], 1),
        ([-1, 0, 100], 100),
        ([-0.001, 1], 1),
        (-np.linspace(0, 16, 1000), 16),
        (np.linspace(0, 1, 40), 1),
    ],
)
def test_the_unit_of_rewards(rewards, unit):
    assert reward_unit(np.array(rewards, np.float32)) == pytest.approx(unit, rel=1e-5)


@given(
    st.lists(st.integers(-40, 40) | st.floats(-50, 50).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=80),
    st.sampled_from([1e4, 1e-3, 0.5, 3.0, 8192.0]),
)
@settings(max_examples=100, deadline=None)
def test_the_unit_grows_with_the_rewards(rewards, times):
    rewards = np.array(rewards, np.float64)
    if rewards.any():
        assert reward_unit(times * rewards) == pytest.approx(times * reward_unit(rewards), rel=1e-6)


@pytest.mark.parametrize("rewards", [[-1, 0], [0, 1], [-3, -2, -1], [0, 0]])
def test_rewards_of_whole_steps_are_left_to_the_bit(rewards):
    assert reward_unit(np.array(rewards, np.float32)) == 1.0
