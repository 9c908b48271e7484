"""A run's scales: settled once, undone outside, stored with the policy."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import qgf
from qgf.data.dataset import Dataset
from qgf.errors import UserError
from qgf.files import LOCK, SUMS, forget
from qgf.files.sums import states
from qgf.training.config import TrainConfig
from qgf.training.export import exported
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.scales import Scales, keep
from qgf.training.trained import load_trained

SHORT = TrainConfig(steps=20, batch_size=16, horizon=2, log_every=10, checkpoint_every=10, method=BC(width=8, depth=1))
KEY = jax.random.key(0)
LARGE = 8192.0  # rewards times a power of two are the same rewards, to the bit, in their own unit


def made(times=1.0, n=200):
    """Two sensors, the second of which is as good as still; a reward that wants the action at 0.5."""
    rng = np.random.default_rng(0)
    obs = np.column_stack([rng.normal(size=n), 0.3 + 1e-5 * rng.normal(size=n)]).astype(np.float32)
    actions = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    rewards = (times * -np.abs(actions[:, 0] - 0.5)).astype(np.float32)
    return Dataset("mine", obs, actions, np.arange(n) % 20 == 19, rewards, np.ones(n, np.float32))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {times: train(made(times), SHORT, folder / f"{times:g}") for times in (1.0, LARGE)}


def change(path, content):
    """Another content of a JSON file, by who knows what he does."""
    path.write_text(json.dumps(content))
    forget(path)


def acts(policy, *rows):
    return np.asarray(policy(np.array(rows, np.float32), KEY))


def test_rewards_times_a_number_train_the_same_networks_and_act_the_same(runs):
    one, many = runs[1.0], runs[LARGE]
    weights = [run.directory / "policy" / "model.safetensors" for run in (one, many)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    rows = made().observations[:8]
    assert_allclose(acts(many.policy(), *rows), acts(one.policy(), *rows), atol=1e-5)
    assert np.abs(acts(many.policy(), *rows) - acts(one.policy(guide="none"), *rows)).max() > 1e-3


def test_values_are_reported_in_the_users_unit(runs):
    one, many = runs[1.0], runs[LARGE]
    a = np.zeros((4, 2, 1))
    rows = made().observations[:4]
    assert_allclose(many.q(rows, a), LARGE * one.q(rows, a), rtol=1e-5)
    assert_allclose(many.v(rows), LARGE * one.v(rows), rtol=1e-5)
    for name in ("q", "v", "target"):
        assert_allclose(many.metrics()[name], LARGE * one.metrics()[name], rtol=1e-5)
    assert_array_equal(many.metrics()["loss/critic"], one.metrics()["loss/critic"])
    gradient = [run.trained().calibration.grad_norm for run in (one, many)]
    assert gradient[1] == pytest.approx(LARGE * gradient[0], rel=1e-5)


def test_a_lent_critic_keeps_its_unit(runs, tmp_path):
    joined = train(made(), SHORT, tmp_path / "joined", critic_from=runs[LARGE].directory)
    rows, a = made().observations[:4], np.zeros((4, 2, 1))
    assert_allclose(joined.q(rows, a), runs[LARGE].q(rows, a), rtol=1e-6)


def test_a_sensor_that_was_still_may_show_anything(runs):
    policy = runs[1.0].policy()
    wanted = acts(policy, [0.5, 0.3], [-2.0, 0.3])
    for off in (1e-3, 0.1, -40.0):
        assert_allclose(acts(policy, [0.5, 0.3 + off], [-2.0, 0.3 + off]), wanted, atol=1e-3)


def test_what_leaves_all_that_was_seen_is_clipped_and_what_is_no_number_is_told(runs):
    trained = runs[1.0].trained()
    limit = trained.limits[0] * trained.std[0]
    policy, edge = runs[1.0].policy(guide="none"), float(trained.mean[0]) + limit
    at = lambda x: np.asarray(policy(np.array([x, 0.3], np.float32), KEY))
    assert_array_equal(at(2 * edge), at(9 * edge))
    assert (at(0.5 * edge) != at(9 * edge)).any()
    for none in (np.nan, np.inf):
        with pytest.raises(UserError, match="not finite"):
            at(none)


def test_policies_of_former_formats_act_as_before(runs, tmp_path):
    folder = tmp_path / "policy"
    shutil.copytree(runs[1.0].directory / "policy", folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    assert config["format"] == 3 and config["reward_unit"] == pytest.approx(1.5, rel=0.01)
    change(path, {key: x for key, x in config.items() if key not in ("limits", "reward_unit")} | dict(format=2))
    old, new = load_trained(folder).policy(), runs[1.0].policy(guide="none")
    assert old.velocity.limits is None and old.critic.unit is None
    inside = [0.5, 0.3]
    assert_array_equal(acts(old, inside), acts(new, inside))
    assert (acts(old, [50.0, 0.3]) != acts(new, [50.0, 0.3])).any()
    change(path, config | dict(limits=[1.0]))
    with pytest.raises(UserError, match="at limits: must have 2 numbers, has 1"):
        load_trained(folder)


def test_a_policy_that_was_saved_has_them_too(runs, tmp_path):
    policy = runs[LARGE].policy(strength=0.5)
    policy.save(tmp_path / "saved")
    again = qgf.Policy.load(tmp_path / "saved")
    rows = [0.5, 0.3], [900.0, 2.0]
    assert_array_equal(acts(again, *rows), acts(policy, *rows))
    assert float(again.critic.unit) == float(policy.critic.unit) > LARGE


def test_a_finished_run_is_not_written_again(runs, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(runs[1.0].directory, directory)
    there = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in directory.rglob("*") if path.is_file()}
    train(made(), SHORT, directory)
    new = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in directory.rglob("*") if path.is_file()}
    assert {path for path in new if new[path] != there.get(path)} <= {directory / LOCK}
    (directory / "policy" / "model.safetensors").unlink()
    train(made(), SHORT, directory)
    assert load_trained(directory).updates == 20


def test_a_run_goes_on_with_the_scales_it_began_with(runs, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(runs[1.0].directory, directory)
    path = directory / "scales.json"
    scales = json.loads(path.read_text())
    change(path, scales | dict(mean=[0.25, 0.5], reward_unit=2.0))
    trained = train(made(), replace(SHORT, steps=30), directory).trained()
    assert_array_equal(trained.mean, [0.25, 0.5])
    assert trained.reward_unit == 2 and trained.limits == tuple(scales["limits"])
    change(path, scales | dict(std=[0.0, 1.0]))
    with pytest.raises(UserError, match=r"scales\.json: at std"):
        train(made(), replace(SHORT, steps=40), directory)
    forget(path)
    path.unlink()  # as before there were any
    trained = train(made(), replace(SHORT, steps=40), directory).trained()
    assert trained.limits is None and trained.reward_unit == 1
    assert_allclose(trained.std[1], 1e-5, rtol=0.2)


def test_a_sum_that_a_kill_left_out_is_listed_by_the_next_run(runs, tmp_path):
    """After the file and before its sum: of the scales, and of the policy, with which a run is finished."""
    for _ in range(2):
        keep(tmp_path, Scales(np.zeros(2), np.ones(2), None, 1.0))
        assert states(tmp_path) == {"scales.json": "good"}
        forget(tmp_path / "scales.json")
    policy = tmp_path / "policy"
    shutil.copytree(runs[1.0].directory / "policy", policy)
    updates = load_trained(policy).updates
    assert exported(policy, 1, updates)
    forget(policy / "config.json")
    assert not exported(policy, 1, updates)
    (policy / SUMS).unlink()  # as of a version that had none
    assert exported(policy, 1, updates)


@pytest.mark.parametrize("times", [1e37, 1e-30, 1e-40])
def test_rewards_that_float32_cannot_square_are_refused_before_anything_is_written(times, tmp_path):
    """The length of their critic's gradient would be 0 or infinite, and so would guidance."""
    with pytest.raises(
        UserError, match=r"^mine: rewards have a size of .* which float32 cannot square: multiply them by"
    ):
        train(made(times), SHORT, tmp_path / "run")
    assert not (tmp_path / "run").exists()
