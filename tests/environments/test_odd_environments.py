"""Environments that do what they should not: each is right all the same, or one clear line."""

import random

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import qgf
from qgf.environments import CONTROLLERS, FAMILIES
from qgf.environments.chunk import ChunkEnv
from qgf.environments.datasets import load_dataset
from qgf.environments.success import Rule
from qgf.errors import Caution, UserError

LOW, HIGH = -np.ones(1, np.float32), np.ones(1, np.float32)


class Line(gymnasium.Env):
    """A point on a line, six steps; what a test wants to be odd is given by name."""

    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Box(LOW, HIGH)

    def __init__(self, **odd):
        self.odd, self.at = odd, np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.at[:] = 0, self.odd.get("draw", self.np_random.random)()
        return self.at, {}  # the array that it goes on writing to

    def step(self, action):
        self.steps += 1
        self.at += action
        action *= 0  # an array that it was only lent
        obs = self.odd.get("seen", lambda at: at)(self.at)
        return obs, self.odd.get("reward", -1.0), False, self.steps == 6, dict(self.odd.get("info", {}))


class Former(Line):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class Four(Line):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


class Solved(Line):
    """Stands still once it is solved, in an absorbing state that pays nothing, until time is up."""

    def step(self, action):
        *_, truncated, _ = super().step(action)
        solved = self.steps >= 3
        return np.full(2, float(solved), np.float32), float(solved) - 1, False, truncated, dict(success=solved)


def whole(env, horizon=6, **more):
    """One episode in a chunk: reward, info."""
    chunked = ChunkEnv(env, horizon, name="it", **more)
    chunked.reset(seed=1)
    _, reward, _, truncated, info = chunked.step(np.ones((horizon, 1), np.float32))
    assert truncated
    return reward, info


@pytest.mark.parametrize(
    "env, said",
    [
        (lambda: Line(seen=lambda at: at * np.nan), "it shows an observation with NaN or Inf (at 0)"),
        (
            lambda: Line(seen=lambda at: at[:1]),
            "it shows an observation of shape [1], its space says Box(-9.0, 9.0, (2,)",
        ),
        (lambda: Line(reward=np.nan), "it gives nan for a reward, not a finite number"),
        (lambda: Line(reward=np.ones(2)), "it gives array([1., 1.]) for a reward, not a finite number"),
        (lambda: Line(info=dict(success=0.3)), "info has success 0.3, neither true nor false: say what success is"),
        (lambda: Line(info=dict(success=np.nan)), "info has success nan, neither true nor false"),
        (lambda: Line(info=dict(is_success="False")), "info has is_success 'False', neither true nor false"),
        (Former, "it: its reset returns ndarray, not observation and info: that is gym's former interface"),
        (Four, "it: its step returns 4 things, not five: that is gym's former interface"),
    ],
)
def test_what_an_environment_must_not_give_is_one_line(env, said):
    with pytest.raises(UserError) as caught:
        whole(env())
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_what_solves_a_task_is_true_or_false_or_not_said():
    assert whole(Line(info=dict(success=None)))[1]["known"] is False
    assert whole(Line(info=dict(success=np.array([1.0]))))[1]["success"] is True
    assert whole(Line(info=dict(success=0.3)), success=Rule.of("success>=0.2"))[1]["success"]
    for info, said in ((dict(part=0.3), "part>=1"), (dict(part=np.nan), "no number")):
        with pytest.raises(UserError, match=said):
            Rule.of("part")(info)


def test_actions_that_are_whole_numbers_are_refused():
    env = Line()
    env.action_space = gymnasium.spaces.Box(0, 3, (1,), np.int64)
    with pytest.raises(UserError, match=r"it has actions .*, which are whole numbers"):
        ChunkEnv(env, 1, name="it")


def vector_of_them():
    return SyncVectorEnv([Line] * 2)


def nothing():
    return None


def test_a_factory_makes_one_environment():
    for factory, kind in ((vector_of_them, "SyncVectorEnv"), (nothing, "NoneType")):
        name = f"{__name__}:{factory.__name__}"
        with pytest.raises(UserError, match=f"{factory.__name__} makes {kind}, expected one gymnasium.Env"):
            FAMILIES["gymnasium"].make(name)


def test_an_absorbing_state_is_played_to_its_time_limit_and_counts_once():
    reward, info = whole(Solved())
    assert (reward, info["success"], info["steps"]) == (-2, True, 6)
    short = gymnasium.wrappers.TimeLimit(Solved(), 4)
    assert whole(short)[1]["steps"] == 4


def test_a_wrapper_that_resets_by_itself_does_not_reach_into_the_next_episode():
    reward, info = whole(gymnasium.wrappers.Autoreset(Solved()), horizon=9)
    assert (reward, info["steps"]) == (-2, 6)


def decided(draw):
    """Whether a chunked environment finds that its seed decides what is drawn when an episode begins."""
    env = ChunkEnv(Line(**({} if draw is None else dict(draw=draw))), 3, name="it", doubted=True)
    return env.reset(seed=7)[1]["seeded"]


@pytest.mark.parametrize("draw", [None, random.random, lambda: np.random.rand(), lambda: 0.5])
def test_a_seed_that_decides_is_not_doubted(draw):
    """By its own generator, by Python's or NumPy's, which are seeded, or as nothing is drawn."""
    assert decided(draw)


def test_a_seed_that_decides_nothing_is_said():
    entropy = np.random.default_rng(0).random  # of its own, as one that reset does not seed
    assert not decided(entropy)
    policy = qgf.guided_flow(lambda o, a, t: (0.3 - a) / (1 - t), lambda o, a: a[0], 1, guide="none", weight=0)
    lane = lambda: ChunkEnv(Line(draw=entropy), 1, name="it", doubted=True)
    envs = SyncVectorEnv([lane] * 2, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.warns(Caution, match=r"^it: two resets with one seed began differently: arms do not meet the same"):
        qgf.evaluate(policy, "it", episodes=2, envs=envs)


@pytest.fixture
def registered():
    """line(**odd) registers what is collected by name."""
    yield lambda **odd: gymnasium.register("tiny/Line-v0", entry_point=Line, kwargs=odd)
    gymnasium.registry.pop("tiny/Line-v0", None)
    CONTROLLERS.pop("tiny/Line-v0", None)


def collected(folder, act):
    CONTROLLERS["tiny/Line-v0"] = lambda rng: act
    return load_dataset(FAMILIES["gymnasium"].collect("tiny/Line-v0", 12, directory=folder, overwrite=True))


def test_what_was_collected_is_what_was_seen_and_done(registered, tmp_path):
    """From an environment that writes where it showed its state, and where it was given an action."""
    registered()
    found = collected(tmp_path, lambda obs: 0.25)
    steps = np.diff(found.observations[:7, 0])
    assert steps == pytest.approx([0.25] * 6) and found.actions[~found.ends] == pytest.approx(0.25)


@pytest.mark.parametrize("action", [[np.nan], None, [0.1, 0.2]])
def test_a_controller_gives_as_many_numbers_as_there_are(registered, tmp_path, action):
    registered()
    with pytest.raises(UserError, match=r"tiny/Line-v0: the controller gives .*, expected 1 finite numbers"):
        collected(tmp_path, lambda obs: action)


def test_data_that_cannot_be_collected_again_are_said_to_be_such(registered, tmp_path):
    registered(draw=np.random.default_rng(0).random)
    with pytest.warns(Caution, match="tiny/Line-v0: its reset does not heed its seed: collected again, the data will"):
        collected(tmp_path, lambda obs: 0.25)
