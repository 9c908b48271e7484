"""Rollouts: every arm meets the same episodes, however many run at a time."""

import csv
import dataclasses
import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from conftest import TASK
from qgf.environments import family_of
from qgf.environments.chunk import ChunkEnv, seed_globals
from qgf.environments.vector import make_vector_env
from qgf.errors import UserError
from qgf.method.guided import guided_flow
from qgf.method.policy import act_jit, with_fields
from qgf.playing.arm import Arm, arms
from qgf.playing.episodes import decision_keys, episode_seeds, evaluate, noise_key, stream_of
from qgf.playing.evaluate import evaluate_run
from qgf.playing.rows import OWN, SHARED
from qgf.playing.scores import Score, read_scores, write_scores
from qgf.statistics import wilson
from qgf.types import Calibration

LIMIT, HORIZON = 23, 4


class Corridor(gymnasium.Env):
    """A point on a line that starts at a seeded place and has to pass 2; it gives up after a seeded number of steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.drift = self.np_random.uniform(-1, 1, 2) * [1, 0.05]
        self.left = self.limit = int(self.np_random.integers(3, LIMIT))
        return self.obs(), {}

    def obs(self):
        return np.array([self.x, self.left / self.limit], np.float32)

    def step(self, action):
        assert self.left > 0, "stepped after its end"
        self.x += 0.3 * float(action[0]) + self.drift
        self.left -= 1
        success = self.x > 2
        return self.obs(), float(success) - 0.1, success, self.left == 0, dict(success=float(success))


class Lanes:
    """The part of gymnasium's vector environment that `evaluate` uses, in one process; keeps what was played."""

    def __init__(self, lanes):
        self.envs = [ChunkEnv(Corridor(), HORIZON) for _ in range(lanes)]
        self.num_envs, env = lanes, self.envs[0]
        self.single_action_space, self.single_observation_space = env.action_space, env.observation_space
        self.observation_space = gymnasium.vector.utils.batch_space(env.observation_space, lanes)
        self.obs = np.zeros((lanes, 2), np.float32)
        self.playing, self.chunks = [None] * lanes, {}

    def reset(self, *, seed, options):
        for lane in np.flatnonzero(options["reset_mask"]):
            assert seed[lane] not in self.chunks, "an episode was started twice"
            self.playing[lane], self.chunks[seed[lane]] = seed[lane], []
            self.obs[lane], _ = self.envs[lane].reset(seed=seed[lane])
        return self.obs.copy(), {}

    def step(self, actions):
        results = []
        for lane, env in enumerate(self.envs):
            if not env._over:
                self.chunks[self.playing[lane]].append(actions[lane])
            results.append(env.step(actions[lane]))
        obs, rewards, terminated, truncated, infos = zip(*results, strict=True)
        self.obs = np.stack(obs)
        merged = {key: np.array([info[key] for info in infos]) for key in infos[0]}
        return self.obs.copy(), np.array(rewards), np.array(terminated), np.array(truncated), merged


def walker(horizon=HORIZON, guide="qgf", weight=0.2, scale=1.0):
    """Noisy steps to the right: the noise decides, so that a wrong key shows."""
    v = lambda obs, a, t: scale * (0.3 + 0.5 * jnp.tanh(obs[0]) * obs[1] - 0.7 * a)
    q = lambda obs, a: jnp.sum(a * (1 + obs[1]))
    return guided_flow(v, q, action_dim=1, horizon=horizon, guide=guide, weight=weight, steps=5)


def replay(policy, seed):
    """One episode by itself, without chunk environment or vector environment, with the actions given by `policy`."""
    env = Corridor()
    obs, _ = env.reset(seed=seed)
    total, steps, path, over = 0.0, 0, [obs], False
    for chunk in policy:
        for action in chunk:
            obs, reward, terminated, truncated, info = env.step(action)
            total, steps, over = total + reward, steps + 1, terminated or truncated
            if over:
                break
        path.append(obs)
        if over:
            break
    return total, steps, bool(info["success"]), np.stack(path)


