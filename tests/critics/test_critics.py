"""Losses of the temporal-difference critic against NumPy and numerical minimisers."""

from dataclasses import fields, replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.stats import norm

from qgf.critics import CRITICS, IQL, MC, TD, Ensemble, FlowIQL, HLGauss
from qgf.critics.base import Critic
from qgf.critics.hl_gauss import histogram_loss, two_hot_gauss
from qgf.critics.losses import Confidence, critic_loss, expectile_loss, lowest, polyak, td_target, value_loss
from qgf.data import Dataset
from qgf.errors import UserError
from qgf.networks.blocks import Nets
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.methods.bc import BC
from qgf.training.methods.edp import EDP
from qgf.training.methods.fql import FQL
from qgf.training.methods.qam import QAM
from qgf.types import Batch, Spec

RNG = np.random.default_rng(0)


def draw(*shape):
    return jnp.array(RNG.normal(size=shape), jnp.float32)


BATCH = Batch(draw(16, 3), draw(16, 4), draw(16), jnp.array(RNG.choice([0, 0.95], 16), jnp.float32), draw(16, 3))
NETS = BC(width=16, depth=2).init(Spec(3, 2, 2), jax.random.key(0))


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.9])
def test_expectile_loss_is_lowest_at_the_expectile(expectile, float64):
    """The tau-expectile e solves tau E(x - e)_+ = (1 - tau) E(e - x)_+; here of a standard normal."""
    above = lambda e: norm.pdf(e) - e * (1 - norm.cdf(e))  # E (x - e)_+
    exact = brentq(lambda e: expectile * above(e) - (1 - expectile) * (above(e) + e), -3, 3)
    x = jnp.array(norm.ppf((np.arange(20_000) + 0.5) / 20_000))
    slope = jax.grad(lambda e: jnp.mean(expectile_loss(x - e, expectile)))
    assert_allclose(brentq(lambda e: float(slope(e)), -3.0, 3.0), exact, atol=1e-3)


def test_expectile_loss_by_hand():
    assert_allclose(expectile_loss(jnp.array([2.0, -2.0, 0.0]), 0.9), [3.6, 0.4, 0], rtol=1e-6)


def test_td_target_bootstraps_only_where_the_task_goes_on():
    value = lambda obs: 2 * obs[..., 0] - obs[..., 2]
    expected = BATCH.returns + BATCH.bootstrap * (2 * BATCH.next_obs[:, 0] - BATCH.next_obs[:, 2])
    target = td_target(value, BATCH)
    assert_allclose(target, expected, rtol=1e-5, atol=1e-6)
    over = np.asarray(BATCH.bootstrap == 0)
    assert 0 < over.sum() < 16
    assert_array_equal(target[over], BATCH.returns[over])


def test_lowest_is_the_minimum_of_the_ensemble():
    ensemble = lambda obs, a: jnp.stack([obs.sum(-1), a.sum(-1), jnp.full(obs.shape[:-1], 0.5)], axis=-1)
    together = lowest(ensemble, BATCH.obs, BATCH.actions)
    assert together.shape == (16,)
    for obs, a, low in zip(BATCH.obs, BATCH.actions, together, strict=True):
        expected = min(float(obs.sum()), float(a.sum()), 0.5)
        assert_allclose([lowest(ensemble, obs, a), low], expected, rtol=1e-6)


def pair(obs, a):
    """Two critics, obs_0 a_1 and 3 a_0."""
    return jnp.stack([obs[..., 0] * a[..., 1], 3 * a[..., 0]], axis=-1)


def test_critic_loss_matches_numpy():
    target = draw(16)
    obs, a, y = (np.asarray(x, float) for x in (BATCH.obs, BATCH.actions, target))
    q = np.stack([obs[:, 0] * a[:, 1], 3 * a[:, 0]], axis=1)
    loss, logs = critic_loss(pair, target, BATCH)
    assert_allclose(loss, np.mean((q - y[:, None]) ** 2), rtol=1e-5)
    assert_allclose([logs["q"], logs["target"]], [q.mean(), y.mean()], rtol=1e-4)


