"""The analysis: on worlds whose answers are known, and against brute force."""

import csv
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file, save_file

import worlds
from qgf import toy
from qgf.cli.main import main
from qgf.data import Dataset
from qgf.errors import UserError
from qgf.files import forget, read_sums
from qgf.laboratory import analysis, noise
from qgf.laboratory.analysis import Asked, analyse, half_critic, halves, some_states
from qgf.laboratory.intervals import mean_interval
from qgf.laboratory.noise import jacobian_matrices, jacobians, noise_sensitivity
from qgf.laboratory.reach import (
    distance_from_data,
    gradient_as_optimiser,
    log_likelihoods,
    nearest_chunk,
    neighbours,
    sweep,
)  # fmt: skip
from qgf.method.guided import guided_flow
from qgf.method.guides import need
from qgf.pages.report import report
from qgf.playing.arm import Arm, runnable
from qgf.training.run import Run
from qgf.types import Members

KEY = jax.random.key(3)
GUIDES = ("ood", "bptt", "chain", "jacobian", "qgf")


def in_world(m, critic, steps=10, low=-6.0, high=6.0):
    """A mixture's exact flow with a critic of the action alone; observations are ignored."""
    velocity = lambda obs, a, t: m.velocity(a, t)
    return guided_flow(
        velocity, lambda obs, a: critic(a), m.means.shape[1], "none", 0.0, steps=steps, low=low, high=high
    )


def states(n):
    return np.zeros((n, 2), np.float32)


def same(x, y):
    return x == y if isinstance(y, str) else np.isclose(x, y)


def the(rows, **wanted):
    """The rows with these entries."""
    return [row for row in rows if all(same(getattr(row, key), x) for key, x in wanted.items())]


# Means, and which guides there are


def test_mean_and_interval_by_hand():
    x = [1.0, 2.0, 4.0, np.nan]
    error = 1.96 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)
    assert_allclose(mean_interval(x), [7 / 3, 7 / 3 - error, 7 / 3 + error], rtol=1e-12)
    assert np.isnan(mean_interval([np.nan, np.nan])).all()


def test_guides_that_the_policy_cannot_run_are_left_out():
    policy = in_world(worlds.mixture(3), worlds.critic)
    assert set(runnable(policy, states(2))) == {*GUIDES, "gradstep"}
    assert runnable(policy, states(2), ("qgf", "placebo")) == ["qgf", "placebo"]


# The gradient under noise


def test_a_linear_critic_has_one_direction_whatever_the_noise(float64):
    slope = jnp.array([1.0, -2.0, 0.5])
    policy = in_world(worlds.mixture(3), lambda a: slope @ a, steps=4)
    rows = noise_sensitivity(policy, states(5), KEY, GUIDES)
    assert len(rows) == len(GUIDES) * 4 * 4
    for guide in ("ood", "chain", "qgf"):
        assert_allclose([row.cosine for row in the(rows, guide=guide)], 1, rtol=1e-12)
    for guide in ("jacobian", "bptt"):
        assert min(row.cosine for row in the(rows, guide=guide) if row.t == 0.5) < 0.999


def test_cosines_equal_their_definition(float64):
    m, n, draws, deviations = worlds.mixture(3), 6, 2, (0.1, 0.5)
    policy = in_world(m, worlds.critic)
    rows = noise_sensitivity(policy, states(n), KEY, ("ood", "qgf"), deviations, draws)
    path, noise = jax.random.split(KEY)
    z = np.asarray(jax.random.normal(noise, (10, n, draws, 3)))
    a = np.asarray(jax.random.normal(path, (n, 3)))
    for k in range(10):
        t = k / 10
        ask = dict(ood=worlds.critic_gradient, qgf=lambda a, t=t: worlds.critic_gradient(worlds.clean(m, a, t)))
        for guide, g in ask.items():
            for eps in deviations:
                each = [
                    [1 - cosine(g(a[i]), g(a[i] + eps * z[k, i, j]), metric="cosine") for j in range(draws)]
                    for i in range(n)
                ]
                (row,) = the(rows, guide=guide, deviation=eps, t=t)
                found = [getattr(row, key) for key in ("cosine", "cosine_low", "cosine_high")]
                assert_allclose(found, mean_interval(np.mean(each, axis=1)), rtol=1e-9)
        a = a + np.stack([worlds.velocity(m, x, t) for x in a]) / 10


