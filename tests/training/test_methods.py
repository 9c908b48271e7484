"""Training methods: what each loss learns against closed forms, side by side, and from networks that are lent."""

import dataclasses
import shutil
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from qgf.critics import IQL
from qgf.errors import UserError
from qgf.method.flow import interpolate
from qgf.method.guides import GUIDES, need
from qgf.method.policy import act_jit
from qgf.method.toy import Mixture
from qgf.networks.blocks import Nets
from qgf.playing.arm import possible
from qgf.training.config import from_json, to_json
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.lending import _donated
from qgf.training.loop import train
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC, noise_and_time
from qgf.training.methods.cfgrl import CFGRL
from qgf.training.methods.edp import EDP
from qgf.training.methods.lab import Lab
from qgf.training.methods.robustq import RobustQ
from qgf.training.trained import Trained, load_trained, save_trained
from qgf.types import Batch, Better, Calibration, Labelled, Members, Noisy, Spec

replace = dataclasses.replace
SPEC = Spec(obs_dim=1, action_dim=1, horizon=1)

# A bandit: two peaks, a critic that is known, V = 0, so that the upper peak has positive advantage

WORLD = Mixture(jnp.array([[-0.7], [0.5]]), jnp.array([0.6, 0.4]), 0.2)
UPPER = Mixture(WORLD.means[1:], WORLD.weights[1:], WORLD.std)


def q_of(a):
    return a * (1 + 0.8 * a)


def two_critics(sign, obs, a):
    """Each is too high on one side; their minimum is sign Q."""
    q, up = sign * q_of(a[..., 0]), a[..., 0] > 0
    return jnp.stack([q + jnp.where(up, 0, 3), q + jnp.where(up, 2, 0)], axis=-1)


TARGET, ONLINE = (jax.tree_util.Partial(two_critics, jnp.array(sign)) for sign in (1.0, -1.0))
LEVEL = jax.tree_util.Partial(lambda height, obs: height + 0 * obs[..., 0], jnp.array(0.0))
KNOWN = dict(flow=None, critic=ONLINE, value=LEVEL, target=TARGET)


def bandit_batch(n, seed=0):
    a = WORLD.sample(jax.random.key(seed), n)
    return Batch(jnp.zeros((n, 1)), a, jnp.zeros(n), jnp.zeros(n), jnp.zeros((n, 1)))


@pytest.fixture(scope="module")
def fitted():
    """RobustQ's critic and CFGRL's flow after a short training beside the known networks."""
    rate = optax.cosine_decay_schedule(5e-3, 5000)
    learner = Learner(Lab(width=32, depth=2), SPEC, rate, 512, jax.tree.map(jnp.copy, KNOWN))
    a = WORLD.sample(jax.random.key(7), 100_000)
    rows = jnp.arange(len(a) - 1)
    data = Chunks(jnp.zeros((len(a), 1)), a, rows, 0.0 * rows, 0.0 * rows)
    state, logs = learner.run(learner.init(jax.random.key(0)), data, 5000)
    return state.nets, logs


def noisy_points(world=WORLD, n=4000):
    """(a_t, t) as they occur in training, away from the last moments, where everything is steep."""
    rng = np.random.default_rng(3)
    a1, t = world.sample(jax.random.key(11), n), jnp.array(rng.uniform(0, 0.9, n), jnp.float32)
    return interpolate(jnp.array(rng.normal(size=(n, 1)), jnp.float32), a1, t), t


def error(found, exact):
    """Root mean square, relative to the spread of the exact values."""
    found, exact = np.asarray(found), np.asarray(exact)
    assert found.shape == exact.shape
    return np.sqrt(np.mean((found - exact) ** 2)) / exact.std()


def posterior_q(a, t):
    """E[Q(a_1) | a_t]: Q is quadratic and the posterior a mixture of Gaussians."""
    variance = (1 - t) ** 2 + (t * WORLD.std) ** 2
    means = WORLD.means[:, 0] + t * WORLD.std**2 / variance * (a - t * WORLD.means[:, 0])
    return WORLD.responsibilities(a, t) @ (q_of(means) + 0.8 * WORLD.std**2 * (1 - t) ** 2 / variance)


