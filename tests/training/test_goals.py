"""Many goals: where they are drawn from, what they pay, what the critics learn of them, and playing every one."""

import csv
import dataclasses
import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import ogbench
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.cli import main as cli
from qgf.critics import IQL
from qgf.critics.losses import Pessimistic
from qgf.data import Dataset
from qgf.data.hindsight import GoalChunks, Mix, draw_goals, goal_returns
from qgf.environments import FAMILIES
from qgf.environments.chunk import ChunkEnv
from qgf.environments.datasets import load_dataset
from qgf.environments.maze import Walks
from qgf.environments.ogbench.names import parse_name
from qgf.errors import Caution, UserError
from qgf.laboratory.analysis import some_states
from qgf.laboratory.compare import compare
from qgf.laboratory.reach import neighbours
from qgf.laboratory.study import read_study
from qgf.method.policy import act_jit
from qgf.networks.blocks import Nets
from qgf.pages.report import report
from qgf.playing.arm import possible
from qgf.playing.evaluate import share_of
from qgf.training.config import TrainConfig
from qgf.training.learner import Learner
from qgf.training.lending import spec_of
from qgf.training.loop import train
from qgf.training.methods.goals import GC
from qgf.training.setup import prepare
from qgf.training.trained import load_trained
from qgf.types import Spec

GOALS = "pointmaze-medium-navigate-oraclerep-v0"
OGBENCH = FAMILIES["ogbench"]
KEY = jax.random.key(0)
replace = dataclasses.replace

# Where goals are drawn from

N, ROWS = 40_000, 10**7  # so many rows that one drawn from all of them is next to never of the episode
FIRST, LAST = 5_000, 5_020


def drawn(mix, first=FIRST, discount=0.9, seed=0):
    at = lambda row: jnp.full(N, row, jnp.int32)
    draw = eqx.filter_jit(lambda key: draw_goals(key, at(first), at(LAST), ROWS, mix, discount))
    return np.asarray(draw(jax.random.key(seed)))


def assert_share(count, p):
    """Within five standard deviations of a binomial."""
    assert abs(count - N * p) <= 5 * math.sqrt(N * p * (1 - p)), (count / N, p)


@pytest.mark.parametrize("mix", [Mix(), Mix(0.5, 0.1, "geometric"), Mix(1.0, 0.0), Mix(0.0, 1.0), Mix(0.0, 0.0)])
def test_goals_have_the_proportions_asked_for(mix):
    goals = drawn(mix)
    later = (goals > FIRST) & (goals <= LAST)
    assert_share((goals == FIRST).sum(), mix.current)
    assert_share(later.sum(), mix.trajectory)
    others = goals[(goals != FIRST) & ~later]
    if len(others):
        assert 0 <= others.min() < ROWS / 100 and ROWS - ROWS / 100 < others.max() < ROWS
        assert abs(others.mean() / ROWS - 0.5) < 5 / math.sqrt(12 * len(others))


def test_a_later_state_is_uniform_up_to_the_episodes_end():
    rows, counts = np.unique(drawn(Mix(0.0, 1.0)), return_counts=True)
    assert_array_equal(rows, np.arange(FIRST + 1, LAST + 1))
    for count in counts:
        assert_share(count, 1 / (LAST - FIRST))


def test_a_later_state_is_geometric_and_stops_at_the_episodes_end():
    rows, counts = np.unique(drawn(Mix(0.0, 1.0, "geometric")), return_counts=True)
    assert_array_equal(rows, np.arange(FIRST + 1, LAST + 1))
    for row, count in zip(rows, counts, strict=True):
        before = 0.9 ** (row - FIRST - 1)
        assert_share(count, before if row == LAST else before * 0.1)


@pytest.mark.parametrize("ahead", ["uniform", "geometric"])
def test_the_last_but_one_state_has_one_later_state(ahead):
    assert set(drawn(Mix(0.0, 1.0, ahead), first=LAST - 1)) == {LAST}