def cosine(x, y, metric):
    from scipy.spatial.distance import cdist

    return cdist(x[None], y[None], metric)[0, 0]


class Labelled:
    """A velocity, a critic, and what cfgrl and robustq ask of them."""

    def __init__(self):
        self.labelled = lambda obs, a, t: jnp.array([1.0, 0.0]) - a
        self.labelled.better = lambda obs, a, t: jnp.array([1.0, 2.0]) * a[1] - a

    def __call__(self, obs, a, *t):
        return -a if t else jnp.sum(a)

    def noisy(self, obs, a, t):
        return (1 - t) * a[0] + t * a[1]


def test_guides_that_ask_for_more_are_asked_with_what_they_need(float64):
    parts = Labelled()
    policy = guided_flow(parts, parts, 2, "none", 0.0, steps=4)
    assert {"cfgrl", "robustq"} <= set(runnable(policy, states(2)))
    obs, a, t = jnp.zeros(2), jnp.array([0.3, 0.5]), jnp.array(0.25)
    assert_allclose(noise.direction(policy, "cfgrl")(obs, a, t), [0.5 - 1, 1.0], rtol=1e-12)
    assert_allclose(noise.direction(policy, "robustq")(obs, a, t), [0.75, 0.25], rtol=1e-12)
    rows = noise_sensitivity(policy, states(4), KEY, ("robustq", "cfgrl", "gradstep"))
    assert {row.guide for row in rows} == {"robustq", "cfgrl"}
    assert_allclose([row.cosine for row in the(rows, guide="robustq")], 1, rtol=1e-12)


def test_where_there_is_no_gradient_there_is_no_cosine():
    policy = in_world(worlds.mixture(1), lambda a: 0.0 * jnp.sum(a))
    assert all(np.isnan(row.cosine) for row in noise_sensitivity(policy, states(3), KEY, ("qgf",)))


# Jacobians


@pytest.mark.parametrize("d", worlds.DIMENSIONS)
def test_one_step_jacobian_is_the_mixtures_and_symmetric(d, float64):
    m = worlds.mixture(d)
    policy = in_world(m, worlds.critic, low=-1e-3, high=1e-3)  # neither derivative sees the clipping
    t, one_step, _ = jacobian_matrices(policy, states(4), KEY)
    points = noise.reference_path(policy, states(4), KEY)[1]
    exact = jax.vmap(jax.vmap(m.jacobian, (0, None)))(points, t)
    assert_allclose(one_step, exact, rtol=1e-9, atol=1e-11)
    rows = jacobians(policy, states(4), KEY)
    for k in range(1, 10):
        at = float(t[k])
        values = np.linalg.svd(exact[k], compute_uv=False).mean(0)
        assert_allclose([row.mean for row in the(rows, t=at, quantity="singular value")], values, rtol=1e-8)
        assert the(rows, t=at, quantity="asymmetry")[0].mean < 1e-9


def test_asymmetry_of_a_known_flow(float64):
    slope = np.array([[0.3, 1.0], [-0.5, 0.2]])
    v = lambda obs, a, t: jnp.array(slope) @ a
    policy = guided_flow(v, lambda obs, a: jnp.sum(a), 2, "none", 0.0, steps=4)
    for row in the(jacobians(policy, states(2), KEY), quantity="asymmetry"):
        j = np.eye(2) + (1 - row.t) * slope
        assert_allclose(row.mean, np.linalg.norm(j - j.T) / np.linalg.norm(j + j.T), rtol=1e-12)


def test_amplification_is_the_product_over_the_euler_grid(float64):
    m, steps = worlds.mixture(3), 10
    policy = in_world(m, worlds.critic, steps, low=-1e-3, high=1e-3)  # the chain is measured unclipped
    _, _, chain = jacobian_matrices(policy, states(3), KEY)
    t, points = noise.reference_path(policy, states(3), KEY)
    rows = the(jacobians(policy, states(3), KEY), quantity="amplification")
    for k in range(steps):
        products = []
        for i in range(3):
            product = np.eye(3)
            for j in range(k, steps):
                product = (np.eye(3) + m.velocity_jacobian(points[j, i], t[j]) / steps) @ product
            products.append(product)
        assert_allclose(chain[k], products, rtol=1e-8, atol=1e-10)
        assert_allclose(rows[k].mean, np.mean(np.linalg.norm(products, 2, axis=(1, 2))), rtol=1e-8)