def test_the_bandits_closed_forms():
    """The mean of Q by quadrature, and hardly any data where the advantage has the other peak's sign."""
    density = lambda x: 0.6 * norm.pdf(x, -0.7, 0.2) + 0.4 * norm.pdf(x, 0.5, 0.2)
    x = np.linspace(-3, 3, 20_001)
    for a, t in ((0.3, 0.5), (-0.4, 0.8)):
        weight = density(x) * norm.pdf(a, t * x, 1 - t)
        assert_allclose(posterior_q(jnp.array([a]), jnp.array(t)), weight @ q_of(x) / weight.sum(), rtol=1e-4)
    spill = [density(y) for y in x[(x > 0) != (q_of(x) > 0)]]
    assert sum(spill) * (x[1] - x[0]) < 0.005
    assert norm.cdf(0, 0.5, 0.2) < 0.01 and norm.sf(0, -0.7, 0.2) < 0.001


def test_robustq_learns_the_mean_of_q_given_the_noisy_action(fitted):
    nets, (a, t) = fitted[0], noisy_points()
    found, exact = eqx.filter_jit(nets.noisy)(jnp.zeros((len(a), 1)), a, t), jax.vmap(posterior_q)(a, t)
    assert error(found, exact) < 0.08
    for wrong in (q_of(a[:, 0]), q_of(jax.vmap(WORLD.clean)(a, t)[:, 0])):  # Q of the noisy action, Q of its mean
        assert error(wrong, exact) > 0.4


def test_cfgrl_learns_the_flow_of_all_data_and_that_of_the_better_half(fitted):
    flow, (a, t) = fitted[0].labelled, noisy_points()
    obs = jnp.zeros((len(a), 1))
    assert error(eqx.filter_jit(flow)(obs, a, t), jax.vmap(WORLD.velocity)(a, t)) < 0.1
    a, t = noisy_points(UPPER)
    exact = jax.vmap(UPPER.velocity)(a, t)
    assert error(eqx.filter_jit(flow.better)(obs, a, t), exact) < 0.08
    assert error(jax.vmap(WORLD.velocity)(a, t), exact) > 0.4


def test_what_is_frozen_stays_although_targets_drift_after_every_update(fitted):
    nets, logs = fitted
    assert [float(x) for x in jax.tree.leaves((nets.critic, nets.target, nets.value))] == [-1.0, 1.0, 0.0]
    assert_array_equal(Lab().after(nets).target.args[0], np.float32(0.99))  # where they would have gone
    assert set(logs) == {"loss/labelled", "loss/noisy", "better"}
    assert_allclose(logs["better"], 0.4, atol=0.01)


# The losses themselves


def bandit_nets(**parts):
    return Nets(**(KNOWN | dict(labelled=None, noisy=None) | parts))


N, KEY = 200_000, jax.random.key(2)
BATCH = bandit_batch(N)


def test_robustqs_loss_is_flat_at_the_exact_mean(float64):
    """Its gradient in any direction, such as features of (a_t, t), is a mean of errors that know nothing of a_t."""

    def features(a, t):
        return jnp.stack([jnp.ones_like(t), t, a[:, 0], a[:, 0] * t, a[:, 0] ** 2, jnp.sin(3 * a[:, 0])])

    def loss(tilt, shift=0.0):
        noisy = lambda obs, a, t: jax.vmap(posterior_q)(a, t) + shift + tilt @ features(a, t)
        return RobustQ()._noisy(noisy, bandit_nets(), batch, KEY)[0]

    batch = jax.tree.map(lambda x: x.astype(float), BATCH)
    slope = jax.jit(jax.grad(loss))
    a0, t = noise_and_time(KEY, batch)
    a = interpolate(a0, batch.actions, t)
    each = -2 * (q_of(batch.actions[:, 0]) - jax.vmap(posterior_q)(a, t)) * features(a, t)
    assert_allclose(slope(jnp.zeros(6)), each.mean(axis=1), rtol=1e-8, atol=1e-10)
    error = np.std(each, axis=1) / np.sqrt(N)
    assert (np.abs(slope(jnp.zeros(6))) < 4 * error).all()
    assert np.abs(slope(jnp.zeros(6), 0.05) / error).max() > 20  # so small an offset would show


class Seen:
    """A labelled flow that notes what it is asked."""

    def given(self, obs, a, t, label):
        self.asked = obs, a, t, label
        return jnp.zeros_like(a)


def labels(method, key=KEY):
    flow = Seen()
    _, logs = method._labelled(flow, bandit_nets(), BATCH, key)
    return *map(np.asarray, flow.asked), logs


