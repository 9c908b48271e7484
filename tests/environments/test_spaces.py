"""Whatever numbers an environment shows, the data that a controller collects in it, and episodes without a limit."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import qgf
from qgf.data.actions import equal
from qgf.data.dataset import references
from qgf.environments import CONTROLLERS, family_of
from qgf.environments.chunk import ChunkEnv
from qgf.environments.datasets import load_dataset, references_of
from qgf.environments.family import success_of
from qgf.environments.spaces import LIMIT, vectors
from qgf.environments.success import Rule
from qgf.environments.vector import make_vector_env
from qgf.errors import Caution, UserError
from qgf.playing.film import film
from qgf.playing.measure import normalised

PAIR = spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 9, (2, 2))))
SEEN = spaces.Dict({"b": spaces.Box(-1, 1, (2,)), "a": PAIR, "c": spaces.Box(0, 1, ())})
PICTURE = spaces.Dict(image=spaces.Box(0, 255, (8, 8, 3), np.uint8), state=spaces.Box(-1, 1, (2,)))


def test_observations_of_parts_become_vectors():
    obs = SEEN.sample()
    size, vector = vectors("it", SEEN)
    assert size == 2 + 3 + 4 + 1 and vector(obs).dtype == np.float32
    assert vector(obs) == pytest.approx(spaces.flatten(SEEN, obs))
    chosen = vectors("it", SEEN, ["c", "b"])
    assert chosen[0] == 3 and chosen[1](obs) == pytest.approx([float(obs["c"]), *obs["b"]])
    assert vectors("it", PICTURE, ["state"])[0] == 2
    for space, keys, message in (
        (SEEN, ["d"], r"^it: observations have no 'd' \(found: a, b, c\); choose with --obs-keys$"),
        (PICTURE, [], r"^it shows pictures \[8, 8, 3\]"),
        (spaces.Sequence(spaces.Box(0, 1, (2,))), [], "policies see vectors of numbers"),
    ):
        with pytest.raises(UserError, match=message):
            vectors("it", space, keys)


class Parts(gymnasium.Env):
    """Two numbers in a dictionary, the second of which an action in [0, 10] sets; no end, and no word on success."""

    observation_space = spaces.Dict(own=spaces.Box(-9, 9, (1,)), goal=spaces.Box(-9, 9, (1,)))
    action_space = spaces.Box(np.zeros(1, np.float32), 10 * np.ones(1, np.float32))

    def __init__(self, often=1.0):
        self.often = often

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.told = self.np_random.uniform() < self.often
        return self._seen(0.0), {}

    def step(self, action):
        gap = abs(float(action[0]) - 5)
        return self._seen(action[0]), -gap, False, False, dict(gap=gap) if self.told else {}

    def _seen(self, x):
        return dict(own=np.float32([x]), goal=np.float32([5]))


@pytest.fixture
def parts():
    gymnasium.register("Parts-v0", entry_point=Parts, max_episode_steps=6)
    gymnasium.register("Endless-v0", entry_point=Parts)
    gymnasium.register("Sometimes-v0", entry_point=Parts, max_episode_steps=6, kwargs=dict(often=0.5))
    yield
    for name in ("Parts-v0", "Endless-v0", "Sometimes-v0"):
        del gymnasium.registry[name]
        CONTROLLERS.pop(name, None)


def constant(level):
    """A policy that acts all the same, here 7: what its flow ends at in [-1, 1] is `level` of [0, 10]."""
    velocity = lambda obs, a, t: (level - a) / (1 - t)
    return qgf.guided_flow(velocity, lambda obs, a: 0.0 * a[0], 1, guide="none", weight=0)


def test_a_controller_collects_and_what_it_did_is_raw(parts, tmp_path):
    CONTROLLERS["Parts-v0"] = lambda rng: lambda obs: [obs["goal"][0] + rng.normal()] if rng.uniform() < 0.9 else [50.0]
    told = []
    collect = family_of("Parts-v0").collect
    path = collect("Parts-v0", 40, 3, directory=tmp_path, progress=lambda done, total: told.append((done, total)))
    assert path == tmp_path / "Parts-v0.npz" and told[-1] == (44, 44)
    found = load_dataset("Parts-v0", tmp_path)
    assert found.transitions == 40 and found.obs_dim == 2 and found.validation.transitions == 4
    assert equal(found.action_range, (np.zeros(1), np.full(1, 10.0))) and found.actions.max() == 10  # what was played
    assert (found.observations[:, 1] == 5).all()  # in the order of the space, not of the alphabet
    steps = ~found.ends
    assert found.observations[1:, 0][steps[:-1]] == pytest.approx(found.actions[:-1, 0][steps[:-1]])
    assert found.rewards[steps] == pytest.approx(-abs(found.actions[steps, 0] - 5)) and (found.masks == 1).all()
    before = path.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        collect("Parts-v0", 40, 3, directory=tmp_path)
    collect("Parts-v0", 40, 3, directory=tmp_path, overwrite=True)
    assert path.read_bytes() == before
    collect("Parts-v0", 40, 4, directory=tmp_path, overwrite=True)
    assert path.read_bytes() != before
    assert (load_dataset(collect("Sometimes-v0", 12, directory=tmp_path)).actions > 1).any()  # at random


def test_keys_choose_what_is_played(parts):
    with_keys = make_vector_env("Parts-v0", 2, 1, ("own",))
    try:
        assert with_keys.single_observation_space.shape == (1,)
    finally:
        with_keys.close()
    with pytest.raises(UserError, match="observations have no 'other'"):
        make_vector_env("Parts-v0", 2, 1, ("other",))


def test_an_episode_without_a_limit_is_cut_off_and_says_so():
    env = ChunkEnv(Parts(), LIMIT - 1)
    env.reset(seed=0)
    chunk = np.full((LIMIT - 1, 1), 5.0)
    *_, terminated, truncated, info = env.step(chunk)
    assert not (terminated or truncated or info["cut"])
    _, reward, terminated, truncated, info = env.step(chunk - 1)
    assert (reward, terminated, truncated, info["cut"], info["steps"], info["known"]) == (
        -1,
        False,
        True,
        True,
        1,
        False,
    )
    assert not ChunkEnv(gymnasium.wrappers.TimeLimit(Parts(), 5000), LIMIT)._limit


@pytest.mark.filterwarnings("ignore::qgf.errors.Caution")
def test_success_by_a_rule(parts):
    """The environment takes [0, 10] and a policy in [-1, 1] acts 7, 2 away from what is asked for."""
    policy = constant(0.4)

    def play(env, rule):
        one = lambda: ChunkEnv(gymnasium.make(env), 1, Rule.of(rule) if rule else success_of)
        envs = SyncVectorEnv([one] * 4, autoreset_mode=AutoresetMode.DISABLED)
        return qgf.evaluate(policy, env, episodes=4, seed=1, envs=envs, rule=rule)

    score = play("Parts-v0", "")
    assert score.success is None and score.returns == pytest.approx(-12, abs=1e-4)
    assert play("Parts-v0", "gap<=2.1").rate == 1 and play("Parts-v0", "gap>=2.1").rate == 0
    assert play("Parts-v0", "return>=-12.1").rate == 1 and play("Parts-v0", "return>=-11.9").rate == 0
    with pytest.raises(UserError, match="in no step has info what the success rule 'distance' asks for"):
        play("Parts-v0", "distance")
    some = play("Sometimes-v0", "gap<=2.1")  # an episode that does not say is not solved
    assert 0 < some.rate < 1


@pytest.mark.parametrize("text", ["", "return", "a<b", ">=3", "a>=x", "a b"])
def test_a_rule_that_is_none(text):
    with pytest.raises(UserError, match="give a key of info"):
        Rule.of(text)


def test_rules():
    assert [Rule.of("won")(x) for x in ({}, dict(won=1), dict(won=np.array([False])))] == [None, True, False]
    assert Rule.of(" gap <= .5 ")(dict(gap=0.5)) and not Rule.of("gap<=.5")(dict(gap=0.6))
    with pytest.raises(UserError, match="no number"):
        Rule.of("won")(dict(won="yes"))


class Often(Parts):
    """Says what success is only where it is one."""

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        return obs, reward, terminated, truncated, dict(success=True) if self.told else {}


def sometimes():
    return gymnasium.wrappers.TimeLimit(Often(0.5), 6)


@pytest.mark.filterwarnings("ignore::qgf.errors.Caution")
def test_an_environment_that_says_it_only_sometimes_is_refused():
    with pytest.raises(UserError, match=r"of 4 episodes ended and no step said whether .*--success"):
        qgf.evaluate(constant(0.4), f"{__name__}:sometimes", episodes=4, seed=1)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_environments_that_reset_themselves_are_refused(mode):
    envs = SyncVectorEnv([lambda: ChunkEnv(sometimes(), 1)] * 2, autoreset_mode=mode)
    with pytest.raises(UserError, match=mode.name + ".*AutoresetMode.DISABLED"):
        qgf.evaluate(constant(0.4), "mine", episodes=2, envs=envs)


@pytest.mark.filterwarnings("ignore:.*are scaled to that")
def test_a_caution_for_what_was_cut_off(parts):
    with pytest.warns(Caution, match=f"Endless-v0 has no time limit: 1 of 1 episodes were cut off after {LIMIT} steps"):
        assert qgf.evaluate(constant(0.4), "Endless-v0", episodes=1).lengths == [LIMIT]


def test_reference_scores_and_the_order_of_parts_come_from_minari(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    seen = dict(own=np.zeros((4, 1), np.float32), goal=np.full((4, 1), 5, np.float32))
    numbers = dict(rewards=[0.0] * 3, terminations=[False] * 3, truncations=[False, False, True], infos={})
    buffer = EpisodeBuffer(id=0, observations=seen, actions=np.ones((3, 1), np.float32), **numbers)
    made = minari.create_dataset_from_buffers(
        "parts-v0", [buffer], observation_space=Parts.observation_space, action_space=Parts.action_space
    )
    made.storage.update_metadata(dict(ref_min_score=-50.0, ref_max_score=-10.0))
    found = load_dataset(tmp_path / "parts-v0")
    assert found.observations[0] == pytest.approx([5, 0]) and found.keys == ("goal", "own")  # an order that is played
    assert vectors("it", Parts.observation_space, found.keys)[1](Parts()._seen(0.0)) == pytest.approx([5, 0])
    assert found.references == (-50, -10)
    assert normalised(-30, found.references) == 50


def test_reference_scores(parts):
    gymnasium.register("Scored-v0", entry_point=Parts, kwargs=dict(ref_min_score=-60, ref_max_score=0.0))
    try:
        assert references_of({}, "Scored-v0") == (-60, 0) and references_of({}, "Parts-v0") is None
    finally:
        del gymnasium.registry["Scored-v0"]
    assert references_of({}, "Scored-v0") is None
    assert references_of(dict(data=dict(references=[1.0, 2.0])), "Parts-v0") == (1, 2)
    for wrong in ((2, 1), (np.nan, 1), (np.zeros(2), 1)):
        arrays = dict(zip(("ref_min_score", "ref_max_score"), map(np.asarray, wrong), strict=True))
        with pytest.raises(UserError, match="'ref_min_score' must be a number below 'ref_max_score'"):
            references(arrays, "x")


class Drawn(Parts):
    def render(self):
        return np.full((8, 8, 3), 99, np.uint8)


def drawn():
    return gymnasium.wrappers.TimeLimit(Drawn(), 6)


@pytest.mark.filterwarnings("ignore::qgf.errors.Caution")
def test_a_film_of_whatever_shows_pictures(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("qgf.playing.film._write", lambda frames, path, fps: seen.append(np.array(frames)) or path)
    film(constant(0.4), f"{__name__}:drawn", tmp_path / "film", episodes=2)
    assert seen[0].shape == (14, 8, 8, 3) and (seen[0] == 99).all()  # the start and six steps, twice