def test_amplification_of_fine_steps_is_the_exact_flows(float64):
    m, steps = worlds.mixture(1), 150
    policy = in_world(m, worlds.critic, steps)
    t, _, chain = jacobian_matrices(policy, states(3), KEY)
    points = noise.reference_path(policy, states(3), KEY)[1]
    exact = jax.vmap(jax.vmap(lambda a, t: m.ode_derivative(a[0], t), (0, None)))(points, t)
    assert_allclose(chain[..., 0, 0], exact, rtol=0.1)
    assert exact.min() < 0.7 and exact.max() > 1.5


# What guidance reaches


def weights(guide, *w):
    return [Arm(guide, weight=x) for x in w]


def test_value_rises_with_the_weight_of_a_concave_critic(float64):
    world = toy.world("gradients")
    policy = in_world(world.mixture, world.true_return)
    chosen = weights("qgf", 0.02, 0.05, 0.1, 0.2, 0.4) + sweep((), samples=(1, 4, 16))
    rows = gradient_as_optimiser(policy, states(300), KEY, chosen)
    assert [row.weight for row in rows] == [0.02, 0.05, 0.1, 0.2, 0.4, 0, 0, 0]
    for part in (rows[:5], rows[5:]):
        assert np.all(np.diff([row.value for row in part]) > 0.01)
    assert rows[5].gain == rows[5].gain_high == 0  # N = 1 is what the others are compared with
    acting, many = policy.guided("qgf", weight=0.2), policy(states(300 * 32), jax.random.fold_in(KEY, 1))
    q = lambda actions: -((np.asarray(actions)[:, 0, 0] - world.best) ** 2)
    before, after, spread = q(policy(states(300), KEY)), q(acting(states(300), KEY)), q(many).reshape(300, 32).std(1)
    assert_allclose(rows[3].value, np.mean(after), rtol=1e-9)
    found = [getattr(rows[3], k) for k in ("gain", "gain_low", "gain_high")]
    assert_allclose(found, mean_interval((after - before) / spread), rtol=1e-9)


def test_the_best_of_n_gains_what_order_statistics_say():
    """For Q linear in Gaussian actions: the largest of N standard normals, whatever the scale and offset of Q."""
    m = toy.Mixture(jnp.zeros((1, 1)), jnp.ones(1), 0.5)
    for scale, offset in ((1.0, 0.0), (100.0, -70.0)):
        policy = in_world(m, lambda a, k=scale, c=offset: k * a[0] + c, steps=50)
        rows = gradient_as_optimiser(policy, states(2000), KEY, sweep((), samples=(4, 16)), lambda obs, a: -3 * a[0])
        # The spread of 32 samples: 1 / E[1/s] is lower than 1 by 3.9 %, so the ratio is larger by as much.
        assert_allclose([row.gain for row in rows], np.array([1.0294, 1.7660]) * 1.039, atol=0.06)
        assert_allclose([row.judged_gain for row in rows], [-row.gain for row in rows], rtol=1e-4)


def test_an_exploited_critic_shows_as_a_gap():
    world = toy.world("gradients")
    policy = in_world(world.mixture, world.critic, world.steps)
    judge = lambda obs, a: world.true_return(a)
    rows = gradient_as_optimiser(policy, states(300), KEY, weights("qgf", 1.0, 2.0, 3.0), judge)
    assert np.all(np.diff([row.value for row in rows]) > 2)
    assert np.all(np.diff([row.gain for row in rows]) > 0.5)
    assert np.all(np.diff([row.judged for row in rows]) < -1)
    assert np.all(np.diff([row.judged_gain for row in rows]) < -0.2)
    assert rows[-1].judged < rows[-1].value - 8


# Distance from the data


@pytest.fixture(scope="module")
def walks():
    """Three episodes of 30, 40 and 50 steps in a 3-dimensional world with very different scales."""
    rng, n = np.random.default_rng(0), 123
    ends = np.isin(np.arange(n), (30, 71, 122))
    obs = (rng.normal(size=(n, 3)) * [1, 100, 0.01]).astype(np.float32)
    actions = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return Dataset("walks", obs, actions, ends, np.zeros(n, np.float32), np.ones(n, np.float32))