def test_a_tenth_of_the_labels_is_left_out_at_random():
    obs, a, t, label, logs = labels(CFGRL())
    known, better = label[:, 0] == 1, np.asarray(q_of(BATCH.actions[:, 0])) > 0
    assert set(map(tuple, label)) == {(0, 0), (1, 0), (1, 1)}
    assert_array_equal(label[known, 1], better[known])
    assert abs(known.mean() - 0.9) < 4 * np.sqrt(0.09 / N)
    assert abs(known[better].mean() - known[~better].mean()) < 4 * np.sqrt(0.09 / N / 0.24)
    assert_allclose(logs["better"], better.mean(), rtol=1e-5)
    assert_array_equal(obs, BATCH.obs)
    # noise and time know nothing of the label, nor of each other
    a0 = (a[:, 0] - t * np.asarray(BATCH.actions[:, 0])) / np.maximum(1 - t, 1e-2)
    columns = np.stack([a0, t, known, better])[:, t < 0.99]
    correlation = np.corrcoef(columns) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(N)
    assert_allclose([columns[0].mean(), columns[0].std()], [0, 1], atol=0.01)
    assert_allclose([t.mean(), t.std()], [0.5, 12**-0.5], atol=0.003)


def test_other_fractions_of_labels_are_left_out():
    for fraction in (0.0, 1.0, 0.5):
        known = labels(CFGRL(unlabelled=fraction))[3][:, 0]
        assert abs(known.mean() - (1 - fraction)) <= 4 * np.sqrt(fraction * (1 - fraction) / N)


def test_the_label_is_the_sign_of_the_target_critics_lower_value_against_v():
    level = jax.tree_util.Partial(LEVEL.func, jnp.array(0.5))
    flow = Seen()
    CFGRL(unlabelled=0.0)._labelled(flow, bandit_nets(value=level), BATCH, KEY)
    assert_array_equal(flow.asked[3][:, 1], q_of(BATCH.actions[:, 0]) > 0.5)
    assert 0.1 < flow.asked[3][:, 1].mean() < 0.35


# Trained


TINY = Spec(3, 2, 2)


def random_batch(spec, n=16):
    rng = np.random.default_rng(0)
    sizes = (n, spec.obs_dim), (n, spec.d), (n,), (n,), (n, spec.obs_dim)
    return Batch(*(jnp.array(rng.normal(size=size), jnp.float32) for size in sizes))


def test_every_loss_of_every_method_has_a_gradient_in_its_own_part_alone():
    """Also if the networks that a loss looks at were differentiated, except those of the TD target's other parts."""
    method, batch = Lab(width=8, depth=1), random_batch(TINY)
    nets = method.init(TINY, jax.random.key(0))
    size = lambda tree: sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))

    @jax.jit
    def slopes(nets):
        of = lambda loss: lambda part, nets: loss(part, nets, batch, KEY)[0]
        return {name: jax.grad(of(f), argnums=(0, 1))(getattr(nets, name), nets) for name, f in method.losses().items()}

    assert list(method.losses()) == ["flow", "critic", "value", "labelled", "noisy"]
    for own, others in slopes(nets).values():
        assert size(own) > 0 == size(others)


ONE_ACTOR = {"edp", "idql", "dac", "qsm"}  # whose policy is their only flow


@pytest.mark.parametrize("name", METHODS)
def test_methods_by_name_their_networks_and_their_json(name, tiny):
    method = METHODS[name](width=8, depth=1)
    nets = jax.eval_shape(partial(method.init, TINY), jax.random.key(0))
    own = {"robust-q": {"noisy"}, "cfgrl": {"labelled"}, "lab": {"noisy", "labelled"}, "fql": {"student"}}
    own |= {"qam": {"actor"}, "gc": {"long"}} | {name: {"actor"} for name in ONE_ACTOR}
    assert method.name == name
    flow = set() if name in ONE_ACTOR else {"flow"}
    assert set(vars(nets)) == {"critic", "value", "target"} | flow | own.get(name, set())
    assert set(method.losses()) == set(vars(nets)) - {"target"}
    config = replace(tiny, method=method)
    assert from_json(to_json(config)) == config


@pytest.fixture(scope="module")
def lab(maze, tiny, tmp_path_factory):
    """`tiny_run` again, with everything that guides can ask for."""
    config = replace(tiny, method=Lab(width=32, depth=1))
    return train(maze, config, tmp_path_factory.mktemp("runs") / "lab")