def same(a: Score, b: Score, **tolerance):
    for name in ("success", "returns", "lengths", "value", "ratio", "skipped"):
        assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **tolerance)
    for x, y in zip(a.paths, b.paths, strict=True):
        assert_allclose(x, y, **tolerance)


@pytest.mark.parametrize("lanes", [1, 3, 11])
def test_every_episode_is_one_episode(lanes):
    """Replay each episode alone, with the actions it was given: nothing leaks from lane to lane or past an end."""
    envs, episodes, seeds = Lanes(lanes), 11, episode_seeds(5, 11)
    score = evaluate(walker(), TASK, episodes, seed=5, envs=envs)
    for k, seed in enumerate(seeds):
        total, steps, success, path = replay(envs.chunks[seed], seed)
        assert_allclose(score.returns[k], total, rtol=1e-6)
        assert (score.lengths[k], score.success[k]) == (steps, success)
        assert_allclose(score.paths[k], path, rtol=1e-6)
    assert 0 < score.success.sum() < episodes
    assert len(set(score.lengths)) > 3 and score.lengths.max() <= LIMIT


def test_the_number_of_lanes_changes_nothing():
    scores = [evaluate(walker(), TASK, 11, seed=2, envs=Lanes(lanes)) for lanes in (1, 2, 5, 16)]
    for other in scores[1:]:
        same(scores[0], other, rtol=1e-4, atol=1e-5)


def test_repeated_calls_on_shared_environments_are_equal_and_seeds_differ():
    envs, scores = Lanes(3), []
    for seed in (0, 1, 0):
        envs.chunks.clear()
        scores.append(evaluate(walker(), TASK, 7, seed=seed, envs=envs))
    first, other, again = scores
    same(first, again, rtol=0)
    assert not np.array_equal(first.lengths, other.lengths)


def test_episodes_do_not_depend_on_how_many_follow():
    few, many = (evaluate(walker(), TASK, n, seed=4, envs=Lanes(3)) for n in (4, 9))
    assert_array_equal(many.lengths[:4], few.lengths)
    assert_allclose(many.returns[:4], few.returns, rtol=1e-5)


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_first_episode_may_be_a_later_one(lanes):
    """Episodes first .. first + n are those of a longer evaluation, to the bit where they share a lane."""
    play = lambda n, first: evaluate(walker(), TASK, n, seed=4, envs=Lanes(lanes), first=first)
    whole, start, rest = play(9, 0), play(4, 0), play(5, 4)
    assert (whole.first, rest.first, rest.episodes) == (0, 4, 5)
    tolerance = dict(rtol=0) if lanes == 1 else dict(rtol=1e-4, atol=1e-5)
    for part, slot in ((start, slice(4)), (rest, slice(4, None))):
        fields = ("success", "returns", "lengths", "value", "ratio", "skipped", "paths")
        same(part, dataclasses.replace(whole, **{name: getattr(whole, name)[slot] for name in fields}), **tolerance)
    assert start.row().outcomes + rest.row().outcomes == whole.row().outcomes
    assert len(set(whole.returns)) == 9


def test_every_arm_meets_the_same_episodes():
    guided, plain = (
        evaluate(walker(guide=g, weight=w), TASK, 8, seed=3, envs=Lanes(3)) for g, w in (("qgf", 2.0), ("none", 0))
    )
    starts = [np.stack([path[0] for path in score.paths]) for score in (guided, plain)]
    assert_array_equal(*starts)
    assert len(np.unique(starts[0][:, 0])) == 8
    assert guided.success.sum() > plain.success.sum()
    assert (guided.ratio > 0).all() and (plain.ratio == 0).all()
    assert (guided.weight, plain.weight) == (2.0, 0.0)


def test_decisions_of_one_episode_have_their_own_noise():
    envs = Lanes(2)
    evaluate(walker(weight=0.0, scale=0.0), TASK, 6, seed=1, envs=envs)  # the actions are the noise itself
    chunks = np.array([chunk.ravel() for episode in envs.chunks.values() for chunk in episode])
    assert len(chunks) > 12
    inside = np.abs(chunks) < 1
    assert len(np.unique(chunks[inside].round(5))) == inside.sum()