def test_neighbours_are_those_of_brute_force(walks):
    horizon, k = 4, 7
    queries = walks.observations[[3, 50, 100]] + np.float32([0.1, 5, 0.001])
    std = walks.observations.std(0)
    expected = []
    for query in queries:
        starts = [r for r in range(123) if not walks.ends[r : r + horizon].any()]
        starts.sort(key=lambda r: np.sum(((walks.observations[r] - query) / std) ** 2))
        expected.append([walks.actions[r : r + horizon].ravel() for r in starts[:k]])
    assert_array_equal(neighbours(walks, queries, horizon, k), expected)
    assert neighbours(walks, queries, horizon, 10_000).shape == (3, len(walks.starts(horizon)), 8)
    assert neighbours(walks, queries, horizon, 1).shape == (3, 1, 8)


def test_nearest_chunk_is_that_of_brute_force():
    rng = np.random.default_rng(1)
    a, chunks = rng.normal(size=(5, 6)), rng.normal(size=(5, 9, 6))
    expected = [min(np.sqrt(np.mean((x - c) ** 2)) for c in near) for x, near in zip(a, chunks, strict=True)]
    assert_allclose(nearest_chunk(a, chunks), expected, rtol=1e-12)


def test_likelihoods_are_the_mixtures(float64):
    m = worlds.mixture(3)
    a = m.sample(jax.random.key(1), 20)
    expected = jax.vmap(lambda a: m.log_prob(a, jnp.ones(())))(a)
    found = log_likelihoods(in_world(m, worlds.critic, low=-0.1, high=0.1), states(20), a, 1e-7)
    assert_allclose(found, expected, atol=5e-5)


def test_guidance_leaves_the_data_and_the_jacobian_stays_nearer(float64):
    world = toy.world("gradients")
    m, n = world.mixture, 100
    policy = in_world(m, world.critic, world.steps)
    data = np.asarray(m.sample(jax.random.key(5), 400)).reshape(1, 400, 1).repeat(n, axis=0)
    chosen = weights("ood", 0.3, 3.0) + weights("jacobian", 3.0)
    rows = distance_from_data(policy, states(n), KEY, chosen, data, dense=40)
    small, large, kept = rows
    assert small.distance < 0.1 < 1 < large.distance
    assert small.distance < kept.distance < large.distance - 1
    assert small.log_likelihood - 4 > kept.log_likelihood > large.log_likelihood + 20
    a = np.asarray(policy.guided("ood", weight=3.0)(states(n), KEY))[:, 0]
    assert_allclose(large.distance, np.mean(nearest_chunk(a, data)), rtol=1e-9)
    exact = [float(m.log_prob(jnp.array(x), jnp.ones(()))) for x in a[:40]]
    assert_allclose(large.log_likelihood, np.mean(exact), rtol=1e-2)


# A run


def test_an_interval_is_for_new_episodes_where_states_share_them():
    x, episodes = np.array([1.0, 2.0, 6.0, 7.0, np.nan, 5.0]), np.array([4, 4, 9, 9, 9, 2])
    mean = 4.2
    sums = [3 - 2 * mean, 13 - 2 * mean, 5 - mean]
    half = scipy.stats.t.ppf(0.975, 2) * np.sqrt(3 / 2 * np.sum(np.square(sums))) / 5
    assert_allclose(mean_interval(x, episodes), [mean, mean - half, mean + half], rtol=1e-12)
    one = mean_interval(x, np.zeros(6))
    assert one[0] == pytest.approx(mean) and np.isnan(one[1:]).all()  # a single episode knows no other
    each = mean_interval(x, np.arange(6))  # every state its own: the usual standard error
    assert each[2] - each[0] == pytest.approx(scipy.stats.t.ppf(0.975, 4) * np.nanstd(x, ddof=1) / np.sqrt(5))


def test_intervals_of_states_of_few_episodes_hold():
    rng, hits = np.random.default_rng(0), {True: 0, False: 0}
    episodes = np.repeat(np.arange(10), 51)
    for _ in range(300):  # correlation .1 within an episode, as 512 states of 10 episodes may have
        x = np.sqrt(0.1) * rng.normal(size=10)[episodes] + np.sqrt(0.9) * rng.normal(size=510)
        for clustered in hits:
            _, low, high = mean_interval(x, episodes if clustered else None)
            hits[clustered] += low <= 0 <= high
    assert hits[True] / 300 > 0.92 and hits[False] / 300 < 0.7