def test_value_loss_matches_numpy():
    obs, a = np.asarray(BATCH.obs, float), np.asarray(BATCH.actions, float)
    error = np.minimum(obs[:, 0] * a[:, 1], 3 * a[:, 0]) - obs[:, 1] ** 2
    loss, logs = value_loss(lambda obs: obs[..., 1] ** 2, pair, BATCH, 0.9)
    assert_allclose(loss, np.mean(np.where(error > 0, 0.9, 0.1) * error**2), rtol=1e-5)
    assert_allclose(logs["v"], np.mean(obs[:, 1] ** 2), rtol=1e-5)


def test_polyak_moves_every_array_by_the_rate():
    target, online = NETS.critic, BC(width=16, depth=2).init(Spec(3, 2, 2), jax.random.key(1)).critic
    moved = polyak(target, online, 0.25)
    for new, t, o in zip(*map(jax.tree.leaves, (moved, target, online)), strict=True):
        assert_allclose(new, 0.75 * t + 0.25 * o, rtol=1e-5, atol=1e-6)
    closer = target
    for _ in range(60):
        closer = polyak(closer, online, 0.25)
    for new, o in zip(*map(jax.tree.leaves, (closer, online)), strict=True):
        assert_allclose(new, o, atol=1e-5)


def slopes(loss):
    """Which networks a loss has a gradient in."""
    grads = eqx.filter_grad(loss)(NETS)
    return {
        part
        for part in ("flow", "critic", "value", "target")
        if any(g.any() for g in jax.tree.leaves(getattr(grads, part)))
    }


def test_the_critic_loss_moves_the_critic_alone():
    assert slopes(lambda n: critic_loss(n.critic, td_target(n.value, BATCH), BATCH)[0]) == {"critic"}


def test_the_value_loss_moves_the_value_alone():
    assert slopes(lambda n: value_loss(n.value, n.target, BATCH, 0.9)[0]) == {"value"}


@pytest.mark.parametrize("part", ["flow", "critic", "value"])
def test_every_loss_of_the_method_moves_its_own_part_alone(part):
    loss = BC().losses()[part]
    assert slopes(lambda n: loss(getattr(n, part), n, BATCH, jax.random.key(0))[0]) == {part}


# Bootstrapped from actions


class Still(NamedTuple):
    """A flow whose ten Euler steps end at the noise plus `shift`."""

    shift: jax.Array

    def __call__(self, obs, a, t):
        return self.shift + 0 * a


def wishes(obs, a):
    """Two critics; the lower one is -(a_0 - 0.2)^2 + obs_0 - 1."""
    q = -((a[..., 0] - 0.2) ** 2) + obs[..., 0]
    return jnp.stack([q, q - 1], axis=-1)


def drawn(n, key, shift):
    """The n clipped actions that `Still` plays at each state of BATCH, [16, n, 4]."""
    a0 = jax.random.normal(key, (16 * n, 4))
    return np.clip(np.asarray(a0) + shift, -1, 1).reshape(16, n, 4)


def target_of(method, key=jax.random.key(4), **nets):
    """What the critic's loss regresses on: it is mean (0 - target)^2 for a critic that says 0."""
    nothing = lambda obs, a: jnp.zeros((len(obs), 2))
    loss, logs = method.critic.q_loss(method, nothing, Nets(target=wishes, **nets), BATCH, key)
    value = method.critic.next_value(method, Nets(target=wishes, **nets), BATCH.next_obs, 4, key)
    targets = np.asarray(BATCH.returns + BATCH.bootstrap * value)
    assert_allclose([loss, logs["target"]], [np.mean(targets**2), targets.mean()], rtol=1e-5)
    return targets


@pytest.mark.parametrize("candidates", [1, 4, 9])
def test_td_bootstraps_from_the_best_of_n_actions_of_the_cloned_flow_by_the_lower_critic(candidates):
    key, flow = jax.random.key(4), Still(jnp.array(0.1))
    a = drawn(candidates, key, 0.1)[..., 0]
    value = (-((a - 0.2) ** 2)).max(axis=1) + np.asarray(BATCH.next_obs)[:, 0] - 1
    found = target_of(BC(critic=TD(candidates=candidates)), flow=flow)
    assert_allclose(found, BATCH.returns + BATCH.bootstrap * value, rtol=1e-4, atol=1e-5)
    assert_array_equal(found[BATCH.bootstrap == 0], BATCH.returns[BATCH.bootstrap == 0])
    if candidates > 1:
        assert (np.ptp(a, axis=1) > 0.01).all()  # every state has candidates of its own


