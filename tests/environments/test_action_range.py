"""Actions in the units of an environment: scaled for the networks, and back when the policy acts."""

from dataclasses import replace

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction

import qgf
from qgf.data import Dataset
from qgf.data.actions import equal, in_units_of, scaled
from qgf.data.layout import Hazard
from qgf.environments.datasets import dataset_of, fitted, load_dataset
from qgf.errors import Caution, UserError
from qgf.method.actions import ActionRange
from qgf.method.guided import best_of, refine
from qgf.method.policy import with_fields
from qgf.playing.units import extent_of
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.trained import load_trained

LOW, HIGH = np.array([-2.0, 0.0, 3.0]), np.array([2.0, 0.5, 3.0])
PENDULUM = np.array([-2.0]), np.array([2.0])


def test_scaled_and_back():
    actions = np.array([[-2, 0, 3], [0, 0.25, 3], [1, 0.5, 3], [2.5, 0.5, 3]], np.float32)
    found = scaled(actions, (LOW, HIGH))
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([[-1, -1, 0], [0, 0, 0], [0.5, 1, 0], [1, 1, 0]]))  # beyond is cut off
    both = ActionRange.of((LOW, HIGH), 3)
    assert np.asarray(both.outward(found)) == pytest.approx(np.clip(actions, LOW, HIGH), abs=1e-6)
    assert np.asarray(both.inward(both.outward(found))) == pytest.approx(found, abs=1e-6)
    for ends in ((HIGH, LOW), (LOW, HIGH * np.inf), (LOW[:2], HIGH[:2])):
        with pytest.raises(UserError, match="actions must have"):
            ActionRange.of(ends, 3)


def test_whose_units_actions_are_in():
    ends = lambda x: (np.array([-x]), np.array([x]))
    own = lambda seen, box: in_units_of(ends(seen), ends(box), "it", "there")
    assert own(1.8, 2) and own(2.2, 2)  # beyond [-1, 1]: the environment's; a little more is cut off
    assert not own(0.9, 2) and not own(1, 2)  # as data in [-1, 1] always were
    assert own(0.3, 0.4) and not own(0.9, 0.4) and own(0.9, 1) and own(1, 1)
    assert own(50, np.inf) and own(0.5, np.inf)
    with pytest.raises(UserError, match=r"^it has actions from -3.5 to 3.5, there takes -2 to 2: they are neither"):
        own(3.5, 2)


def arrays(scale, **more):
    rng, n = np.random.default_rng(0), 400
    actions = scale * np.concatenate([[[-1], [1]], rng.uniform(-1, 1, (n - 2, 1))])
    rows = dict(observations=rng.normal(size=(n, 3)), actions=actions, rewards=rng.normal(size=n))
    return rows | dict(terminals=np.arange(n) % 40 == 39) | more


def test_the_range_of_data():
    """Their own, that which they give, or that of an environment that is named."""
    assert Dataset.from_arrays(arrays(1), "x").action_range is None
    found = Dataset.from_arrays(arrays(3), "x")
    assert equal(found.action_range, found.extent) and "by their own range, unless --env" in found.scaling
    assert found.scaled().extent == (pytest.approx(-1), pytest.approx(1)) and found.scaled().scaled().scaling == ""
    given = Dataset.from_arrays(arrays(0.5, action_low=np.array([-2]), action_high=np.array([2])), "x")
    assert equal(given.action_range, PENDULUM) and given.scaled().actions == pytest.approx(given.actions / 2)
    assert equal(fitted(given, "Pendulum-v1").action_range, PENDULUM)  # though they lie in [-1, 1]
    assert equal(fitted(Dataset.from_arrays(arrays(1.9), "x"), "Pendulum-v1").action_range, PENDULUM)
    parts = fitted(Dataset.from_arrays(arrays(1), "x"), "Pendulum-v1")
    assert parts.action_range is None and "taken for parts of that" in parts.notes[-1]
    for wrong, message in (
        (dict(action_low=np.array([-2])), "missing key 'action_high'"),
        (dict(action_low=np.zeros(2), action_high=np.ones(2)), r"must be numbers \[1\]"),
        (dict(action_low=np.array([np.nan]), action_high=np.ones(1)), "must not be above"),
    ):
        with pytest.raises(UserError, match=message):
            Dataset.from_arrays(arrays(1, **wrong), "x")
    with pytest.raises(UserError, match="x has actions of 2 numbers, Pendulum-v1 takes 1"):
        fitted(Dataset.from_arrays(arrays(1, actions=np.zeros((400, 2))), "x"), "Pendulum-v1")


def test_a_range_that_the_file_gives_holds_for_all_its_actions():
    """What is beyond is cut off, and said; a range without width would leave nothing of what varies."""
    ends = lambda x: dict(action_low=np.full(1, -x), action_high=np.full(1, x))
    beyond = Dataset.from_arrays(arrays(3, **ends(1.0)), "x")
    assert beyond.scaled().extent == (-1, 1) and isinstance(beyond.notes[-1], Hazard)
    assert (
        beyond.notes[-1]
        == "actions from -3 to 3 leave the range from -1 to 1 that the file gives: they are cut off there"
    )
    assert Dataset.from_arrays(arrays(1, **ends(1.0)), "x").notes == ()
    with pytest.raises(UserError, match="x: action 0 varies, and 'action_low' and 'action_high' are the same there"):
        Dataset.from_arrays(arrays(1, **ends(0.0)), "x")