@pytest.mark.parametrize("wrong", [(0.7, 0.7), (-0.1, 0.5), (0.5, -0.1)])
def test_proportions_that_are_none_are_refused(wrong):
    with pytest.raises(UserError, match=r"goals: .* of 1"):
        GC(current=wrong[0], trajectory=wrong[1])
    with pytest.raises(UserError, match="unknown ahead 'later'"):
        GC(ahead="later")


# A dataset whose numbers say which row they are of

LENGTHS, LONG, H = (12, 9, 30), 7, 3


def numbered(method=GC(long=LONG), discount=0.9):
    """Three episodes; observation, goal and action of row i are (i, -i), i + 0.25 and i / 100."""
    rows = np.arange(sum(LENGTHS), dtype=np.float32)
    ends = np.isin(rows, np.cumsum(LENGTHS) - 1)
    data = Dataset("mine", np.stack([rows, -rows], 1), rows[:, None] / 100, ends, goals=rows[:, None] + 0.25)
    return data, method.on_device(data, H, discount, np.zeros(3, np.float32), np.ones(3, np.float32))


def test_batches_hold_the_chunks_of_both_lengths_and_one_goal_for_both():
    _, chunks = numbered()
    rows = jnp.arange(len(chunks.starts))
    batch, first = eqx.filter_jit(chunks.batch)(rows, H, KEY), np.asarray(chunks.starts)
    for part, steps in ((batch, H), (batch.long, LONG)):
        assert_array_equal(part.obs[:, 0], first)
        assert_array_equal(part.obs[:, 1], -first)
        assert_array_equal(part.next_obs[:, 0], first + steps)
        assert_allclose(part.actions, (first[:, None] + np.arange(steps)) / 100, rtol=1e-6)
        assert_array_equal(part.obs[:, 2], batch.obs[:, 2])
        assert_array_equal(part.next_obs[:, 2], batch.obs[:, 2])
    assert_array_equal(batch.obs, eqx.filter_jit(chunks.states)(rows, KEY))
    goal = np.asarray(batch.obs[:, 2] - 0.25, int)
    assert_array_equal(batch.long.returns, goal_returns(first, goal, LONG, 0.9)[0])
    assert_array_equal(batch.bootstrap, goal_returns(first, goal, H, 0.9)[1])


@pytest.mark.parametrize("ahead", ["uniform", "geometric"])
def test_chunks_and_goals_stay_in_their_episode(ahead):
    data, chunks = numbered(GC(long=LONG, current=0.2, trajectory=0.8, ahead=ahead), discount=0.99)
    assert_array_equal(chunks.starts, data.starts(LONG))
    episode = np.repeat(np.arange(3), LENGTHS)
    rows = jnp.tile(jnp.arange(len(chunks.starts)), 200)
    first, goal = np.asarray(chunks.starts)[rows], np.asarray(eqx.filter_jit(chunks.draw)(rows, KEY))
    assert_array_equal(episode[goal], episode[first])
    assert_array_equal(episode[first + LONG], episode[first])
    assert (goal >= first).all() and set(np.flatnonzero(data.ends)) <= set(goal)


def test_observations_and_goals_are_normalised_each_by_their_own_scale():
    data, _ = numbered()
    mean, std = data.normaliser()
    parts = np.concatenate([data.observations, data.goals], axis=1)
    assert_allclose(mean, parts.mean(0), rtol=1e-6)
    assert_allclose(std, parts.std(0), rtol=1e-6)
    chunks = GC(long=LONG).on_device(data, H, 0.99, mean, std)
    assert_allclose(chunks.obs.std(0), 1, rtol=1e-5)
    assert_allclose(chunks.goals[5], (data.goals[5] - mean[2:]) / std[2:], rtol=1e-6)