def test_td_asks_the_reference_flow_in_its_own_steps_whatever_policy_acts():
    """FQL's policy takes one step; the flow that it distils takes ten, and here each moves by a tenth of sin(9 a)."""
    wavy = lambda obs, a, t: jnp.sin(9 * a)
    expected = target_of(BC(critic="td"), flow=wavy)
    assert_allclose(target_of(FQL(critic="td"), flow=wavy, student=Still(9.0)), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(target_of(QAM(critic="td"), flow=wavy, actor=Still(9.0)), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(target_of(EDP(critic="td"), actor=wavy), expected, rtol=1e-5, atol=1e-6)
    once = target_of(FQL(critic="td", flow_steps=1), flow=wavy, student=Still(9.0))
    assert np.abs(once - expected).max() > 0.01


@pytest.mark.parametrize("candidates", [1, 4])
def test_flow_iqls_value_is_regressed_on_actions_of_the_cloned_flow_whatever_the_data_do(candidates):
    key, others = jax.random.key(4), dict.fromkeys(("student", "actor"), Still(5.0))
    worth = lambda obs: obs[..., 1] ** 2
    q = -((drawn(candidates, key, 0.1)[..., 0] - 0.2) ** 2) + np.asarray(BATCH.obs)[:, :1] - 1
    error = q - np.asarray(worth(BATCH.obs))[:, None]
    for method, flow in ((BC, "flow"), (FQL, "flow"), (QAM, "flow"), (EDP, "actor")):
        method = method(critic=FlowIQL(candidates=candidates, expectile=0.8))
        nets = Nets(target=wishes, **{**others, flow: Still(jnp.array(0.1))})
        for batch in (BATCH, BATCH._replace(actions=BATCH.actions + 3)):
            loss, logs = method.losses()["value"](worth, nets, batch, key)
            assert_allclose(loss, np.mean(np.where(error > 0, 0.8, 0.2) * error**2), rtol=1e-4)
            assert_allclose(logs["v"], np.mean(worth(BATCH.obs)), rtol=1e-5)


@pytest.mark.parametrize("method, own", [(BC, "flow"), (FQL, "student"), (QAM, "actor"), (EDP, "actor")])
def test_the_ensembles_critic_bootstraps_from_the_policys_own_action_and_the_lower_bound(method, own):
    others = dict.fromkeys({"flow", "student", "actor"} - {own}, Still(5.0))
    found = target_of(method(critic=Ensemble(rho=0.3)), **others, **{own: Still(jnp.array(0.1))})
    a, obs = drawn(1, jax.random.key(4), 0.1)[:, 0, 0], np.asarray(BATCH.next_obs)[:, 0]
    value = -((a - 0.2) ** 2) + obs - 0.5 - 0.3 * 0.5  # the two differ by one
    assert_allclose(found, BATCH.returns + BATCH.bootstrap * value, rtol=1e-4, atol=1e-5)


def test_the_lower_bound_is_mean_minus_rho_standard_deviations(float64):
    weights = jnp.array([[1.0, -2.0], [0.5, 0.3], [-1.0, 4.0]])
    members = lambda obs, a: jnp.tanh(weights @ a) + obs[0]
    q, obs, a = Confidence(members, 0.7), jnp.array([2.0]), jnp.array([0.3, -0.4])
    each = np.asarray(members(obs, a))
    assert_allclose(q(obs, a), each.mean() - 0.7 * each.std(), rtol=1e-12)
    slopes = np.asarray(jax.jacobian(members, 1)(obs, a))
    of_std = ((each - each.mean())[:, None] * slopes).mean(axis=0) / each.std()
    assert_allclose(jax.grad(q, 1)(obs, a), slopes.mean(axis=0) - 0.7 * of_std, rtol=1e-10)
    assert q.members is members


def test_where_all_members_agree_the_bound_is_their_mean_with_its_gradient():
    q = Confidence(lambda obs, a: jnp.stack([jnp.sum(a**2)] * 3), 0.5)
    a = jnp.array([0.3, -0.4])
    assert_allclose(q(jnp.zeros(1), a), 0.25, rtol=1e-6)
    assert_allclose(jax.grad(q, 1)(jnp.zeros(1), a), [0.6, -0.8], rtol=1e-6)


# Two states: from 0 every action leads to 1 with the reward a; from 1 the task ends with the reward 2 + a. The data's
# actions are uniform, gamma^H = 0.5. Best of n actions: Q(1, a) = 2 + a, Q(0, a) = a + 0.5 (2 + E max of n uniforms).

CHAIN = Spec(1, 1, 1)
UNIFORM = Partial(lambda obs, a, t: 2 * jax.scipy.stats.norm.cdf(a) - 1 - a)  # in one step: uniform in [-1, 1]


def two_states(noise=0.0, n=4000):
    rng = np.random.default_rng(0)
    a, obs = rng.uniform(-1, 1, (n, 1)), (np.arange(n) % 2)[:, None]
    returns = a[:, 0] + 2 * obs[:, 0] + noise * rng.normal(size=n)
    x = map(lambda x: jnp.array(x, jnp.float32), (obs, a, returns[:-1], 0.5 * (1 - obs[:-1, 0])))
    obs, a, returns, bootstrap = x
    return Chunks(obs, a, jnp.arange(n - 1), returns, bootstrap)


class OneStep(BC):
    """Its cloned flow is integrated in one step."""

    steps = 1


def learned(method, data, steps, **frozen):
    learner = Learner(method, CHAIN, optax.cosine_decay_schedule(5e-3, steps), 128, frozen)
    return learner.run(learner.init(jax.random.key(0)), data, steps)[0].nets


def test_the_bootstrapped_critic_reaches_the_chains_exact_values():
    nets = learned(OneStep(32, 1, TD(candidates=3, polyak=0.02)), two_states(), 1500, flow=UNIFORM)
    a = jnp.linspace(-0.9, 0.9, 7)[:, None]
    best = 0.5  # E max of three uniforms on [-1, 1] is (3 - 1) / (3 + 1)
    for critic in (nets.critic, nets.target):
        for state, exact in ((1.0, 2 + a[:, 0]), (0.0, a[:, 0] + 0.5 * (2 + best))):
            q = critic(jnp.full((7, 1), state), a)
            assert_allclose(q, jnp.stack([exact, exact], axis=1), atol=0.1)


def test_flow_iql_reaches_the_chains_exact_values_for_a_flow_that_is_not_the_datas():
    """Of x uniform on [-1/2, 1/2] the tau-expectile is (r - 1) / 2 (r + 1), r^2 = tau / (1 - tau): 1/4 at tau = 0.9."""
    half = Partial(lambda obs, a, t: jax.scipy.stats.norm.cdf(a) - 0.5 - a)
    nets = learned(OneStep(32, 1, FlowIQL(expectile=0.9, polyak=0.02)), two_states(), 1500, flow=half)
    a = jnp.linspace(-0.9, 0.9, 7)[:, None]
    for state, v, exact in ((1.0, 2.25, 2 + a[:, 0]), (0.0, 1.125 + 0.25, a[:, 0] + 0.5 * 2.25)):
        assert_allclose(nets.value(jnp.array([[state]])), [v], atol=0.1)
        assert_allclose(nets.target(jnp.full((7, 1), state), a), jnp.stack([exact, exact], axis=1), atol=0.1)


def test_the_critic_of_whole_returns_bootstraps_from_no_observation_of_any_kind():
    for obs in (jnp.ones((3, 2)), dict(front=jnp.ones((3, 8, 8, 3)), state=jnp.ones((3, 2)))):
        assert_array_equal(MC().next_value(None, None, obs, 4, None), np.zeros(3))


def test_the_critic_of_whole_returns_knows_how_far_success_is():
    """An episode of 20 steps that ends in success, one that fails: Q = gamma^(19 - step) and 0, to each step's own
    number; what is not regressed on a bootstrapped value cannot be wrong by it."""
    steps, discount = 20, 0.9
    ends = np.tile(np.arange(steps + 1) == steps, 2)
    number = np.tile(np.arange(steps + 1), 2)
    solved = np.repeat([1.0, 0.0], steps + 1)
    obs = np.stack([number / steps, solved], axis=1).astype(np.float32)
    last = number == steps - 1
    rewards, masks = (solved * last).astype(np.float32), 1.0 - last
    data = Dataset("walk", obs, np.zeros((len(obs), 1), np.float32), ends, rewards, masks.astype(np.float32))
    assert_allclose(data.returns_to_go(discount)[:steps], discount ** np.arange(steps - 1, -1, -1.0), rtol=1e-6)
    assert not data.returns_to_go(discount)[steps:].any()
    method = BC(64, 2, MC(polyak=0.1))
    on_device = method.on_device(data, 1, discount, np.zeros(2), np.ones(2))
    learner = Learner(method, Spec(2, 1, 1), optax.cosine_decay_schedule(5e-3, 1600), 64)
    nets = learner.run(learner.init(jax.random.key(0)), on_device, 1600)[0].nets
    q = nets.target(jnp.asarray(obs), jnp.zeros((len(obs), 1)))[~ends]
    exact = np.concatenate([discount ** np.arange(steps - 1, -1, -1.0), np.zeros(steps)])
    assert_allclose(q, np.stack([exact, exact], axis=1), atol=0.05)


# Histograms

EDGES = np.linspace(-2.0, 3.0, 51)


@pytest.mark.parametrize("x", [-1.5, 0.0, 0.04, 1.234, 2.6])
def test_the_smoothed_histogram_has_the_mass_of_a_gaussian_and_the_targets_mean(x, float64):
    sigma = 0.075
    mass = np.asarray(two_hot_gauss(jnp.array(x), EDGES, sigma))
    exact = np.diff(norm.cdf(np.asarray(EDGES), x, sigma))
    assert_allclose(mass, exact, atol=1e-6)
    assert_allclose(mass.sum(), 1, rtol=1e-12)
    assert_allclose(mass @ (EDGES[1:] + EDGES[:-1]) / 2, x, atol=1e-3)


def test_targets_out_of_range_are_those_at_its_ends(float64):
    both = two_hot_gauss(jnp.array([-9.0, -2.0, 3.0, 50.0]), EDGES, 0.075)
    assert_array_equal(both[0], both[1])
    assert_array_equal(both[3], both[2])
    assert_allclose(both.sum(axis=1), 1, rtol=1e-12)
    assert both[0, 0] > 0.5 < both[3, -1]


class Histogram(NamedTuple):
    """Two members with the same logits [B, bins] for every batch."""

    given: jax.Array
    edges = EDGES

    def logits(self, obs, a):
        return jnp.stack([self.given, self.given], axis=1)

    def expectation(self, logits):
        return jax.nn.softmax(logits) @ ((EDGES[1:] + EDGES[:-1]) / 2)


def test_the_histograms_loss_is_lowest_at_the_targets_own_histogram(float64):
    target = jnp.array([-1.0, 0.3, 2.9, 7.0])
    batch = jax.tree.map(lambda x: x[:4], BATCH)
    mass = two_hot_gauss(target, EDGES, 0.075)
    loss = jax.jit(lambda logits: histogram_loss(Histogram(logits), target, batch)[0])
    slope = jax.jit(jax.grad(loss))
    best = jnp.log(jnp.maximum(mass, 1e-300))
    assert_allclose(slope(best), 0, atol=1e-12)
    entropy = -np.sum(mass * np.log(np.maximum(mass, 1e-300)), axis=1).mean()
    assert_allclose(loss(best), entropy, rtol=1e-10)
    uniform = jnp.zeros((4, 50))
    assert_allclose(slope(uniform), (1 / 50 - mass) / 4, atol=1e-12)
    assert loss(uniform) > entropy + 1
    logs = histogram_loss(Histogram(best), target, batch)[1]
    assert_allclose(
        [logs["q"], logs["target"]], [(mass @ (EDGES[1:] + EDGES[:-1]) / 2).mean(), target.mean()], rtol=1e-6
    )


def test_a_histogram_learns_the_spread_of_noisy_returns_and_their_mean():
    """The spread of its histogram is that of the returns, 0.4, widened by the smoothing of 0.75 bins."""
    method = BC(32, 1, HLGauss(critics=1, bins=41, value_low=-3.0, value_high=5.0))
    data = two_states(noise=0.4)
    data = data._replace(bootstrap=0 * data.bootstrap)
    critic = learned(method, data, 1500, flow=UNIFORM, value=Partial(lambda obs: 0 * obs[..., 0])).critic
    centres = (critic.edges[1:] + critic.edges[:-1]) / 2
    for state in (0.0, 1.0):
        for a in (-0.5, 0.5):
            obs, action = jnp.array([state]), jnp.array([a])
            mass = jax.nn.softmax(critic.logits(obs, action))[0]
            mean = mass @ centres
            assert_allclose(critic(obs, action)[0], mean, rtol=1e-5)
            assert_allclose(mean, 2 * state + a, atol=0.12)
            assert_allclose(jnp.sqrt(mass @ (centres - mean) ** 2), np.hypot(0.4, 0.75 * 0.2), atol=0.08)


@pytest.mark.parametrize("value", [-3.0, 4.9, 5.0])
def test_values_at_the_ends_of_the_range_are_not_pulled_inwards(value, float64):
    kind = HLGauss(critics=1, bins=40, value_low=-3.0, value_high=5.0)
    critic = kind.ensemble(BC(8, 1, kind), Spec(1, 1, 1), jax.random.key(0))
    width = critic.edges[1] - critic.edges[0]
    assert_allclose(width, 0.2, rtol=1e-6)
    mass = two_hot_gauss(jnp.array(value), critic.edges, 0.75 * width)
    assert_allclose(critic.expectation(jnp.log(mass)), value, atol=1e-3 * width)


def test_the_range_of_returns_comes_from_rewards_and_discount():
    rewards, hl = np.array([-1.0, 0.0, 0.5]), HLGauss()
    limits = lambda m: (m.value_low, m.value_high)
    assert_allclose(limits(hl.prepared(rewards, 0.9)), (-10, 5))
    assert_allclose(limits(hl.prepared(np.array([-1.0, -1.0]), 0.99)), (-100, 0))  # an ended task returns 0
    assert limits(replace(hl, value_low=-3.0).prepared(rewards, 0.5)) == (-3, 1)
    assert limits(replace(hl, value_low=-3.0, value_high=2.0).prepared(rewards, 0.5)) == (-3, 2)
    assert BC().prepared(rewards, 0.9) == BC()
    assert FQL(critic=hl).prepared(rewards, 0.9) == FQL(critic=hl.prepared(rewards, 0.9))
    for empty in (lambda: hl.prepared(np.zeros(3), 0.9), lambda: replace(hl, value_low=9.0).prepared(rewards, 0.9)):
        with pytest.raises(UserError, match=r"give --value-low, --value-high$") as caught:
            empty()
        assert "\n" not in str(caught.value)


def test_histograms_of_another_range_are_not_lent():
    """Those that are lent keep their range, and the run would tell it wrong to whoever loads its policy."""
    here = HLGauss(value_low=-10.0, value_high=0.0)
    here.check_lent("run", here)
    for other in (replace(here, value_low=-5.0), replace(here, value_high=1.0), replace(here, bins=11)):
        with pytest.raises(UserError, match=r"^run: .*pass --value-low -10.0 --value-high 0.0 --bins 101$"):
            other.check_lent("run", here)


@pytest.mark.parametrize(
    "wanted, said", [(TD(), "--critic iql"), (IQL(critics=3), "--critics 2"), (IQL(polyak=0.1), "")]
)
def test_what_does_not_fit_is_not_lent(wanted, said):
    if not said:
        return wanted.check_lent("run", IQL())
    with pytest.raises(UserError, match=f"^run: .*pass {said}$"):
        wanted.check_lent("run", IQL())


def test_the_options_of_a_critic_are_its_own():
    every = {f.name for f in fields(Critic)}
    assert {"critics", "polyak"} < every
    options = {name: {f.name for f in fields(kind)} - every for name, kind in CRITICS.items()}
    assert options == dict(iql={"expectile"}, td={"candidates"}, mc=set(), ensemble={"rho"}) | {
        "flow-iql": {"expectile", "candidates"},
        "hl-gauss": {"expectile", "bins", "value_low", "value_high"},
    }
    nothing = dict(candidates=0)
    none_of = partial(IQL, critics=0), partial(TD, **nothing), partial(FlowIQL, **nothing), partial(HLGauss, bins=0)
    for wrong in none_of:
        with pytest.raises(UserError, match="must be at least 1, got 0"):
            wrong()