def test_halves_share_the_episodes(walks):
    first, second = halves(walks)
    assert_array_equal(first.observations, np.delete(walks.observations, np.s_[31:72], axis=0))
    assert_array_equal(second.actions, walks.actions[31:72])
    assert_array_equal(np.flatnonzero(first.ends), [30, 81])
    assert (first.transitions, second.transitions, walks.transitions) == (80, 40, 120)
    with pytest.raises(UserError, match="one episode"):
        halves(second)


def test_states_are_of_validation_episodes(maze, walks):
    found = some_states(maze, 5, 40).observations
    assert found.shape == (40, 2)
    known = {tuple(row) for row in maze.validation.observations}
    assert {tuple(row) for row in found} <= known
    many = some_states(walks, 5, 500)
    assert len(many.observations) == len(many.episodes) == 500
    whose = {tuple(row): i for i, rows in enumerate(np.split(walks.observations, [31, 72])) for row in rows}
    assert [whose[tuple(row)] for row in many.observations] == list(many.episodes)


SMALL = dict(guides=("ood", "qgf"), updates=200, states=6, samples=(1, 4))


@pytest.fixture(scope="module")
def analysed(tiny_run, maze_folder, tmp_path_factory):
    """A copy of the tiny run after `analyse`, and what its progress told."""
    directory = tmp_path_factory.mktemp("analysed") / "run"
    shutil.copytree(tiny_run.directory, directory)
    told = []
    folder = analyse(directory, data_dir=maze_folder, progress=lambda *x: told.append(x), **SMALL)
    assert folder == directory / "analysis"
    return directory, report(directory), told


def table(directory, name):
    with open(directory / "analysis" / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_analyse_writes_tables_figures_and_a_section(analysed):
    directory, page, told = analysed
    assert page == directory / "report.html"
    assert "What the gradient is worth" in page.read_text()
    for name in ("noise", "jacobian", "value", "distance", "cost"):
        assert table(directory, name)
        assert (directory / "figures" / f"analysis-{name}.png").stat().st_size > 5000
    assert {row["guide"] for row in table(directory, "noise")} == {"ood", "qgf"}
    value = table(directory, "value")
    assert len(value) == 2 * 5 + 2
    assert all(np.isfinite(float(row[key])) for row in value for key in ("value", "judged", "gain", "judged_gain"))
    assert {name for name, done, total in told if done == total} == {
        "critic of the first half", "critic of the second half", "noise", "Q reached",
        "distance from the data", "cost",
    }  # fmt: skip


def test_the_command_is_the_function(analysed, maze_folder, tmp_path, capsys):
    directory, *_ = analysed
    shutil.copytree(directory, tmp_path / "run")
    for name in ("noise", "jacobian", "value", "distance", "cost"):
        (tmp_path / "run" / "analysis" / f"{name}.csv").unlink()
    options = ("--guide", "ood", "qgf", "--updates", "200", "--states", "6", "--best-of", "1", "4")
    main(["analyse", str(tmp_path / "run"), "--data-dir", str(maze_folder), *options])
    for name in ("noise", "jacobian", "value", "distance"):
        assert table(tmp_path / "run", name) == table(directory, name)
    assert "report.html" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["analyse", str(tmp_path / "run"), "--data-dir", str(maze_folder), "--guide", "qfg"])
    assert "did you mean 'qgf'" in capsys.readouterr().err


def test_the_critics_of_the_halves_differ_and_keep_the_runs_flow(analysed, tiny_run):
    directory, *_ = analysed
    first, second = (Run(directory / "analysis" / name).policy() for name in ("first", "second"))
    obs, a, t = jnp.zeros(2), jnp.full(10, 0.3), jnp.array(0.4)
    for policy in (first, second):
        assert_array_equal(policy.velocity(obs, a, t), tiny_run.policy().velocity(obs, a, t))
    assert first.critic(obs, a) != second.critic(obs, a)
    assert first.calibration != second.calibration


