"""What steps OGBench's robot arm at less cost gives its numbers, all of them, to the last bit."""

import gymnasium
import numpy as np
import ogbench  # noqa: F401  its environments are gymnasium's then
import pytest
from gymnasium.utils import seeding
from numpy.testing import assert_array_equal
from ogbench.manipspace.envs.manipspace_env import ManipSpaceEnv

from qgf.environments import family_of
from qgf.environments.ogbench.making import made
from qgf.environments.ogbench.names import parse_name
from qgf.environments.ogbench.oracles import _oracles
from qgf.environments.simulators import quiet
from qgf.environments.vector import make_vector_env


def pair(name, **options):
    parsed = parse_name(name)
    with quiet():
        theirs = gymnasium.make(parsed.env, **options)
    return theirs, made(parsed, **options)


def assert_same(theirs, ours):
    """(observation, reward, terminated, truncated, info), or (observation, info)."""
    assert_array_equal(theirs[0], ours[0])
    assert theirs[1:-1] == ours[1:-1]
    assert theirs[-1].keys() == ours[-1].keys()
    for key, value in theirs[-1].items():
        assert_array_equal(value, ours[-1][key], key)


def assert_same_state(theirs, ours):
    theirs, ours = theirs.unwrapped, ours.unwrapped
    assert_array_equal(theirs.data.qpos, ours.data.qpos)
    assert_array_equal(theirs.data.qvel, ours.data.qvel)
    for what in ("geom_rgba", "mat_rgba", "dof_damping", "site_pos"):
        assert_array_equal(getattr(theirs.model, what), getattr(ours.model, what), what)


def start(env, seed):
    """A first observation and its info. OGBench's own environments draw actions to settle the goal, from nowhere."""
    np.random.seed(seed)
    env.action_space.seed(seed)
    return env.reset(seed=seed)


@pytest.fixture(autouse=True)
def seeded(monkeypatch):
    """Made, OGBench's environments are reset without a seed, and some of what that drew is never drawn again."""
    from_a_seed = seeding.np_random
    monkeypatch.setattr(seeding, "np_random", lambda seed=None: from_a_seed(seed or 0))
    box = ManipSpaceEnv.action_space.fget(None)
    monkeypatch.setattr(ManipSpaceEnv, "action_space", box)


@pytest.mark.parametrize("name", ["cube-double-play-singletask-task2", "puzzle-3x3-play-singletask-task1"])
def test_random_actions(name):
    theirs, ours = pair(name)
    for seed, size in ((0, 0.5), (1, 2.0)):
        assert_same(start(theirs, seed), start(ours, seed))
        actions = np.random.default_rng(seed).normal(0, size, (40, 5)).clip(-1, 1)
        actions[:, 2] -= 0.5 * (seed == 0)  # down, to where there are things to touch
        for action in (actions.clip(-1, 1), actions.astype(np.float32).clip(-1, 1))[seed]:
            assert_same(theirs.step(action), ours.step(action))
        assert_same_state(theirs, ours)


@pytest.mark.parametrize(("name", "steps"), [("cube-single-play", 60), ("scene-play", 250)])
def test_what_the_oracles_do(name, steps):
    group = parse_name(name).group
    theirs, ours = pair(name, mode="data_collection", terminate_at_goal=False)
    obs, info = start(theirs, 0)
    assert_same((obs, info), start(ours, 0))
    oracles, seen, states = _oracles(theirs, group, "play"), set(), set()
    oracle = oracles[info["privileged/target_task"]]
    oracle.reset(obs, info)
    for _ in range(steps):
        action = np.clip(oracle.select_action(obs, info), -1, 1)
        step = theirs.step(action)
        assert_same(step, ours.step(action))
        obs, info = step[0], step[-1]
        seen.add(info["privileged/target_task"])
        states.add(tuple(info.get("button_states", ())))
        if oracle.done:
            fresh = theirs.unwrapped.set_new_target(p_stack=0.5)
            assert_same(fresh, ours.unwrapped.set_new_target(p_stack=0.5))
            obs, info = fresh
            oracle = oracles[info["privileged/target_task"]]
            oracle.reset(obs, info)
    assert_same_state(theirs, ours)
    if group == "scene":
        assert len(seen) > 1 and len(states) > 1  # locks were turned, and things moved


def test_a_lane_is_the_environment_made_alone():
    name = "cube-single-play-oraclerep"
    envs = make_vector_env(name, horizon=2, lanes=2)
    try:
        obs, _ = envs.reset(seed=[3, 4], options=dict(reset_mask=np.ones(2, bool)))
        actions = np.random.default_rng(0).uniform(-1, 1, (2, 2, 5)).astype(np.float32)
        after, rewards, _, _, infos = envs.step(actions)
    finally:
        envs.close()
    alone = family_of(name).maker(name)()
    for lane, seed in enumerate((3, 4)):
        assert_array_equal(start(alone, seed)[0].astype(np.float32), obs[lane])
        steps = [alone.step(action) for action in actions[lane]]
        assert_array_equal(steps[-1][0].astype(np.float32), after[lane])
        assert rewards[lane] == sum(step[1] for step in steps) and infos["steps"][lane] == 2
        assert set(steps[-1][-1]) == {"success"}  # which is all that is asked
    again = [alone.reset(seed=3)[1]["control"] for _ in range(2)]  # what the settling of the goal left
    assert_array_equal(*again)
