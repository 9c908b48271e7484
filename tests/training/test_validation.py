"""Every measure of a critic on held-out data, in a world where it is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import spearmanr

import qgf
from qgf.data import Dataset
from qgf.errors import UserError
from qgf.files import write_table
from qgf.pages.plots import critic_curves
from qgf.pages.report import _judged
from qgf.training.config import TrainConfig
from qgf.training.run import Run
from qgf.training.validation import alike, held_out, measured, order, succeeds_later, verdicts
from qgf.types import Batch

SPREAD, N = 0.5, 400


class World(eqx.Module):
    """Members Q_i(s, a) = scale_i (-|a - s|^2) + shift_i, and their mean; in truth scale is 1 and shift is 0."""

    scales: jax.Array
    shifts: jax.Array

    def members(self, obs, a):
        return self.scales * -jnp.sum((a - obs) ** 2) + self.shifts

    def __call__(self, obs, a):
        return jnp.mean(self.members(obs, a))


class Flow(eqx.Module):
    """The exact flow to N(s, SPREAD^2)."""

    def __call__(self, obs, a, t):
        return qgf.toy.Mixture(obs[None], jnp.ones(1), SPREAD).velocity(a, t)


def draw() -> Batch:
    """Episodes of one chunk: what comes is R = -|a - s|^2 alone."""
    rng = np.random.default_rng(0)
    obs, noise = rng.normal(size=(2, N, 2))
    reward = -np.sum((SPREAD * noise) ** 2, axis=1)
    cast = lambda x: jnp.asarray(x, jnp.float32)
    return Batch(cast(obs), cast(obs + SPREAD * noise), cast(reward), jnp.zeros(N), cast(obs))


BATCH = draw()
REWARD = np.asarray(BATCH.returns)


def judge(scales, shifts=(0.0, 0.0)):
    critic = World(jnp.array(scales, jnp.float32), jnp.array(shifts, jnp.float32))
    policy = qgf.guided_flow(Flow(), critic, action_dim=2, weight=0, low=-9, high=9)
    return measured(policy, BATCH, np.median(REWARD) < REWARD)


def test_a_good_critic():
    found = judge((1.0, 1.0))
    assert next(iter(found)) == "explained"  # which decides what is best
    for name in ("explained", "agreement", "ranks", "order"):
        assert found[name] == pytest.approx(1.0, abs=1e-4), name
    assert found["steep"] > 0.95
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(REWARD, [0.01, 0.99])), rel=1e-4)
    assert not verdicts([dict(step=100.0) | found])


@pytest.mark.parametrize(
    ("scales", "shifts", "explained"),
    [
        ((0.5, 0.5), (0.0, 0.0), 0.75),
        ((1.0, 1.0), (0.3, 0.3), 1.0),
        ((0.0, 0.0), (REWARD.mean(),) * 2, 0.0),
        ((100.0, 100.0), (0.0, 0.0), 1 - 99.0**2),
    ],
)
def test_what_is_explained_is_all_but_the_errors_share_of_the_variance(scales, shifts, explained):
    assert judge(scales, shifts)["explained"] == pytest.approx(explained, rel=1e-3, abs=1e-4)


def test_members_that_contradict_each_other_and_a_critic_upside_down():
    found = judge((1.0, -1.0), (0.0, 0.1))
    assert found["agreement"] == pytest.approx(-1.0, abs=1e-4) and found["ranks"] == pytest.approx(-1.0, abs=1e-4)
    assert judge((-1.0, -1.0))["order"] == pytest.approx(0.0)


def test_a_flat_critic_is_called_flat():
    found = judge((0.0, 0.0), (-3.0, -3.0))
    assert found["steep"] == 0 and found["order"] == pytest.approx(0.5)
    (line,) = verdicts([dict(step=100.0) | found])
    assert "gone flat" in line and "--weight-decay" in line


def test_one_that_was_better_before_learns_by_heart():
    rows = [dict(step=step, steep=0.9, explained=x) for step, x in ((100.0, 0.2), (200.0, 0.8), (300.0, 0.1))]
    (line,) = verdicts(rows)
    assert "by heart" in line and "after 200 updates it was 80 %" in line and "--best" in line
    assert not verdicts(rows[:2]) and not verdicts([]) and not verdicts([dict(step=1.0, success=0.0)])


def test_ranks_and_order_are_those_of_scipy_and_by_hand():
    values = np.random.default_rng(0).normal(size=(5, 8, 3))
    pairs = [spearmanr(one[:, i], one[:, j])[0] for one in values for i, j in ((0, 1), (0, 2), (1, 2))]
    assert float(alike(jnp.asarray(values))) == pytest.approx(np.mean(pairs), abs=1e-5)
    assert float(alike(jnp.asarray(values[..., :1]))) == 1
    assert order(np.array([1.0, 2.0, 2.0, 0.0]), np.array([True, False, True, False])) == pytest.approx(2.5 / 4)


def episodes(validation=None, goals=None) -> Dataset:
    """Two of five rows; the first is solved at its third."""
    rng = np.random.default_rng(1)
    ends = np.arange(10) % 5 == 4
    masks = np.ones(10, np.float32)
    masks[2] = 0
    obs, actions = rng.normal(size=(10, 2)).astype(np.float32), rng.uniform(-1, 1, (10, 1)).astype(np.float32)
    return Dataset("mine", obs, actions, ends, -np.ones(10, np.float32), masks, goals, validation)


def test_where_an_episode_will_be_solved():
    assert_array_equal(succeeds_later(episodes()), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0])


def test_held_out_data_judge_a_policy_as_it_is_watched():
    evaluate = held_out(episodes(episodes()), TrainConfig(horizon=2))
    critic = World(jnp.ones(2), jnp.zeros(2))
    found = evaluate(
        qgf.guided_flow(Flow(), critic, action_dim=1, horizon=2, weight=0, obs_spec=(2,)).guided(weight=1.0)
    )
    assert {"explained", "agreement", "ranks", "order", "steep", "low", "high"} == found.keys()


def test_data_that_cannot_judge():
    with pytest.raises(UserError, match=r"-val\.npz"):
        held_out(episodes(), TrainConfig())
    with pytest.raises(UserError, match="goals"):
        held_out(episodes(episodes(goals=np.zeros((10, 1), np.float32))), TrainConfig())


def test_the_report_shows_it(tmp_path):
    """A run directory with measures of two seeds, of which the second went flat."""
    run = type("Watched", (Run,), dict(config=TrainConfig(seeds=2)))(tmp_path)
    names = ["step", "seed", "explained", "agreement", "ranks", "order", "steep"]
    rows = [[step, seed, 0.5, 0.4, 0.3, 0.9, 0.01 if seed else 0.9] for step in (100, 200) for seed in (0, 1)]
    write_table(tmp_path / "played.csv", [dict(zip(names, row, strict=True)) for row in rows])
    shown = _judged(run, tmp_path / "figures")
    assert (tmp_path / "figures" / "critic.png").stat().st_size > 5_000
    assert "The critic has gone flat: it has a gradient at 1 % of the states" in shown
    axes = critic_curves({name: np.array(x) for name, x in zip(names, zip(*rows, strict=True), strict=True)}).axes
    assert [len(ax.lines) for ax in axes] == [4, 4, 2]