OBS = np.random.default_rng(0).uniform(0, 20, (5, 2)).astype(np.float32)


def assert_equal_trees(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert_array_equal(x, y)


def test_lab_trains_the_papers_networks_to_the_same_bits(lab, tiny_run):
    nets, alone = (load_trained(run.directory).nets for run in (lab, tiny_run))
    for part in ("flow", "critic", "value", "target"):
        assert_equal_trees(getattr(nets, part), getattr(alone, part))
    ours, theirs = lab.metrics(), tiny_run.metrics()
    assert set(ours) - set(theirs) == {"loss/labelled", "loss/noisy", "better", "val/labelled", "val/noisy"}
    for name in ("loss/labelled", "loss/noisy"):
        assert ours[name][-1] < ours[name][0]


def test_every_guide_acts_through_a_lab_run(lab):
    policy, actions = lab.policy(), {}
    trained = [guide for guide in GUIDES if guide != "amortised"]  # which `qgf distil` trains
    assert set(possible(policy, trained).values()) == {""}
    for guide in trained:
        found, info = act_jit(lab.policy(guide=guide, steps=3), OBS, KEY)
        assert np.isfinite(found).all() and np.abs(found).max() <= 1 and not info.skipped.any()
        actions[guide] = np.asarray(found)
    different = [guide for guide in trained if guide != "zero"]
    for i, guide in enumerate(different):
        for other in different[:i]:
            assert np.abs(actions[guide] - actions[other]).max() > 1e-4, (guide, other)
    assert_array_equal(actions["zero"], actions["none"])


def test_a_saved_lab_policy_has_its_extras_for_raw_observations(lab, maze):
    trained, (mean, std) = load_trained(lab.directory), maze.normaliser()
    policy, a, t = trained.policy(), jnp.full(10, 0.1), jnp.array(0.4)
    obs, scaled, nets = jnp.array(OBS[0]), (OBS[0] - mean) / std, trained.nets
    close = partial(assert_allclose, rtol=1e-4, atol=1e-5)
    close(need(policy.critic, Members)(obs, a), nets.target(scaled, a))
    close(need(policy.critic, Noisy)(obs, a, t), nets.noisy(scaled, a, t))
    close(policy.velocity(obs, a, t), nets.flow(scaled, a, t))
    labelled = need(policy.velocity, Labelled)
    close(labelled(obs, a, t), nets.labelled(scaled, a, t))
    close(need(labelled, Better)(obs, a, t), nets.labelled.better(scaled, a, t))
    given = [np.append(scaled, label).astype(np.float32) for label in ([0, 0], [1, 1])]
    for found, obs_and_label in zip((nets.labelled, nets.labelled.better), given, strict=True):
        close(found(scaled, a, t), nets.labelled.net(obs_and_label, a, t))


def test_an_iql_run_says_what_other_guides_need(tiny_run):
    lacks = possible(tiny_run.policy(), [*GUIDES, "gate:ood", "placebo:cfgrl", "qfg"])
    assert {name for name, reason in lacks.items() if reason} == {
        "robustq",
        "amortised",
        "cfgrl",
        "placebo:cfgrl",
        "qfg",
    }
    assert lacks["robustq"].endswith("train with --method robust-q or lab")
    assert "qgf distil" in lacks["amortised"]
    assert lacks["cfgrl"] == lacks["placebo:cfgrl"]
    assert lacks["cfgrl"].endswith("train with --method cfgrl or lab")
    assert "did you mean 'qgf'" in lacks["qfg"]
    assert not any("\n" in reason for reason in lacks.values())


def test_gate_needs_more_than_one_critic_in_a_trained_policy_too():
    method, scale = BC(8, 1, IQL(critics=1)), jnp.ones(3)
    nets = method.init(TINY, jax.random.key(0))
    policy = Trained(nets, scale, scale, method, TINY, calibration=Calibration(0.5, 1.0)).policy()
    assert possible(policy, ["gate"])["gate"].endswith(" with m > 1, and this one has 1")


# Lent networks


def robust(tiny, **changes):
    return replace(tiny, steps=200, method=RobustQ(width=32, depth=1), **changes)


def test_a_noisy_critic_is_trained_beside_lent_networks(maze, tiny, tiny_run, tmp_path):
    run = train(maze, robust(tiny), tmp_path / "run", flow=tiny_run.directory, critic_from=tiny_run.directory)
    donor, trained = load_trained(tiny_run.directory), load_trained(run.directory)
    for part in ("flow", "critic", "value", "target"):
        assert_equal_trees(getattr(trained.nets, part), getattr(donor.nets, part))
    assert_equal_trees((trained.mean, trained.std), (donor.mean, donor.std))
    assert set(run.metrics()) == {"step", "seed", "loss/noisy", "val/noisy"}
    fresh = RobustQ(width=32, depth=1).init(trained.spec, jax.random.key(0)).noisy
    assert not np.array_equal(fresh.net.net.weights[0], trained.nets.noisy.net.net.weights[0])
    assert_array_equal(run.policy(guide="qgf")(OBS, KEY), tiny_run.policy(guide="qgf")(OBS, KEY))
    assert np.abs(run.policy(guide="robustq")(OBS, KEY) - run.policy(guide="none")(OBS, KEY)).max() > 1e-3
    assert (run.record["flow"], run.record["critic_from"]) == (str(tiny_run.directory),) * 2
    longer = replace(robust(tiny), steps=300)
    with pytest.raises(UserError, match=r"critic_from=.* there, None now"):
        train(maze, longer, run.directory, flow=tiny_run.directory)


def test_a_lent_critic_is_kept_and_a_flow_trained(maze, tiny, tiny_run, tmp_path):
    run = train(maze, replace(tiny, steps=100, seed=4), tmp_path / "run", critic_from=tiny_run.directory)
    donor, trained = (load_trained(r.directory).nets for r in (tiny_run, run))
    assert_equal_trees((trained.critic, trained.value, trained.target), (donor.critic, donor.value, donor.target))
    assert not np.array_equal(trained.flow.net.weights[0], donor.flow.net.weights[0])
    assert set(run.metrics()) == {"step", "seed", "loss/flow", "val/flow"}


def users_error(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rescaled(tiny_run, to):
    """The run with another normalisation of its observations."""
    shutil.copytree(tiny_run.directory, to)
    trained = load_trained(to)
    save_trained(replace(trained, mean=trained.mean + 1), to / "policy")
    return to


def test_networks_that_do_not_fit_together_are_not_lent(maze, tiny, tiny_run, tmp_path):
    attempt = lambda config=robust(tiny), **lent: users_error(lambda: train(maze, config, tmp_path / "run", **lent))
    one, other = tiny_run.directory, rescaled(tiny_run, tmp_path / "other")
    assert "normalise observations differently" in attempt(flow=one, critic_from=other)
    several = replace(robust(tiny), method=RobustQ(32, 1, IQL(critics=3)))
    assert "it has 2 critics; pass --critics 2" in attempt(several, flow=one, critic_from=one)
    wide = replace(robust(tiny), method=RobustQ(width=16, depth=1))
    assert "pass --width 32 --depth 1" in attempt(wide, critic_from=one)
    kinds = "its critic is of the kind iql; pass --critic iql"
    assert kinds in attempt(replace(tiny, method=BC(width=32, depth=1, critic="td")), critic_from=one)
    assert "method edp has no flow that could be lent" in attempt(replace(tiny, method=EDP(32, 1)), flow=one)
    assert not (tmp_path / "run").exists()


def test_a_flow_and_a_critic_are_joined_without_training(maze, tiny, tiny_run, tmp_path):
    run = train(maze, tiny, tmp_path / "run", flow=tiny_run.directory, critic_from=tiny_run.directory)
    donor, trained = load_trained(tiny_run.directory), load_trained(run.directory)
    assert_equal_trees(trained.nets, donor.nets)
    assert (trained.updates, trained.calibration is None) == (0, False)
    assert not (run.directory / "metrics.csv").exists()
    assert_array_equal(run.policy(guide="qgf")(OBS, KEY), tiny_run.policy(guide="qgf")(OBS, KEY))
    assert run.directory == train(maze, tiny, run.directory, tiny_run.directory, tiny_run.directory).directory


def test_a_flow_may_be_lent_to_any_number_of_critics(maze, tiny, tiny_run):
    config = replace(tiny, method=BC(32, 1, IQL(critics=3)))
    assert set(_donated(tiny_run.directory, None, maze, config)[0]) == {"flow"}
