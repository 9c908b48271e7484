"""What can be known before a robot moves: critics that are right, that know nothing, that contradict themselves."""

import shutil
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from qgf.cli.main import main
from qgf.data import Dataset
from qgf.deployment.sanity import sanity, verdict
from qgf.errors import UserError
from qgf.method.observations import ObsSpec
from qgf.method.policy import Policy

EPISODES, STEPS = 24, 12


def episodes(success=None, rewarded=None):
    """Of each the action asked for and, of half of them, success, are in the observation."""
    rng = np.random.default_rng(0)
    solved = np.arange(EPISODES) % 2 == 0 if success is None else success
    n = EPISODES * (STEPS + 1)
    ends = np.tile(np.arange(STEPS + 1) == STEPS, EPISODES)
    best = np.repeat(rng.uniform(-0.8, 0.8, EPISODES), STEPS + 1)
    obs = np.stack([best, np.repeat(solved, STEPS + 1)], axis=1).astype(np.float32)
    actions = np.clip(best + 0.1 * rng.normal(size=n), -1, 1)[:, None].astype(np.float32)
    last = np.tile(np.arange(STEPS + 1) == STEPS - 1, EPISODES)
    over = last & np.repeat(solved, STEPS + 1) if rewarded is None else last
    rewards = (over if rewarded is None else last & np.repeat(solved, STEPS + 1)).astype(np.float32)
    data = Dataset("held", obs, actions, ends, rewards, 1 - over.astype(np.float32), rewarded=rewarded)
    return Dataset("all", obs, actions, ends, rewards, data.masks, rewarded=rewarded, validation=data)


def knows(obs, a):
    return obs[..., 1] - jnp.mean((a - obs[..., :1]) ** 2, axis=-1)


def guided(critic, weight=0.1):
    velocity = lambda obs, a, t: obs[..., :1] - a
    spec = ObsSpec.of(jnp.zeros(2))
    return Policy(velocity, critic, weight, -1.0, 1.0, 1, 2, guide="qgf", steps=5, obs_spec=spec)


def checked(critic, data=None, **options):
    weight = options.pop("weight", 0.1)
    checks = sanity(guided(critic, weight), data or episodes(), calls=20, **options)
    return {check.name: check for check in checks}, verdict(checks)


@pytest.mark.parametrize("rewarded", [None, "success-to-go"])
def test_a_critic_that_knows_may_go(rewarded):
    found, (go, why) = checked(knows, episodes(rewarded=rewarded))
    assert go and why.startswith("go:")
    order = found["order"]
    assert order.value == order.high == 1 and 0.7 < order.low < 0.8  # the successful are worth one more; 12 of 12
    shuffled = found["shuffled"]
    assert 0 < shuffled.low < shuffled.value < shuffled.high
    assert found["agreement"].passed is None and "one member" in found["agreement"].why
    assert 0 < found["push"].value < 1 and found["latency"].passed is None


def test_a_critic_that_knows_nothing_may_not():
    found, (go, why) = checked(lambda obs, a: 0.0 * a[..., 0] + 0.3)
    assert not go and found["order"].value == 0.5 and found["shuffled"].value == 0
    assert "does not tell the 12 episodes that succeed from the 12 that fail" in why
    assert "does not look at" in why


def test_a_critic_upside_down_may_not():
    found, (go, _) = checked(lambda obs, a: -knows(obs, a))
    assert not go and found["order"].value == 0 and found["order"].high < 0.3 and found["shuffled"].high < 0


def test_members_that_contradict_each_other_are_heard():
    def critic(obs, a):
        return knows(obs, a)

    critic.members = lambda obs, a: jnp.stack([knows(obs, a), -knows(obs, a)], axis=-1)
    found, (go, why) = checked(critic)
    assert not go and found["agreement"].value == pytest.approx(-1, abs=1e-4)
    assert why == "no go: members do not agree which way is better"


def test_a_push_harder_than_the_policy_is_said():
    found, (go, why) = checked(knows, weight=100.0)
    assert not go and found["push"].low > 1 and "lower the strength" in why


def test_a_robot_that_is_too_fast_is_said():
    found, (go, why) = checked(knows, hz=1e7)
    assert not go and not found["latency"].passed and "2 actions at 1e+07 Hz take 0.0002" in why
    assert checked(knows, hz=0.01)[1][0]


def test_without_failures_success_cannot_be_told_apart():
    found, (go, why) = checked(knows, episodes(np.ones(EPISODES, bool)))
    assert not go and found["order"].passed is None
    assert "24 held-out episodes succeed and 0 fail: it takes two of each" in why


def test_data_without_held_out_episodes_are_a_line(tiny_run, maze_folder, tmp_path, capsys):
    with pytest.raises(
        UserError,
        match=r"all has no held-out episodes to judge by: train with --held-out 0.2, or put them beside it",
    ):
        sanity(guided(knows), replace(episodes(), validation=None))
    run = shutil.copytree(tiny_run.directory, tmp_path / "run")
    with pytest.raises(SystemExit) as ended:
        main(["sanity", str(run), "--data-dir", str(maze_folder), "--hz", "1000"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "no go: " in said.out and "agreement" in said.out and not said.err
    assert (run / "sanity.csv").read_text().startswith("name,value,low,high,asks,passed,why\norder,")