TINY = TrainConfig(steps=20, batch_size=16, log_every=20, checkpoint_every=20, horizon=2, method=BC(width=8, depth=1))


def test_raw_and_scaled_data_train_the_same_networks(tmp_path):
    """To the byte; and the policy of the raw ones gives raw actions, the best of some and after a climb, too."""
    np.savez(tmp_path / "unit.npz", **arrays(1))
    np.savez(tmp_path / "raw.npz", **arrays(2))
    for name in ("unit", "raw"):
        train(load_dataset(tmp_path / f"{name}.npz"), TINY, tmp_path / name)
    weights = [(tmp_path / name / "policy" / "model.safetensors").read_bytes() for name in ("unit", "raw")]
    assert weights[0] == weights[1]
    unit, raw = (qgf.Run(tmp_path / name) for name in ("unit", "raw"))
    assert unit.record["data"].get("actions") is None and unit.trained().actions is None
    assert raw.record["data"]["actions"] == [[-2.0], [2.0]] and raw.trained().actions == ((-2.0,), (2.0,))
    assert equal(dataset_of(raw.record).action_range, PENDULUM)
    obs, key = np.zeros((3, 3), np.float32), jax.random.key(1)
    one, two = (run.policy(guide="qgf", strength=1.0) for run in (unit, raw))
    assert two.calibration == one.calibration
    a = one(obs, key)
    assert np.asarray(two(obs, key)) == pytest.approx(2 * np.asarray(a), abs=1e-6)
    for change in (lambda p: best_of(p, 3), lambda p: refine(p, 2, 0.1)):
        x, y = (np.asarray(jax.jit(change(p))(obs, key)[0]) for p in (one, two))
        assert y == pytest.approx(2 * x, abs=1e-5)
    assert np.asarray(raw.q(obs, 2 * a)) == pytest.approx(np.asarray(unit.q(obs, a)), abs=1e-5)
    two.save(tmp_path / "saved")
    again = qgf.Policy.load(tmp_path / "saved")
    assert np.asarray(again(obs, key)) == pytest.approx(np.asarray(two(obs, key)))
    assert equal(extent_of(again), PENDULUM) and extent_of(one)[1] == pytest.approx(1)
    with pytest.raises(UserError, match="scales actions by"):  # the same run as if for another environment
        train(replace(dataset_of(raw.record), action_range=(np.array([-3.0]), np.array([3.0]))), TINY, tmp_path / "raw")
    with pytest.raises(UserError, match="its networks know actions in another range"):
        train(load_dataset(tmp_path / "raw.npz"), TINY, tmp_path / "other", flow=tmp_path / "unit")
    lent = train(load_dataset(tmp_path / "unit.npz"), TINY, tmp_path / "lent", flow=tmp_path / "raw")
    assert load_trained(lent.directory).actions == ((-2.0,), (2.0,))  # with the networks comes what they mean


def test_what_a_policy_falls_back_to_is_in_its_units():
    nan = lambda obs, a, t: a * jnp.nan
    policy = with_fields(
        qgf.guided_flow(nan, lambda obs, a: jnp.sum(a), action_dim=1, weight=0, obs_spec=2, fallback="unguided"),
        actions=ActionRange.of((np.array([1.0]), np.array([3.0])), 1),
    )
    act = lambda **more: float(policy(np.zeros(2), 0, **more)[0, 0])
    assert act(last=np.array([[2.5]])) == pytest.approx(2.5) and act() == pytest.approx(1)  # the nearest to nothing
    assert act(last=np.array([[9.0]])) == pytest.approx(3)


def swing_up(half):
    """A controller of the pendulum as a flow that ends at its torque, in [-half, half]."""

    def velocity(obs, a, t):
        bottom = (
            2 * jnp.sign(jnp.where(obs[2] == 0, 1, obs[2])) * jnp.where(obs[2] ** 2 / 6 + 5 * (obs[0] - 1) < 0, 1, -1)
        )
        torque = jnp.where(obs[0] > 0.9, -10 * jnp.arctan2(obs[1], obs[0]) - 2 * obs[2], bottom)
        return (jnp.clip(torque, -2, 2)[None] * half / 2 - a) / (1 - t)

    nothing = lambda obs, a: 0.0 * a[0]
    return qgf.guided_flow(velocity, nothing, 1, guide="none", weight=0, low=-half, high=half)


def rescaled():
    return RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)


def test_the_pendulum_gets_its_whole_torque():
    """From a policy in [-1, 1], through gymnasium's own wrapper and without; and from one in the pendulum's units."""

    def play(policy, env):
        score = qgf.evaluate(policy, env, episodes=2, seed=3)
        assert score.success is None and np.isnan(score.rate) and score.measure == "return"
        return score.returns

    wrapped = play(swing_up(1.0), f"{__name__}:rescaled")
    with pytest.warns(Caution, match=r"Pendulum-v1 takes actions from -2 to 2: those of the policy, in \[-1, 1\]"):
        unit = play(swing_up(1.0), "Pendulum-v1")
    assert unit == pytest.approx(wrapped, rel=1e-4) and (wrapped > -600).all()
    assert play(swing_up(2.0), "Pendulum-v1") == pytest.approx(wrapped, rel=1e-4)
    with pytest.raises(UserError, match=r"the policy has actions from -4 to 4, Pendulum-v1 takes -2 to 2"):
        play(swing_up(4.0), "Pendulum-v1")