def looped(first, goal, horizon, discount):
    """Rewards and masks of OGBench's goal-conditioned datasets, step by step."""
    total, alive = 0.0, 1.0
    for i in range(horizon):
        reached = first + i == goal
        total += discount**i * alive * (0.0 if reached else -1.0)
        alive *= 0.0 if reached else 1.0
    return total, discount**horizon * alive


@pytest.mark.parametrize("horizon", [1, 5, 25])
def test_returns_and_bootstraps_are_those_of_a_loop_over_the_steps(horizon):
    first, goal = (x.ravel() for x in np.meshgrid(np.arange(0, 40, 3), np.arange(70)))
    expected = np.array([looped(*pair, horizon, 0.97) for pair in zip(first, goal, strict=True)])
    found = goal_returns(jnp.array(first), jnp.array(goal), horizon, 0.97)
    assert_allclose(np.stack(found, 1), expected, rtol=2e-5, atol=1e-6)


def test_episodes_shorter_than_the_long_chunk_are_left_out_with_a_word():
    with pytest.warns(Caution, match=r"^mine: 1 of 3 episodes are shorter than the action chunk of 9 .* --long takes"):
        prepare(numbered()[0], TrainConfig(steps=1, horizon=H, method=GC(8, 1, IQL(), long=9)))


# What the networks are and learn

SPEC = Spec(obs_dim=5, action_dim=2, horizon=H, goal_dim=2)
METHOD = GC(8, 1, IQL(expectile=0.8), long=LONG, optimism=0.7)
NETS = eqx.filter_jit(METHOD.init)(SPEC, KEY)


def some_batch(n=6):
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.array(rng.normal(size=shape), jnp.float32)
    chunks = GoalChunks(
        draw(60, 3), draw(60, 2), draw(60, 2), jnp.arange(50), jnp.full(50, 59), discount=0.9, mix=Mix(), long=LONG
    )
    return eqx.filter_jit(chunks.batch)(jnp.arange(n), H, KEY)


def test_the_flow_does_not_see_the_goal_and_the_critic_does():
    obs, a, t = jnp.arange(5.0), jnp.linspace(-1, 1, SPEC.d), jnp.array(0.3)
    other = obs.at[3:].add(2.0)
    velocity, critic = METHOD.velocity(NETS), METHOD.guide_critic(NETS)
    assert_array_equal(velocity(obs, a, t), velocity(other, a, t))
    assert np.abs(velocity(obs, a, t) - velocity(obs.at[0].add(2.0), a, t)).max() > 1e-3
    assert abs(critic(obs, a) - critic(other, a)) > 1e-3
    assert isinstance(critic, Pessimistic) and eqx.tree_equal(critic.members, NETS.target)
    assert NETS.flow.net.net.weights[0].shape[0] == 3 + SPEC.d + 9


def test_the_losses_are_the_formulas():
    batch = some_batch()
    long, near = NETS.long(batch.obs, batch.long.actions), NETS.critic(batch.obs, batch.actions)
    reached = batch.long.returns + batch.long.bootstrap * NETS.value(batch.long.next_obs)
    error, low = long - near, NETS.target(batch.obs, batch.actions).min(-1) - NETS.value(batch.obs)
    expected = dict(
        long=np.mean((np.asarray(long) - np.asarray(reached)[:, None]) ** 2),
        critic=np.mean(np.where(error > 0, 0.7, 0.3) * error**2),
        value=np.mean(np.where(low > 0, 0.8, 0.2) * low**2),
    )
    assert set(METHOD.losses()) == {*expected, "flow"}
    for part, value in expected.items():
        assert_allclose(METHOD.losses()[part](getattr(NETS, part), NETS, batch, KEY)[0], value, rtol=1e-5)