def test_value_ratio_and_progress_are_means_over_an_episodes_decisions():
    seen = []
    policy = walker(weight=0.3)
    broken = guided_flow(policy.velocity, lambda obs, a: jnp.nan * jnp.sum(a), 1, weight=1.0, steps=5, horizon=HORIZON)
    score = evaluate(broken, TASK, 5, envs=Lanes(2), progress=lambda *x: seen.append(x))
    decisions = np.array([len(path) - 1 for path in score.paths])
    assert_array_equal(score.skipped, 5 * decisions)
    assert seen[-1] == (5, int(score.success.sum()), 5)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    constant = guided_flow(
        policy.velocity, lambda obs, a: 7.0 + 0 * jnp.sum(a), 1, weight=1.0, steps=5, horizon=HORIZON
    )
    assert_allclose(evaluate(constant, TASK, 5, envs=Lanes(2)).value, 7.0, rtol=1e-6)


def test_a_chunk_stops_where_its_episode_ends():
    env = ChunkEnv(Corridor(), 40)
    start, _ = env.reset(seed=0)
    limit = env.env.limit
    obs, reward, terminated, truncated, info = env.step(np.full((40, 1), -1.0, np.float32))
    assert (info["steps"], info["success"], terminated, truncated) == (limit, False, False, True)
    assert_allclose(reward, -0.1 * limit)
    assert_allclose(obs[0], start[0] + limit * (env.env.drift - 0.3), rtol=1e-5)
    again = env.step(np.full((40, 1), 1.0, np.float32))
    assert_array_equal(again[0], obs)
    assert (again[1], again[4]) == (0.0, dict(success=False, steps=0, known=True, cut=False))


def test_episode_seeds_are_fixed_and_disjoint():
    blocks = [episode_seeds(seed, 200) for seed in range(20)]
    assert len(set(itertools.chain(*blocks))) == 4000
    assert blocks[3][:50] == episode_seeds(3, 50)
    assert all(0 <= s < 2**31 for s in blocks[0])
    streams = [stream_of(env, seed) for env in ("maze-task1", "maze-task2") for seed in range(5)]
    own = [episode_seeds(3, 200, stream) for stream in streams]
    assert len(set(itertools.chain(*own, blocks[3]))) == 2200
    assert stream_of("maze-task1", None) == () and len({str(noise_key(3, stream)) for stream in streams}) == 10


def test_episodes_of_a_training_seed_are_its_own_and_the_arms_share_them():
    """Two arms meet the same starts and noise; another seed, or another task, meets others."""
    play = lambda seed, policy, task=TASK: evaluate(policy, task, 4, seed=5, envs=Lanes(2), training_seed=seed)
    first, again, other = play(0, walker()), play(0, walker(weight=0.0, scale=0.0)), play(1, walker())
    starts = lambda score: np.array([path[0][0] for path in score.paths])
    assert_array_equal(starts(first), starts(again))
    assert not np.isin(starts(other), starts(first)).any()
    shared = evaluate(walker(), TASK, 4, seed=5, envs=Lanes(2))
    assert (first.stream, shared.stream) == (OWN, SHARED)
    assert not np.isin(starts(shared), starts(first)).any()
    same(play(0, walker()), first)


# The real maze


@pytest.fixture(scope="module")
def maze_scores():
    """The same policy in the maze on one and on three processes; long chunks, as every decision costs."""
    policy = guided_flow(
        lambda obs, a, t: 0.2 - 0.5 * a, lambda obs, a: jnp.sum(a), action_dim=2, horizon=50, weight=0.3
    )
    scores = {}
    for lanes in (1, 3):
        envs = make_vector_env(TASK, 50, lanes)
        try:
            scores[lanes] = [evaluate(policy, TASK, 4, seed=6, envs=envs) for _ in range(2)]
        finally:
            envs.close()
    return scores


def test_maze_results_do_not_depend_on_lanes_or_on_what_was_played_before(maze_scores):
    (first, again), (other, _) = maze_scores[1], maze_scores[3]
    same(first, again, rtol=0)
    same(first, other, rtol=1e-4, atol=1e-4)


