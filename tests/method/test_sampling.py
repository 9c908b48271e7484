"""The guided sampler: against recursions in NumPy, step by step, sample by sample, and counted in operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import worlds
from qgf.critics.losses import lowest
from qgf.errors import UserError
from qgf.method.flow import Flow
from qgf.method.guidance import ESTIMATORS, placebo
from qgf.method.guided import best_of, calibrate, guided_flow, refine
from qgf.method.policy import Policy, act_jit
from qgf.method.sampling import sample
from qgf.method.strength import raw_weight
from qgf.method.toy import Mixture
from qgf.networks.critic import CriticEnsemble
from qgf.networks.velocity import VelocityField
from qgf.types import Calibration, Info

dimensions = pytest.mark.parametrize("d", worlds.DIMENSIONS)
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
UNBOUNDED = dict(low=-jnp.inf, high=jnp.inf)


def noise(d, n=1, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# One sample


@every_estimator
@dimensions
@pytest.mark.parametrize("steps", [1, 10])
def test_every_step_of_the_trace_is_the_guided_euler_step(name, d, steps, float64):
    m, w = worlds.mixture(d), 0.3
    a0 = jnp.array(noise(d)[0])
    path = jax.jit(lambda a0: sample(m.velocity, worlds.critic, a0, name, w, steps, trace=True))(a0)
    ask = jax.jit(lambda a, t: ESTIMATORS[name](Flow(m.velocity, steps, -1.0, 1.0), worlds.critic, a, t))
    assert_array_equal(path.a[0], a0)
    assert_allclose(path.t, np.arange(steps) / steps, rtol=1e-15)
    for k in range(steps):
        a, t = path.a[k], path.t[k]
        assert_allclose(path.v[k], worlds.velocity(m, np.asarray(a), float(t)), rtol=1e-11, atol=1e-12)
        assert_allclose(path.g[k], ask(a, t), rtol=1e-11, atol=1e-12)
        assert_allclose(path.a1_hat[k], np.clip(a + (1 - t) * path.v[k], -1, 1), rtol=1e-12, atol=1e-12)
        assert_allclose(path.a[k + 1], a + (path.v[k] + w * path.g[k]) / steps, rtol=0, atol=1e-12)
    assert not path.skipped.any()


@every_estimator
@dimensions
def test_weight_zero_is_bit_equal_to_no_guidance(name, d):
    m = worlds.mixture(d)
    act = lambda guide: jax.jit(jax.vmap(lambda a0: sample(m.velocity, worlds.critic, a0, guide, 0.0)))
    a0 = jnp.array(noise(d, 7), jnp.float32)
    assert_array_equal(act(name)(a0), act("none")(a0))


def gaussian_end(name, a0, mean, std, slope, weight, steps):
    """The end of the guided chain for data N(mean, std^2 I) and Q(a) = slope . a: a linear recursion."""
    rate = lambda t: (t * std**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * std**2)
    shrink = lambda k: dict(
        none=0.0,
        jacobian=(k / steps) * std**2 / ((1 - k / steps) ** 2 + (k / steps) ** 2 * std**2),
        bptt=np.prod([1 + rate(j / steps) / steps for j in range(k, steps)]),
    ).get(name, 1.0)
    a = a0
    for k in range(steps):
        t = k / steps
        a = a + (mean + rate(t) * (a - t * mean) + weight * shrink(k) * slope) / steps
    return a


@every_estimator
@pytest.mark.parametrize("steps, horizon, batch", [(1, 1, 7), (2, 5, 1), (10, 5, 7), (50, 1, 1)])
def test_gaussian_flow_with_linear_critic_ends_where_the_recursion_says(name, steps, horizon, batch, precision):
    d, std, weight = 2 * horizon, 0.4, 0.3
    rng = np.random.default_rng(1)
    mean, slope, a0 = rng.normal(size=d), rng.normal(size=d), rng.normal(size=(batch, d))
    m = Mixture(jnp.array(mean[None], precision.dtype), jnp.ones(1, precision.dtype), std)
    q = lambda a: jnp.array(slope, a.dtype) @ a
    act = lambda a0: sample(m.velocity, q, a0, name, weight, steps, **UNBOUNDED)
    ends = jax.jit(jax.vmap(act))(jnp.array(a0, precision.dtype))
    assert ends.dtype == precision.dtype
    expected = gaussian_end(name, a0, mean, std, slope, weight, steps)
    assert_allclose(ends, expected, rtol=precision.rtol, atol=10 * precision.rtol)


def test_only_the_final_action_is_clipped(float64):
    v = lambda a, t: jnp.where(t < 0.5, 8.0, -8.0) * jnp.ones(2)  # out of the range and back again
    q = lambda a: jnp.sum(a)
    path = sample(v, q, jnp.zeros(2), "qgf", 0.5, steps=4, trace=True)
    assert_allclose(path.a[:, 0], [0, 2.125, 4.25, 2.375, 0.5], rtol=1e-14)
    assert_allclose(sample(v, q, jnp.zeros(2), "qgf", 0.5, steps=4), 0.5, rtol=1e-14)
    beyond = sample(lambda a, t: jnp.array([9.0, -9.0]), q, jnp.zeros(2), low=jnp.array([-1, -0.25]), high=0.75)
    assert_array_equal(beyond, [0.75, -0.25])


@pytest.mark.parametrize("name, first", [("qgf", 3 * 1.0**2), ("jacobian", 0.0)])
def test_gradient_at_a_clipped_estimate(name, first, float64):
    """a1_hat = 0.5 a + ... leaves the range in its first coordinate: qgf asks at the bound, jacobian's row is zero."""
    v = lambda a, t: jnp.array([6.0, 0.2]) + 0 * a
    path = sample(v, lambda a: jnp.sum(a**3), jnp.array([0.5, 0.1]), name, 0.1, steps=2, trace=True)
    assert_array_equal(path.a1_hat[0], [1.0, 0.1 + 0.2])
    assert_allclose(path.g[0], [first, 3 * 0.3**2], rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_leaves_its_step_unguided(bad, float64):
    m, w, steps = worlds.mixture(1), 0.5, 10
    broken = lambda a: jax.lax.stop_gradient(jnp.where(a[0] > 0.5, bad, 1.0)) * jnp.sum(a)
    a0 = noise(1, 40)
    act = lambda a0: sample(m.velocity, broken, a0, "qgf", w, steps, -1.5, 1.5, trace=True)
    path = jax.jit(jax.vmap(act))(jnp.array(a0))
    counts = []
    for i, a in enumerate(a0):
        skipped = []
        for k in range(steps):
            v = worlds.velocity(m, a, k / steps)
            skipped.append(np.clip(a + (1 - k / steps) * v, -1.5, 1.5)[0] > 0.5)
            a = a + (v + w * (not skipped[-1])) / steps
        assert_allclose(path.a[i, -1], a, rtol=1e-9, atol=1e-10)
        assert_array_equal(path.skipped[i], skipped)
        counts.append(sum(skipped))
    assert min(counts) == 0 and max(counts) > steps / 2  # both kinds of sample were there
    assert np.isfinite(path.g).all() and (path.g[path.skipped] == 0).all()


def test_steps_below_one_and_unknown_guides_are_refused():
    v, q, a0 = lambda a, t: -a, jnp.sum, jnp.zeros(2)
    with pytest.raises(UserError, match="steps must be at least 1, got 0"):
        sample(v, q, a0, steps=0)
    with pytest.raises(UserError, match="did you mean 'qgf'"):
        sample(v, q, a0, guide="qfg")
    with pytest.raises(UserError, match="did you mean 'jacobian'"):
        guided_flow(lambda o, a, t: -a, lambda o, a: jnp.sum(a), 2, guide="jacobean", weight=0.1)


def test_an_estimator_may_be_a_function(float64):
    m = worlds.mixture(3)
    a0, double = jnp.array(noise(3)[0]), lambda v, q, a, t: 2 * ESTIMATORS["qgf"](v, q, a, t)
    assert_allclose(
        sample(m.velocity, worlds.critic, a0, double, 0.1),
        sample(m.velocity, worlds.critic, a0, "qgf", 0.2),
        rtol=1e-12,
    )


# Cost


S, D = 4, 6
FLOW = VelocityField(S, D, 64, 3, jax.random.key(0))
CRITIC = CriticEnsemble(S, D, 64, 3, 2, jax.random.key(1))
BATCH = jnp.ones((8, D))


def one_action(guide, steps=10):
    v, q = lambda a, t: FLOW(jnp.ones(S), a, t), lambda a: lowest(CRITIC, jnp.ones(S), a)
    return lambda a0: sample(v, q, a0, guide, 0.1, steps)


def dots(f):
    """Matrix products written down in f; the sampler's loop body counts once."""
    return str(jax.make_jaxpr(f)(BATCH[0])).count("dot_general")


def flops(f):
    """Operations of the compiled program for a batch; XLA counts the loop body once."""
    return jax.jit(jax.vmap(f)).lower(BATCH).compile().cost_analysis()["flops"]


def test_a_step_costs_one_velocity_and_one_critic_gradient():
    velocity = dots(lambda a: FLOW(jnp.ones(S), a, jnp.array(0.5)))
    gradient = dots(jax.grad(lambda a: lowest(CRITIC, jnp.ones(S), a)))
    assert velocity == 4 and gradient == 16  # layers forward, and for the two critics backward as well
    assert dots(one_action("none")) == velocity
    assert dots(one_action("ood")) == dots(one_action("qgf")) == velocity + gradient


def test_the_compiled_step_costs_one_velocity_and_one_critic_gradient():
    velocity = flops(lambda a: FLOW(jnp.ones(S), a, a[0]))
    gradient = flops(jax.grad(lambda a: lowest(CRITIC, jnp.ones(S), a)))
    none, ood, guided = (flops(one_action(guide)) for guide in ("none", "ood", "qgf"))
    assert none == pytest.approx(velocity, rel=0.05)
    assert guided - none == pytest.approx(gradient, rel=0.05)
    assert guided - ood < 0.01 * velocity


# Policies


def state_flow(obs, a, t):
    """The exact flow to N(0.2 obs[0], 0.3^2 I)."""
    m = Mixture(0.2 * obs[0] * jnp.ones((1, a.size), a.dtype), jnp.ones(1, a.dtype), 0.3)
    return m.velocity(a, t)


def state_critic(obs, a):
    return -jnp.sum((a - 0.3 * obs[1]) ** 2)


def policy(velocity=state_flow, critic=state_critic, **changes):
    return guided_flow(velocity, critic, **(dict(action_dim=2, horizon=3, weight=0.4) | changes))


OBS = jax.random.normal(jax.random.key(5), (7, 2))
KEYS = jax.random.split(jax.random.key(6), 7)


@pytest.mark.parametrize("batch, horizon, steps", [(1, 1, 10), (7, 5, 2), (7, 1, 50)])
def test_policy_is_the_sampler_for_each_observation(batch, horizon, steps):
    pi = policy(horizon=horizon, steps=steps)
    actions, info = act_jit(pi, OBS[:batch], KEYS[:batch])
    assert actions.shape == (batch, horizon, 2)
    assert_allclose(pi(OBS[:batch], KEYS[:batch]), actions, rtol=1e-6)
    for i in range(batch):
        a0 = jax.random.normal(KEYS[i], (2 * horizon,))
        v, q = lambda a, t, i=i: state_flow(OBS[i], a, t), lambda a, i=i: state_critic(OBS[i], a)
        path = sample(v, q, a0, "qgf", 0.4, steps, trace=True)
        assert_allclose(actions[i].ravel(), np.clip(path.a[-1], -1, 1), rtol=1e-4, atol=1e-5)
        assert_allclose(info.value[i], q(actions[i].ravel()), rtol=1e-4, atol=1e-6)
        ratio = np.linalg.norm(0.4 * path.g, axis=-1) / np.linalg.norm(path.v, axis=-1)
        assert_allclose(info.ratio[i], ratio.mean(), rtol=1e-3)


def test_an_action_does_not_depend_on_its_batch():
    pi = policy()
    together = pi(OBS, KEYS)
    order = np.array([3, 0, 5])
    assert_allclose(pi(OBS[order], KEYS[order]), together[order], rtol=1e-5, atol=1e-6)
    assert_allclose(pi(OBS[6:], KEYS[6:])[0], together[6], rtol=1e-5, atol=1e-6)


def test_the_key_decides_the_actions():
    pi, key = policy(), jax.random.key(9)
    assert_array_equal(pi(OBS, key), pi(OBS, key))
    other = pi(OBS, jax.random.key(10))
    assert np.abs(pi(OBS, key) - other).max() > 0.1
    same_state = pi(jnp.ones((5, 2)), key)
    assert len(np.unique(np.asarray(same_state).reshape(5, -1).round(4), axis=0)) == 5


def test_skipped_steps_are_counted_per_sample_and_do_not_spread():
    broken = lambda obs, a: jnp.where(obs[1] > 0, jnp.nan, 1.0) * state_critic(obs, a)
    clean, faulty = act_jit(policy(), OBS, KEYS), act_jit(policy(critic=broken), OBS, KEYS)
    unguided = policy(guide="none", weight=0.0)(OBS, KEYS)
    bad = np.asarray(OBS[:, 1] > 0)
    assert 0 < bad.sum() < 7
    assert_array_equal(faulty[1].skipped, np.where(bad, 10, 0))
    assert_array_equal(clean[1].skipped, 0)
    assert_allclose(faulty[0][~bad], clean[0][~bad], rtol=1e-6, atol=1e-7)
    assert_allclose(faulty[0][bad], unguided[bad], rtol=1e-6, atol=1e-7)


@every_estimator
def test_every_guide_makes_a_policy(name):
    plain = policy(guide="none")(OBS, KEYS)
    moved = np.abs(policy(guide=name)(OBS, KEYS) - plain).max()
    assert moved == 0 if name == "none" else moved > 0.05


def test_a_placebo_pushes_as_far_as_its_estimator_and_elsewhere():
    guided, fake = (act_jit(policy(guide=g), OBS, KEYS) for g in ("qgf", placebo(ESTIMATORS["qgf"])))
    plain = policy(guide="none")(OBS, KEYS)
    pushes = [np.asarray(actions - plain).reshape(7, -1) for actions, _ in (guided, fake)]
    assert np.linalg.norm(pushes[1], axis=1).min() > 0.02
    cosine = np.sum(pushes[0] * pushes[1]) / np.prod([np.linalg.norm(p) for p in pushes])
    assert abs(cosine) < 0.6
    assert fake[1].value.mean() < guided[1].value.mean()


def test_velocity_and_critic_may_take_observations_of_any_structure():
    tree = dict(image=OBS.reshape(7, 2, 1), goal=(OBS[:, 0],))
    v = lambda obs, a, t: state_flow(obs["image"][:, 0], a, t)
    q = lambda obs, a: state_critic(jnp.stack([obs["goal"][0], obs["image"][1, 0]]), a)
    for n in (1, 3):
        expected = policy(best_of=n)(OBS, KEYS)
        assert_allclose(policy(velocity=v, critic=q, best_of=n)(tree, KEYS), expected, rtol=1e-6)


# Best of several, refinement


def recorder(log, shape=(2, 1)):
    """An act function of somebody else's, noting its calls: uniform actions from per-sample keys."""

    def act(obs, keys):
        actions = jax.vmap(lambda k: jax.random.uniform(k, shape, minval=-1))(keys)
        none = jnp.zeros(len(keys), int)
        info = Info(jnp.arange(len(keys)) * 1.0, jnp.zeros(len(keys)), none, none == 0, none)
        log.append((obs, keys, actions))
        return actions, info

    return act


@pytest.mark.parametrize("keys", [jax.random.key(3), jax.random.split(jax.random.key(3), 7)], ids=["one", "each"])
def test_best_of_returns_the_best_of_its_own_samples(keys):
    log, n = [], 5
    actions, info = best_of(recorder(log), n, state_critic)(OBS, keys)
    (many, used, drawn) = log[0]
    assert_array_equal(many, np.repeat(OBS, n, axis=0))
    assert len(np.unique(jax.random.key_data(used), axis=0)) == 7 * n
    drawn = np.asarray(drawn).reshape(7, n, 2, 1)
    value = -np.sum((drawn[..., 0] - 0.3 * np.asarray(OBS)[:, 1, None, None]) ** 2, axis=-1)
    pick = value.argmax(axis=1)
    assert len(set(pick)) > 1
    assert_array_equal(actions, drawn[np.arange(7), pick])
    assert_array_equal(info.value, 5 * np.arange(7) + pick)  # the record of the sample that was picked


def test_best_of_one_keeps_the_only_sample_and_more_samples_never_lose():
    values = [np.asarray(act_jit(policy(guide="none", best_of=n), OBS, KEYS)[1].value).mean() for n in (1, 4, 16)]
    assert values == sorted(values) and values[2] > values[0]
    act = lambda obs, keys: (jnp.ones((len(obs), 1, 2)), Info(*jnp.zeros((5, len(obs)))))
    assert_array_equal(best_of(act, 1, state_critic)(OBS, KEYS)[0], np.ones((7, 1, 2)))


def test_best_of_wraps_a_policy_with_the_policys_critic():
    pi = policy()
    actions, info = jax.jit(best_of(pi, 4))(OBS, KEYS)
    assert_allclose(actions, policy(best_of=4)(OBS, KEYS), rtol=1e-5, atol=1e-6)
    assert_allclose(info.value, jax.vmap(state_critic)(OBS, actions.reshape(7, -1)), rtol=1e-5)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_refine_takes_clipped_gradient_steps(steps):
    log, size = [], 0.2
    actions, info = refine(recorder(log), steps, size, state_critic, low=-0.4, high=0.3)(OBS, KEYS)
    a = np.asarray(log[0][2])
    goal = 0.3 * np.asarray(OBS)[:, 1, None, None]
    for _ in range(steps):
        a = np.clip(a - size * 2 * (a - goal), -0.4, 0.3)
    assert_allclose(actions, a, rtol=1e-5, atol=1e-6)
    assert_allclose(info.value, -np.sum((a - goal) ** 2, axis=(1, 2)), rtol=1e-4, atol=1e-6)


# Weight and strength


def test_strength_is_in_units_of_the_policys_own_spread():
    pi = policy(calibration=Calibration(sigma=0.5, grad_norm=4.0))
    assert_allclose(pi.guided(strength=1.6).weight, 1.6 * 0.5 * np.sqrt(6) / 4, rtol=1e-6)
    assert_allclose(pi.guided().weight, 0.5 * 0.5 * np.sqrt(6) / 4, rtol=1e-6)
    assert_allclose(pi.guided(strength=0).weight, 0)
    assert_allclose(pi.guided(weight=0.25).weight, 0.25)
    made = policy(weight=None, strength=2.0, calibration=Calibration(0.5, 4.0))
    assert_allclose(made.weight, 2 * 0.5 * np.sqrt(6) / 4, rtol=1e-6)


def test_guided_replaces_the_way_of_acting_and_nothing_else():
    pi = policy(calibration=Calibration(0.5, 4.0), steps=7)
    other = pi.guided("ood", weight=0.1, best_of=3, steps=20)
    assert (other.guide, float(other.weight), other.samples, other.steps) == ("ood", pytest.approx(0.1), 3, 20)
    assert (other.velocity, other.critic, other.calibration) == (pi.velocity, pi.critic, pi.calibration)
    assert (pi.guide, pi.samples, pi.steps) == ("qgf", 1, 7)
    assert pi.guided("none", weight=0).steps == 7


def test_options_that_make_no_sense_are_refused():
    pi = policy(calibration=Calibration(0.5, 4.0))
    with pytest.raises(UserError, match="strength or weight, not both"):
        pi.guided(strength=1.0, weight=0.1)
    with pytest.raises(UserError, match="strength or weight, not both"):
        policy(strength=1.0, calibration=pi.calibration)
    with pytest.raises(UserError, match="did you mean 'chain'"):
        pi.guided("chan")
    for option in (dict(best_of=0), dict(steps=0)):
        with pytest.raises(UserError, match="must be at least 1, got 0"):
            pi.guided(**option)


def test_a_strength_needs_a_calibration():
    with pytest.raises(UserError, match="calibrate"):
        policy().guided(strength=0.5)
    with pytest.raises(UserError, match="calibrate"):
        policy(weight=None)
    assert raw_weight(0, None, None, 6) == 0
    assert_array_equal(policy().guided("none", strength=0)(OBS, KEYS), policy(guide="none", weight=0)(OBS, KEYS))


def test_calibrate_measures_the_spread_and_the_slope():
    """The unguided Gaussian chain is linear in its noise, so its deviation is a known product."""
    std, steps, slope = 0.3, 20, jnp.array([1.0, -2.0, 0.5, 0.0, 1.0, 3.0])
    rate = lambda t: (t * std**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * std**2)
    sigma = np.prod([1 + rate(k / steps) / steps for k in range(steps)])
    pi = policy(critic=lambda obs, a: (1 + obs[0] ** 2) * slope @ a, steps=steps, weight=5.0, low=-9.0, high=9.0)
    found = calibrate(pi, OBS, jax.random.key(0), actions=2000)
    assert found.calibration.sigma == pytest.approx(sigma, rel=0.02)
    expected = np.mean(1 + np.asarray(OBS)[:, 0] ** 2) * np.linalg.norm(slope)
    assert found.calibration.grad_norm == pytest.approx(expected, rel=1e-4)
    assert (float(found.weight), found.guide) == (5.0, "qgf")


def test_strength_one_pushes_by_about_one_deviation():
    slope = jnp.array([1.0, -2.0, 0.5, 0.0, 1.0, 3.0])
    pi = policy(critic=lambda obs, a: 40 * slope @ a, guide="none", low=-9.0, high=9.0)
    pi = calibrate(pi, OBS, jax.random.key(0), actions=500)
    pushed = pi.guided("qgf", strength=1.0)(OBS, KEYS) - pi.guided("none")(OBS, KEYS)
    per_dimension = np.sqrt(np.mean(np.asarray(pushed) ** 2)) / pi.calibration.sigma
    assert 0.2 < per_dimension < 1.2  # the flow pulls early pushes back


def test_swapping_weights_and_parameters_compiles_nothing():
    traced = []

    def v(parameters, obs, a, t):
        traced.append(1)
        return state_flow(obs, a, t) + parameters

    bound = lambda shift: jax.tree_util.Partial(v, jnp.array(shift))
    pi = policy(velocity=bound(0.1), calibration=Calibration(0.5, 4.0))
    first = pi(OBS, KEYS)
    count = len(traced)
    stronger = pi.guided(weight=0.9)(OBS, KEYS)
    scaled = pi.guided(strength=0.1)(OBS, KEYS)
    shifted = policy(velocity=bound(-0.1), calibration=Calibration(0.5, 4.0))(OBS, KEYS)
    assert len(traced) == count > 0
    for other in (stronger, scaled, shifted):
        assert np.abs(first - other).max() > 1e-3
    pi.guided("ood", weight=0.4)(OBS, KEYS)
    assert len(traced) > count


def test_trace_of_a_policy_ends_at_its_action():
    pi = policy()
    a0 = jax.random.normal(KEYS[2], (6,))
    assert isinstance(pi, Policy)
    end = np.clip(pi.trace(OBS[2], a0).a[-1], -1, 1)
    assert_allclose(end, pi(OBS, KEYS)[2].ravel(), rtol=1e-4, atol=1e-5)