def test_no_gradient_crosses_from_one_part_to_another():
    batch = some_batch()
    size = lambda tree: sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))

    @jax.jit
    def slopes(nets):
        of = lambda loss: lambda part, nets: loss(part, nets, batch, KEY)[0]
        losses = METHOD.losses().items()
        return {name: jax.grad(of(loss), argnums=(0, 1))(getattr(nets, name), nets) for name, loss in losses}

    for own, others in slopes(NETS).values():
        assert size(own) > 0 == size(others)


class Table(eqx.Module):
    """A value for every pair of a state and a goal that are whole numbers, whatever the action."""

    cells: jax.Array  # [n, n] or [n, n, members]

    def __call__(self, obs, a=None):
        state, goal = jnp.moveaxis(jnp.round(obs).astype(int), -1, 0)
        return self.cells[state, goal]


CHAIN = 16


class Tables(GC):
    """The method with tables for networks."""

    def parts(self, spec, key):
        both = lambda: Table(jnp.zeros((CHAIN, CHAIN, 2)))
        return dict(critic=both(), target=both(), long=both(), value=Table(jnp.zeros((CHAIN, CHAIN))))

    def losses(self):
        return {name: loss for name, loss in super().losses().items() if name != "flow"}


def test_all_critics_reach_the_analytic_value_on_a_chain():
    """One step to the right per action: Q(s, g) = V(s, g) = -(1 - gamma^k) / (1 - gamma), k = g - s.

    The last states are never the beginning of a long chunk, so that goals among them are left out.
    """
    line = jnp.arange(CHAIN, dtype=jnp.float32)[:, None]
    starts, gamma, mix = jnp.arange(CHAIN - 4), 0.8, Mix(0.2, 0.8)
    chunks = GoalChunks(line, line, 0 * line, starts, jnp.full(CHAIN - 4, CHAIN - 1), discount=gamma, mix=mix, long=4)
    learner = Learner(Tables(critic=IQL(polyak=0.1), long=4), Spec(2, 1, 2, 1), 0.02, 128)
    state, _ = learner.run(learner.init(KEY), chunks, 4000)
    for name in ("long", "critic", "target", "value"):
        cells = np.asarray(getattr(state.nets, name).cells).reshape(CHAIN, CHAIN, -1)
        for s in range(CHAIN - 4):
            for g in range(s, CHAIN - 4):
                assert_allclose(
                    cells[s, g], -(1 - gamma ** (g - s)) / (1 - gamma), atol=0.06, err_msg=f"{name} {s} {g}"
                )


def test_optimism_credits_the_better_continuation():
    """Two continuations of one short chunk, worth 0 and -10: the expectile d of the two is -10 (1 - d)."""

    class Ends(eqx.Module):
        def __call__(self, obs, a):
            return jnp.where(a[..., -1:] > 0, 0.0, -10.0) * jnp.ones(2)

    batch = some_batch(2)
    actions = batch.long.actions.at[:, -1].set(jnp.array([1.0, -1.0]))
    batch = batch._replace(long=batch.long._replace(actions=actions))
    for optimism, value in ((0.5, -5.0), (0.8, -2.0)):
        method = GC(long=LONG, optimism=optimism)
        loss = lambda q, method=method: method._critic(
            lambda obs, a: q * jnp.ones((2, 2)), Nets(long=Ends()), batch, KEY
        )[0]
        assert abs(jax.grad(loss)(jnp.array(value))) < 1e-5 < abs(jax.grad(loss)(jnp.array(value + 1)))


# Names and environments