def test_maze_episodes_start_as_the_environment_seeded_alone(maze_scores):
    env = family_of(TASK).make(TASK)
    score = maze_scores[3][0]
    for seed, path, length, total in zip(episode_seeds(6, 4), score.paths, score.lengths, score.returns, strict=True):
        seed_globals(seed)
        obs, _ = env.reset(seed=seed)
        assert_allclose(path[0], obs, rtol=1e-6)
        assert length <= env.spec.max_episode_steps
        assert len(path) - 1 == -(-length // 50)
        assert -length <= total <= -length + 1  # minus one per step until success
    env.close()


def test_evaluate_run_scores_every_arm_and_seed(own_run):
    chosen = arms(["none", "qgf"], strengths=[0.5], best_of=[1, 2])
    scores = evaluate_run(own_run, chosen, TASK, episodes=1, seed=0)
    assert [s.arm for s in scores] == chosen
    assert {(s.updates, s.policy_seed, s.episodes) for s in scores} == {(400, 0, 1)}
    assert_array_equal(scores[0].paths[0][0], scores[1].paths[0][0])
    assert scores[0].weight == 0 < scores[1].weight


def unplayable(*_):
    raise AssertionError("environments were made")


def test_a_guide_that_a_run_cannot_take_is_refused_before_anything_is_played(own_run, monkeypatch):
    monkeypatch.setattr("qgf.playing.evaluate.environments", unplayable)
    for arm, said in (
        (Arm("cfgrl", 1.0), ": train with --method cfgrl or lab"),
        (Arm("placebo:robustq"), "train with --method robust-q or lab"),
        (Arm("qgf", schedule="linaer"), "did you mean 'linear'"),
    ):
        with pytest.raises(UserError) as caught:
            evaluate_run(own_run, [Arm("none"), arm], TASK, episodes=1, seed=0)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(AssertionError, match="environments were made"):
        evaluate_run(own_run, [Arm("gate")], TASK, episodes=1, seed=0)


def test_receding_horizon_plays_the_first_actions_of_every_chunk():
    lanes, policy = Lanes(2), walker()
    score = evaluate(policy, TASK, 3, seed=3, envs=lanes, execute=2)
    for k, seed in enumerate(episode_seeds(3, 3)):
        chunks = np.stack(lanes.chunks[seed])
        total, steps, success, path = replay(chunks, seed)
        assert (score.lengths[k], score.success[k]) == (steps, success)
        assert_allclose(score.returns[k], total, rtol=1e-6)
        assert chunks.shape == (-(-steps // 2), 2, 1)
        keys = decision_keys(jax.random.key(3), np.stack([np.full(len(chunks), k), np.arange(len(chunks))]))
        assert_allclose(chunks, act_jit(policy, path[:-1], keys)[0][:, :2], rtol=1e-4, atol=1e-5)
    whole = evaluate(policy, TASK, 3, seed=3, envs=Lanes(2))
    same(evaluate(policy, TASK, 3, seed=3, envs=Lanes(2), execute=HORIZON), whole)
    assert not np.array_equal(score.returns, whole.returns)


def test_a_warm_start_denoises_what_is_left_of_the_last_chunk():
    lanes, policy, t0 = Lanes(2), walker(), 0.5
    evaluate(policy, TASK, 3, seed=3, envs=lanes, execute=2, warm=t0)
    for k, seed in enumerate(episode_seeds(3, 3)):
        chunks = np.stack(lanes.chunks[seed])
        path, last = replay(chunks, seed)[3], None
        for n, chunk in enumerate(chunks):
            key = decision_keys(jax.random.key(3), np.array([[k], [n]]))
            if last is None:
                whole = policy(path[n : n + 1], key)[0]
            else:
                left = np.append(last[2:], [last[-1]] * 2, axis=0)
                a0 = (1 - t0) * jax.random.normal(key[0], (HORIZON,)) + t0 * left.ravel()
                whole = policy(path[n : n + 1], key, a0=a0[None], t0=t0)[0]
            last = np.asarray(whole)
            assert_allclose(chunk, last[:2], rtol=1e-3, atol=1e-4)
    for how, said in (
        (dict(warm=0.5), "play fewer than its"),
        (dict(warm=0.5, execute=HORIZON), "play fewer than its"),
        (dict(warm=1.0, execute=2), "t0 must lie in"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate(policy, TASK, 2, envs=Lanes(2), **how)


def test_what_guidance_did_is_measured_where_it_was_played(tmp_path):
    plain = evaluate(walker(), TASK, 3, seed=3, envs=Lanes(2))
    (row,) = [plain.row()]
    assert row.fallbacks is None and row.jerk is not None and row.nats is not None
    write_scores(tmp_path / "evaluation.csv", [plain])
    assert read_scores(tmp_path / "evaluation.csv") == [row]


def test_what_was_played_of_each_chunk_is_part_of_an_arm_and_a_column_only_if_it_was_not_all(tmp_path):
    path, whole, part = tmp_path / "evaluation.csv", score(0), score(1, arm=Arm("qgf", 1.0, execute=2))
    write_scores(path, [whole])
    before = path.read_bytes()
    assert b"execute" not in before
    write_scores(path, [part, score(2, arm=Arm("qgf", 1.0, execute=3))])
    rows = read_scores(path)
    assert [row.arm.label for row in rows] == ["qgf 1", "qgf 1 execute 2", "qgf 1 execute 3"]
    write_scores(path, [part])
    assert read_scores(path) == rows
    assert arms(["none", "qgf"], execute=(2,)) == [Arm("none", execute=2), Arm("qgf", 0.5, execute=2)]


def test_an_arm_says_how_an_ensemble_is_asked_only_where_it_counts():
    both = arms(["none", "qgf"], (0.5,), best_of=(1, 4), members=("own", "0"), choose=("own", "others")[:1])
    assert [arm.label for arm in both] == [
        "none", "qgf 0.5", "qgf 0.5 members 0", "none best-of-4", "qgf 0.5 best-of-4", "qgf 0.5 best-of-4 members 0"
    ]  # fmt: skip
    assert [x.label for x in arms(["none"], execute=(1, 2), warm=0.5)] == [
        "none execute 1 warm 0.5", "none execute 2 warm 0.5"
    ]  # fmt: skip
    (chosen,) = arms(["none"], best_of=(4,), members=("1",), choose=("others",))
    assert chosen.label == "none best-of-4 members 1 choose others"
    by_weight, by_strength = (arms(["qgf"], robust=True, **how)[0] for how in (dict(weights=[3.0]), {}))
    assert by_weight == Arm("qgf", weight=3.0) and by_strength.label == "qgf 0.5 robust"
    held = arms(["none", "qgf"], fallback=("none", "capped"), cap_step=0.5, cap_dim=2)
    assert [arm.label for arm in held] == [
        "none", "qgf 0.5 cap 0.5 v cap 2 sigma", "qgf 0.5 fallback capped cap 0.5 v cap 2 sigma"
    ]  # fmt: skip
    paced = arms(["none", "qgf"], steps=5, solver="midpoint", guide_steps=(3, 5))
    assert [arm.label for arm in paced] == [
        "none midpoint T=5", "qgf 0.5 midpoint T=5 asked 3", "qgf 0.5 midpoint T=5 asked 5"
    ]  # fmt: skip
    shaped = arms(["none", "qgf"], metric=("none", "sigma"), guided_dims=(2, 0))
    assert [arm.label for arm in shaped] == ["none", "qgf 0.5 dims 0 2", "qgf 0.5 metric sigma dims 0 2"]
    for wrong, said in ((dict(members=["meen"]), "did you mean 'mean'"), (dict(choose=["others"]), "members=0")):
        with pytest.raises(UserError, match=said):
            arms(["qgf"], best_of=(4,), **wrong)


def test_an_arm_asks_the_ensemble_as_it_says(tiny_run):
    policy = Arm("qgf", 0.5, best_of=4, members="1", choose="others", robust=True).of(tiny_run.policy())
    wanted = tiny_run.policy(members=1, choose="others", robust=True, best_of=4)
    assert (policy.members, policy.choose, policy.samples) == (1, "others", 4)
    assert float(policy.weight) == float(wanted.weight) != float(tiny_run.policy().weight)


def test_a_run_is_played_with_the_first_actions_of_its_chunks(own_run, monkeypatch):
    told = []
    play = lambda *x, execute=None, training_seed=None, **_: told.append((execute, training_seed)) or score(arm=Arm())
    monkeypatch.setattr("qgf.playing.evaluate.evaluate", play)
    monkeypatch.setattr("qgf.playing.evaluate.environments", lambda *_: Lanes(1))
    monkeypatch.setattr(Lanes, "close", lambda self: None, raising=False)
    evaluate_run(own_run, [Arm("none", execute=2), Arm("none")], TASK, episodes=1, seed=0)
    own = own_run.config.seed
    assert told == [(2, own), (None, own)]
    with pytest.raises(UserError, match="execute must lie between 1 and the 5 actions of a chunk, got 6"):
        evaluate_run(own_run, [Arm("none", execute=6)], TASK, episodes=1, seed=0)


# Refused


@pytest.mark.parametrize("execute", [0, -1, HORIZON + 1])
def test_more_or_fewer_actions_than_a_chunk_has_are_refused(execute):
    with pytest.raises(UserError, match=f"execute must lie between 1 and the 4 actions of a chunk, got {execute}"):
        evaluate(walker(), TASK, 2, envs=Lanes(2), execute=execute)


def test_no_episodes_are_refused():
    for episodes in (0, -3):
        with pytest.raises(UserError, match=f"episodes must be at least 1, got {episodes}"):
            evaluate(walker(), TASK, episodes)


@pytest.mark.parametrize("horizon, action_dim", [(3, 1), (4, 2)])
def test_a_policy_with_other_actions_is_refused(horizon, action_dim):
    policy = guided_flow(lambda o, a, t: -a, lambda o, a: jnp.sum(a), action_dim, horizon=horizon, weight=0.1)
    with pytest.raises(UserError, match=rf"takes actions \[4, 1\], the policy gives \[{horizon}, {action_dim}\]"):
        evaluate(policy, TASK, 2, envs=Lanes(2))


def test_a_policy_for_other_observations_is_refused():
    matrix = jnp.ones((7, HORIZON))
    policy = guided_flow(lambda o, a, t: o @ matrix - a, lambda o, a: jnp.sum(a), 1, horizon=HORIZON, weight=0.1)
    with pytest.raises(UserError, match=r"has observations \[2\], the policy was made for others"):
        evaluate(policy, TASK, 2, envs=Lanes(2))


def test_a_trained_policy_is_refused_where_it_does_not_fit(tiny_run):
    with pytest.raises(UserError, match=r"takes actions \[4, 1\], the policy gives \[5, 2\]"):
        evaluate(tiny_run.policy(), TASK, 2, envs=Lanes(2))


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'pointmaze-medium-navigate-singletask"):
        evaluate(walker(), "pointmaze-medum-navigate-singletask-task1-v0", 2)


# Arms and scores


@pytest.mark.parametrize(
    "successes, episodes, low, high",
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 2, 0.0945, 0.9055),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_interval(successes, episodes, low, high):
    assert_allclose(wilson(successes, episodes), (low, high), atol=6e-5)
    p, z, n = successes / episodes, 1.959963984540054, episodes
    centre, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    assert_allclose(wilson(successes, episodes), (centre - half, centre + half), atol=1e-9)


def test_arms_are_all_combinations_and_none_stands_alone():
    assert arms(["none", "qgf", "cfgrl"]) == [Arm("none"), Arm("qgf", strength=0.5), Arm("cfgrl", strength=1.0)]
    assert arms(["qgf", "none"], strengths=[0.5, 2.0]) == [Arm("qgf", 0.5), Arm("qgf", 2.0), Arm("none")]
    assert arms(["ood"], weights=[0.1], best_of=[1, 4], steps=5) == [
        Arm("ood", weight=0.1, steps=5),
        Arm("ood", weight=0.1, best_of=4, steps=5),
    ]
    with pytest.raises(UserError, match="not both"):
        arms(["qgf"], strengths=[1.0], weights=[0.1])


def test_labels_tell_arms_apart():
    chosen = arms(["none", "qgf", "ood"], strengths=[0.5, 1.0], best_of=[1, 4]) + arms(["qgf"], weights=[0.5])
    assert len({arm.label for arm in chosen}) == len(chosen)
    assert Arm("qgf", strength=0.5, best_of=4).label == "qgf 0.5 best-of-4"
    assert Arm("none").label == "none"


def test_arms_and_labels_have_schedules():
    chosen = arms(["none", "qgf"], strengths=[0.5, 2.0], schedules=["constant", "score"])
    assert chosen == [
        Arm("none"),
        Arm("qgf", 0.5),
        Arm("qgf", 2.0),
        Arm("qgf", 0.5, schedule="score"),
        Arm("qgf", 2.0, schedule="score"),
    ]
    assert [arm.label for arm in chosen[2:4]] == ["qgf 2", "qgf score 0.5"]
    assert len({arm.label for arm in chosen}) == 5
    weighted = guided_flow(
        lambda o, a, t: -a, lambda o, a: jnp.sum(a), 1, weight=0.1, calibration=Calibration(1.0, 1.0)
    )
    assert [arm.of(weighted).schedule for arm in chosen] == ["constant"] * 3 + ["score"] * 2


def test_an_arm_without_amount_has_a_label_and_acts_at_the_default(tiny_run):
    assert Arm("qgf").label.startswith("qgf")
    assert_allclose(Arm("qgf").of(tiny_run.policy()).weight, tiny_run.policy(strength=0.5).weight)


def score(rng_seed=0, episodes=6, **changes):
    rng = np.random.default_rng(rng_seed)
    numbers = {k: rng.uniform(1, 9, episodes) for k in ("returns", "lengths", "value", "ratio")}
    base = dict(env=TASK, seed=0, success=rng.uniform(size=episodes) > 0.5, skipped=np.arange(episodes), seconds=1.0)
    made = Score(**base, **numbers, decision_ms=2.0, weight=0.25, gflop=0.25, arm=Arm("qgf", strength=1.0))
    return dataclasses.replace(made, **changes)


def test_scores_are_written_as_they_are(tmp_path):
    path, one = tmp_path / "evaluation.csv", score()
    assert read_scores(path) == []
    write_scores(path, [one])
    (row,) = read_scores(path)
    low, high = wilson(int(one.success.sum()), 6)
    assert (one.rate, one.interval) == (one.success.mean(), (low, high))
    numbers = {k: getattr(row, k) for k in ("success", "low", "high", "returns", "lengths", "raw_weight", "strength")}
    expected = dict(
        success=one.rate,
        low=low,
        high=high,
        returns=one.returns.mean(),
        lengths=one.lengths.mean(),
        raw_weight=0.25,
        strength=1,
    )
    assert_allclose(list(numbers.values()), list(expected.values()), atol=6e-5)
    assert (row.successes, row.episodes, row.skipped) == (one.success.sum(), 6, 15)


def test_an_arm_that_was_scored_again_is_replaced_and_others_stay(tmp_path):
    path = tmp_path / "evaluation.csv"
    first, plain = score(0), score(1, arm=Arm("none"), weight=0.0)
    write_scores(path, [first, plain])
    again = score(2)
    distinct = [
        score(3, arm=Arm("qgf", strength=2.0)),
        score(4, arm=Arm("qgf", weight=0.25)),
        score(5, arm=Arm("qgf", strength=1.0, best_of=4)),
        score(6, arm=Arm("qgf", strength=1.0, steps=5)),
        score(7, seed=1),
        score(8, episodes=7),
        score(9, policy_seed=1),
        score(10, updates=100),
        score(11, env="other"),
    ]
    write_scores(path, [again, *distinct])
    rows = read_scores(path)
    assert rows == [one.row() for one in (again, plain, *distinct)]
    with open(path, newline="") as file:
        assert len({tuple(row) for row in csv.reader(file)}) == 12  # one header, no row twice


def test_schedule_first_episode_and_outcomes_are_in_a_row(tmp_path):
    success = np.array([True, False, False, True])
    numbers = {k: np.ones(4) for k in ("returns", "lengths", "value", "ratio", "skipped")}
    one = score(arm=Arm("qgf", 1.0, schedule="score"), first=12, success=success, **numbers)
    path = tmp_path / "evaluation.csv"
    write_scores(path, [one])
    (row,) = read_scores(path)
    assert (row.schedule, row.first, row.episodes, row.outcomes) == ("score", 12, 4, "1001")
    others = [score(arm=Arm("qgf", 1.0)), dataclasses.replace(one, first=16), dataclasses.replace(one, seed=1)]
    write_scores(path, [*others, one])
    assert [row.first for row in read_scores(path)] == [12, 0, 16, 12]


OLD = """env,policy_seed,updates,guide,strength,weight,best_of,steps,seed,episodes,successes,success,low,high,returns,\
lengths,value,ratio,skipped,decision_ms,seconds
maze,0,20,qgf,1.0,0.25,1,,0,6,4,0.6667,0.3000,0.9032,4.5123,5.1000,6.0000,0.2000,15,2.00,1.0
maze,0,20,none,,0,1,,0,6,1,0.1667,0.0301,0.5635,5.5123,5.1000,6.0000,0.0000,0,2.00,1.0
maze,0,20,qgf,,0.125,1,,0,6,2,0.3333,0.0968,0.7000,6.5123,5.1000,6.0000,0.2000,0,2.00,1.0
"""


def test_tables_from_before_schedules_are_read_and_added_to(tmp_path):
    path = tmp_path / "evaluation.csv"
    path.write_text(OLD)
    old = read_scores(path)
    assert [(row.schedule, row.first, row.outcomes) for row in old] == [("constant", 0, "")] * 3
    assert [row.arm for row in old] == [Arm("qgf", 1.0), Arm("none"), Arm("qgf", weight=0.125)]
    assert [row.raw_weight for row in old] == [0.25, 0.0, 0.125]
    at = dict(env="maze", updates=20)
    again, scheduled = score(2, **at), score(3, arm=Arm("qgf", 1.0, schedule="linear"), **at)
    write_scores(path, [again, scheduled])
    assert read_scores(path) == [again.row(), *old[1:], scheduled.row()]


def test_the_columns_stand_in_one_order_however_often_the_table_is_written(tmp_path):
    path, heads = tmp_path / "evaluation.csv", []
    for k in range(3):
        write_scores(path, [score(k, seed=k)])
        heads.append(path.read_text().splitlines()[0])
    assert heads[0] == (
        "env,policy_seed,updates,guide,strength,weight,best_of,steps,schedule,seed,first,episodes,raw_weight,"
        "successes,success,low,high,returns,lengths,value,ratio,skipped,outcomes,agreement,gflop,decision_ms,seconds"
    )
    assert len(set(heads)) == 1
    before = path.read_bytes()
    write_scores(path, [score(0)])
    assert path.read_bytes() == before


def test_runs_that_differ_in_their_numbers_share_one_program():
    """Also in their calibration, and are counted once; or every run of a study would compile all its guides again."""
    traced = []

    def v(obs, a, t):
        traced.append(t)
        return 0.3 - 0.7 * a

    policy = guided_flow(v, lambda obs, a: jnp.sum(a), action_dim=1, horizon=HORIZON, weight=0.2, steps=5)
    scores, count = [], []
    for sigma in (0.5, 0.25):
        scaled = with_fields(policy, calibration=Calibration(sigma, 1.0)).guided("qgf", strength=1.0)
        scores.append(evaluate(scaled, TASK, 3, seed=2, envs=Lanes(3)))
        count.append(len(traced))
    assert scores[0].weight == pytest.approx(2 * scores[1].weight)
    assert scores[0].gflop == scores[1].gflop == 0.0, "no matrix product in it"
    assert count[1] == count[0], "the second run was traced again"