def test_a_second_analysis_trains_nothing_and_gives_the_same(analysed, maze_folder, tmp_path):
    directory, *_ = analysed
    moved = tmp_path / "elsewhere"
    shutil.copytree(directory, moved)
    told = []
    analyse(moved, data_dir=maze_folder, progress=lambda *x: told.append(x[0]), **SMALL)
    assert not any("critic" in name for name in told)
    for name in ("noise", "jacobian", "value", "distance"):
        assert table(moved, name) == table(directory, name)


def test_ensembles_are_asked_as_one_says_and_the_tables_tell_of_it(analysed, maze_folder, tmp_path, monkeypatch):
    directory, *_ = analysed
    shutil.copytree(directory, moved := tmp_path / "asked")
    seen = []
    monkeypatch.setattr(analysis, "_tables", lambda *given: seen.append(given) or ())
    analyse(moved, data_dir=maze_folder, asked=Asked("mean", "min", robust=True), **SMALL)
    (policy, half, judge, *_, how), obs, a = seen[0], jnp.zeros(2), jnp.full(10, 0.3)
    assert (policy.members, half.members, half.choose, how["robust"]) == ("mean", "mean", "min", True)
    second = Run(moved / "analysis" / "second").policy()
    mean = float(need(second.critic, Members)(obs, a).mean())
    assert float(judge(obs, a)) == pytest.approx(mean) != float(second.critic(obs, a))
    assert table(moved, "asked") == [dict(members="mean", choose="min", robust="True")]
    assert "members mean, choose min, robust" in report(moved).read_text()
    analyse(moved, data_dir=maze_folder, **SMALL)
    assert not (moved / "analysis" / "asked.csv").exists()


def test_the_noise_is_that_of_the_members_that_guide():
    slopes = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    critic = lambda obs, a: critic.members(obs, a)[0]
    critic.members = lambda obs, a: slopes @ jnp.tanh(a)
    policy = guided_flow(lambda obs, a, t: -a, critic, 2, "none", 0.0).guided(weight=1.0, members=1)
    assert_allclose(noise.direction(policy, "ood")(jnp.zeros(2), jnp.zeros(2), jnp.zeros(())), slopes[1])


def test_critics_of_another_flow_or_length_are_trained_again(analysed, maze, tiny_run, tmp_path):
    directory, *_ = analysed
    shutil.copytree(directory, tmp_path / "run")
    half, where, told = halves(maze)[0], tmp_path / "run" / "analysis" / "first", []
    again = lambda run, updates: half_critic(run, half, where, updates, lambda *x: told.append(x))
    again(Run(tmp_path / "run"), 200)
    assert not told
    again(Run(tmp_path / "run"), 100)
    assert told == [(100, 100)]
    path = tmp_path / "run" / "policy" / "model.safetensors"
    arrays = load_file(path)
    save_file(arrays | {"nets.flow.net.biases.0": arrays["nets.flow.net.biases.0"] + 1}, path)
    forget(path)  # it is as if written so
    again(Run(tmp_path / "run"), 100)
    assert told == [(100, 100)] * 2


def test_a_half_that_was_killed_before_the_last_of_its_sums_is_listed_and_not_trained_again(analysed, maze):
    directory, told = analysed[0], []
    policy = directory / "analysis" / "first" / "policy"
    known, left = read_sums(policy), policy / ".SHA256SUMS.there.x.part"
    forget(policy / "config.json")
    left.touch()
    os.utime(left, (0, 0))  # so old that it does not matter whose it is
    half_critic(Run(directory), halves(maze)[0], policy.parent, 200, lambda *x: told.append(x))
    assert read_sums(policy) == known and not left.exists() and not told


def test_what_cannot_be_analysed_is_told_before_training(tiny_run, maze_folder, tmp_path):
    with pytest.raises(UserError, match="did you mean 'qgf'"):
        analyse(tiny_run.directory, ("qfg",), data_dir=maze_folder)
    with pytest.raises(UserError, match="noise-conditioned"):
        analyse(tiny_run.directory, ("robustq",), data_dir=maze_folder)
    with pytest.raises(UserError, match="at least two states"):
        analyse(tiny_run.directory, states=1, data_dir=maze_folder)
    with pytest.raises(UserError, match="without a guide"):
        analyse(tiny_run.directory, ("none",), data_dir=maze_folder)
    with pytest.raises(UserError, match="not a run directory"):
        analyse(tmp_path)
    assert not (tiny_run.directory / "analysis").exists()