def test_names_of_goals():
    whole, one = parse_name("cube-single-play-oraclerep"), parse_name("cube-single-play-oraclerep-task3-v0")
    assert whole.full == "cube-single-play-oraclerep-v0"
    assert (whole.env, one.env, whole.task, one.task) == ("cube-single-v0", "cube-single-v0", None, 3)
    assert whole.dataset == one.dataset == "cube-single-play-v0"
    assert whole.goals and one.goals and not whole.single_task
    assert OGBENCH.tasks(GOALS) == [GOALS.replace("-v0", f"-task{k}-v0") for k in (1, 2, 3, 4, 5)]
    for alone in (one.full, "cube-single-play-singletask-task2-v0", "pointmaze-medium-navigate-v0"):
        assert OGBENCH.tasks(alone) == [alone]
    for wrong in ("pointmaze-medum-navigate-oraclerep-v0", GOALS.replace("-v0", "-task6-v0")):
        with pytest.raises(UserError, match="did you mean 'pointmaze-medium-navigate-oraclerep") as error:
            parse_name(wrong)
        assert "singletask" not in str(error.value)
    assert share_of(50, OGBENCH.tasks(GOALS)) == 10
    with pytest.raises(UserError, match="evenly over 5 goals: 12 is no"):
        share_of(12, OGBENCH.tasks(GOALS))


def test_observations_carry_the_goal_of_the_task():
    goals = set()
    for task in (2, 5):
        env = ChunkEnv(OGBENCH.make(GOALS.replace("-v0", f"-task{task}-v0")), 5)
        obs, _ = env.reset(seed=3)
        maze = env.unwrapped
        for _ in range(3):
            assert maze.cur_task_id == task and obs.shape == env.observation_space.shape == (4,)
            assert_allclose(obs, [*maze.get_xy(), *maze.cur_goal_xy], rtol=1e-6)
            before, (obs, *_) = obs, env.step(np.ones((5, 2)))
            assert np.abs(obs[:2] - before[:2]).max() > 1e-3
        assert_allclose(maze.ij_to_xy(maze.cur_task_info["goal_ij"]), obs[2:], atol=2)
        goals.add(tuple(obs[2:]))
    assert len(goals) == 2


def test_without_a_task_every_episode_has_one_of_its_own_by_its_seed():
    env = ChunkEnv(OGBENCH.make(GOALS), 5)
    played = []
    for seed in (*range(8), *range(8)):
        obs, _ = env.reset(seed=seed)
        played.append((env.unwrapped.cur_task_id, *obs))
    assert played[:8] == played[8:] and len({task for task, *_ in played}) > 2


def test_the_goals_of_a_dataset_are_ogbenchs(maze_folder):
    ours = load_dataset(GOALS, maze_folder, download=False)
    env, theirs, _ = ogbench.make_env_and_datasets(GOALS, dataset_dir=str(maze_folder))
    env.close()
    assert_array_equal(ours.goals[~ours.ends], theirs["oracle_reps"])
    assert ours.validation.goals.shape == ours.validation.observations.shape
    assert (ours.name, ours.rewards, ours.goal_dim) == (GOALS, None, 2)
    seen = some_states(ours, 5, 40).observations
    known = {tuple(goal) for goal in ours.validation.goals}
    assert seen.shape == (40, 4) and {tuple(row[2:]) for row in seen} <= known
    assert_array_equal(neighbours(ours, seen, 5, 3), neighbours(replace(ours, goals=None), seen[:, :2], 5, 3))


# A run


@pytest.fixture(scope="module")
def goals(maze_folder):
    return load_dataset(GOALS, maze_folder, download=False)


@pytest.fixture(scope="module")
def run(goals, tiny, tmp_path_factory):
    config = replace(tiny, method=GC(width=16, depth=1))
    return train(goals, config, tmp_path_factory.mktemp("runs") / "goals")


def test_the_wrong_data_or_method_is_one_line(goals, maze, tiny, tmp_path):
    gc = replace(tiny, method=GC(width=16, depth=1))
    for data, config, message in (
        (goals, tiny, "has goals and no rewards.*--method gc"),
        (maze, gc, "method gc needs goals; use a name such as .*-oraclerep-v0"),
        (goals, replace(gc, method=GC(long=3)), "--long 3 must be at least.*--horizon 5"),
        (goals, replace(gc, method=GC(long=2000)), "shorter than the action chunk of 2000.*shorter --long"),
    ):
        with pytest.raises(UserError, match=message) as error:
            train(data, config, tmp_path / "run")
        assert "\n" not in str(error.value) and not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="leave --critic td out"):
        GC(critic="td")


def test_a_run_is_saved_and_acts_through_every_guide_it_has_networks_for(run, goals):
    trained = load_trained(run.directory)
    assert trained.spec == spec_of(goals, run.config) == Spec(4, 2, 5, 2)
    assert trained.method == run.config.method and trained.calibration.grad_norm > 0
    assert {"loss/long", "loss/critic", "loss/value", "loss/flow", "val/long"} <= set(run.metrics())
    obs = goals.seen(np.arange(6), np.random.default_rng(0))
    other = np.concatenate([obs[:, :2], obs[::-1, 2:]], axis=1)
    assert_allclose(trained.policy().velocity.mean, goals.normaliser()[0])
    lacks = possible(run.policy(), ("ood", "jacobian", "gradstep", "gate", "robustq", "cfgrl"))
    assert {guide for guide, lack in lacks.items() if lack} == {"robustq", "cfgrl"}
    for guide in ("none", "qgf"):
        (a, _), (b, _) = (act_jit(run.policy(guide=guide), x, KEY) for x in (obs, other))
        assert a.shape == (6, 5, 2) and np.isfinite(a).all()
        assert np.array_equal(a, b) == (guide == "none")  # the flow alone knows no goal


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_evaluate_plays_the_five_goals(run, capsys):
    cli.main(["evaluate", str(run.directory), "--guide", "none", "--episodes", "5"])
    out = capsys.readouterr().out
    rows = table(run.directory / "evaluation.csv")
    assert [(row["env"], row["episodes"]) for row in rows] == [(name, "1") for name in OGBENCH.tasks(GOALS)]
    solved = {which: int(percent) for which, percent in re.findall(r"^ *none, (.*?) +(\d+) %", out, re.M)}
    assert list(solved) == [f"task {k}" for k in (1, 2, 3, 4, 5)] + ["mean"]
    assert solved["mean"] == 20 * sum(int(row["successes"]) for row in rows)
    assert f"1 episodes per arm and goal, seed 0, {GOALS}" in out
    page = report(run.directory).read_text()
    assert "each arm and goal" in page and "Inside the sampler" in page
    walks = [Walks.load(run.directory / f"walks-task{k}.npz") for k in (1, 2, 3, 4, 5)]
    assert len({tuple(w.maze.goal) for w in walks}) == 5 and all(len(w.paths["none"]) == 1 for w in walks)
    with pytest.raises(SystemExit):
        cli.main(["evaluate", str(run.directory), "--episodes", "7"])
    assert "7 is no multiple" in capsys.readouterr().err


STUDY = """
episodes = 1
[[environment]]
name = "pointmaze-medium-navigate-oraclerep"
tasks = [4, 1]
[train.tiny]
method = "gc"
width = 16
depth = 1
steps = 400
batch_size = 32
log_every = 100
checkpoint_every = 200
[method.none]
guide = "none"
"""


def test_a_study_trains_one_run_for_all_goals(maze_folder, tmp_path):
    (tmp_path / "goals.toml").write_text(STUDY)
    folder = compare(read_study(tmp_path / "goals.toml"), tmp_path / "out", maze_folder).folder
    rows, played = table(folder / "results.csv"), table(folder / "episodes.csv")
    assert [(row["env"], row["task"]) for row in rows] == [(GOALS.removesuffix("-v0"), task) for task in ("4", "1")]
    (run,) = (tmp_path / "out" / "runs").iterdir()
    assert run.name == "pointmaze-medium-navigate-oraclerep-tiny-seed0"
    assert load_trained(run).dataset == GOALS
    assert {row["env"] for row in played} == {OGBENCH.tasks(GOALS)[k] for k in (0, 3)}
