"""The linear path, its loss, the one-step estimate and the Euler chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import norm

import worlds
from qgf.method.flow import Flow, as_flow, bc_loss, clean, integrate, interpolate, log_likelihood
from qgf.method.toy import Mixture
from qgf.networks.velocity import VelocityField

dimensions = pytest.mark.parametrize("d", worlds.DIMENSIONS)


def test_interpolate_is_the_straight_line(float64):
    a0, a1 = jnp.array([1.0, -2.0]), jnp.array([3.0, 5.0])
    for t, expected in ((0.0, [1, -2]), (0.25, [1.5, -0.25]), (1.0, [3, 5])):
        assert_allclose(interpolate(a0, a1, jnp.array(t)), expected, rtol=1e-15)


def test_bc_loss_by_hand(float64):
    v = lambda a, t: 2 * a + t
    a0, a1, t = jnp.array([1.0, -2.0]), jnp.array([3.0, 5.0]), jnp.array(0.25)
    error = 2 * np.array([1.5, -0.25]) + 0.25 - np.array([2.0, 7.0])
    assert_allclose(bc_loss(v, a0, a1, t), np.mean(error**2), rtol=1e-15)


def test_the_loss_of_a_batch_is_the_mean_of_its_samples(float64):
    v = lambda a, t: 2 * a + t[..., None] ** 2
    rng = np.random.default_rng(0)
    a0, a1, t = (jnp.array(x) for x in (*rng.normal(size=(2, 5, 3)), rng.uniform(size=5)))
    assert_allclose(bc_loss(v, a0, a1, t), np.mean([bc_loss(v, *x) for x in zip(a0, a1, t, strict=True)]), rtol=1e-12)
    assert_allclose(interpolate(a0, a1, t), jax.vmap(interpolate)(a0, a1, t), rtol=1e-15)


@dimensions
def test_bc_loss_is_lowest_at_the_exact_velocity(d):
    m, n = worlds.mixture(d), 20_000
    noise, time = jax.random.split(jax.random.key(1))
    a0, a1 = jax.random.normal(noise, (n, d)), m.sample(jax.random.key(2), n)
    t = jax.random.uniform(time, (n,))

    def loss(v):
        return float(jnp.mean(jax.vmap(lambda *x: bc_loss(v, *x))(a0, a1, t)))

    best = loss(m.velocity)
    perturbed = [
        lambda a, t: m.velocity(a, t) + 0.1,
        lambda a, t: m.velocity(a, t) - 0.1,
        lambda a, t: 1.1 * m.velocity(a, t),
        lambda a, t: 0.9 * m.velocity(a, t),
        lambda a, t: m.velocity(a, t) + 0.2 * jnp.sin(3 * a),
    ]
    assert all(loss(v) > best + 1e-3 for v in perturbed)


@dimensions
def test_clean_equals_the_mixture_posterior_mean(d, precision):
    m = worlds.mixture(d)
    for a, t in worlds.points(d):
        estimate = clean(m.velocity, jnp.array(a, precision.dtype), jnp.array(t, precision.dtype))
        assert_allclose(estimate, worlds.clean(m, a, t), rtol=precision.rtol, atol=precision.rtol)


def test_clean_and_integrate_clip_to_the_range_of_a_flow(float64):
    v = lambda a, t: jnp.array([4.0, -4.0, 0.1])
    flow = Flow(v, steps=5, low=jnp.array([-1.0, -0.5, -1.0]), high=1.0)
    a, t = jnp.zeros(3), jnp.array(0.2)
    for end in (clean, integrate):
        assert_allclose(end(flow, a, t), [1.0, -0.5, 0.08], rtol=1e-12)
        assert_allclose(end(v, a, t), [3.2, -3.2, 0.08], rtol=1e-12)


@dimensions
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 49, 50])
def test_integrate_is_euler_on_the_samplers_grid(d, steps, float64):
    m, rng = worlds.mixture(d), np.random.default_rng(0)
    end = jax.jit(lambda a, t: integrate(Flow(m.velocity, steps), a, t))
    for k in range(0, steps, max(1, steps // 10)):
        a, t = rng.normal(size=d), k / steps
        by_hand = a
        for j in range(k, steps):
            by_hand = by_hand + worlds.velocity(m, by_hand, j / steps) / steps
        assert_allclose(end(jnp.array(a), jnp.array(t)), by_hand, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("steps", [3, 7, 10, 49, 50])
def test_every_float32_grid_time_leaves_exactly_the_remaining_steps(steps):
    ones = Flow(lambda a, t: jnp.ones_like(a) * 0 + 1 / (1 - t), steps)  # the sum of h / (1 - t) counts the steps
    times = jnp.arange(steps, dtype=jnp.float32) / steps
    counted = jax.vmap(lambda t: integrate(ones, jnp.zeros(1), t))(times)[:, 0]
    expected = [sum(1 / (steps - j) for j in range(k, steps)) for k in range(steps)]
    assert_allclose(counted, expected, rtol=2e-4)


@pytest.mark.parametrize("t", [0.04, 0.333, 0.55, 0.951])
def test_integrate_between_grid_points_splits_the_rest_evenly(t, float64):
    m, steps = worlds.mixture(1), 10
    n = int(np.ceil((1 - t) * steps))
    a = by_hand = np.array([0.4])
    for k in range(n):
        by_hand = by_hand + (1 - t) / n * worlds.velocity(m, by_hand, t + k * (1 - t) / n)
    assert_allclose(integrate(Flow(m.velocity, steps), jnp.array(a), jnp.array(t)), by_hand, rtol=1e-12)


@dimensions
def test_at_time_one_nothing_is_left_to_integrate(d, precision):
    m = worlds.mixture(d)
    for a, _ in worlds.points(d, times=(0.5,)):
        a = jnp.array(a, precision.dtype)
        assert_array_equal(integrate(m.velocity, a, jnp.ones((), precision.dtype)), a)


def test_integrate_converges_to_the_exact_ode_at_first_order(float64):
    m = worlds.mixture(1)
    for a, t in ((0.3, 0.0), (-1.1, 0.1), (0.9, 0.35)):
        a, t = jnp.array([a]), jnp.array(t)
        exact = m.ode(a[0], t)
        errors = [abs(float(integrate(Flow(m.velocity, n), a, t)[0] - exact)) for n in (400, 800, 1600)]
        assert errors[0] < 0.02
        assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 2, atol=0.15)


def test_the_velocity_where_the_flow_stands_is_evaluated_once():
    calls = []

    def v(a, t):
        calls.append((a, t))
        return 2 * a

    a, t = jnp.ones(3), jnp.array(0.5)
    flow = Flow(v, at=(a, t))
    for _ in range(3):
        assert_array_equal(flow(a, t), 2 * a)
        assert_array_equal(clean(flow, a, t), a + 0.5 * 2 * a)
    assert len(calls) == 1
    assert_array_equal(flow(3 * a, t), 6 * a)
    assert_array_equal(flow(a, t + 0.1), 2 * a)
    assert len(calls) == 3


def test_a_flow_without_a_point_remembers_nothing():
    flow = Flow(lambda a, t: a + t)
    assert_array_equal(flow(jnp.ones(2), jnp.array(1.0)), [2, 2])
    assert_array_equal(flow(jnp.ones(2), jnp.array(2.0)), [3, 3])
    assert as_flow(flow) is flow


TWO_PEAKS = Mixture(jnp.array([[0.5, -0.2], [-0.6, 0.4]]), jnp.array([1.0, 2.0]), 0.2)


def likelihoods(v, a):
    return jax.jit(jax.vmap(lambda a: log_likelihood(v, a)))(a)


@pytest.mark.parametrize("d, std", [(1, 0.05), (2, 0.3), (5, 1.7)])
def test_likelihood_of_a_gaussian_flow(d, std, precision):
    mean = np.random.default_rng(d).normal(size=d)
    m = Mixture(jnp.array(mean[None], precision.dtype), jnp.ones(1, precision.dtype), std)
    a = mean + std * np.random.default_rng(1).normal(size=(30, d))
    found = likelihoods(m.velocity, jnp.array(a, precision.dtype))
    assert_allclose(found, norm.logpdf(a, mean, std).sum(axis=1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("m", [worlds.mixture(1), TWO_PEAKS, worlds.mixture(3)], ids=["1-D", "2-D", "3-D"])
def test_likelihood_of_a_mixtures_flow(m, float64):
    a = np.asarray(m.sample(jax.random.key(0), 40))
    a = np.concatenate([a, np.random.default_rng(0).normal(size=a.shape)])  # of the data, and off them
    exact = [logsumexp(worlds.log_terms(m, x, 1.0)) for x in a]
    assert_allclose(likelihoods(m.velocity, jnp.array(a)), exact, rtol=1e-5, atol=1e-4)
    assert_allclose(exact, jax.vmap(lambda a: m.log_prob(a, jnp.ones(())))(a), rtol=1e-5, atol=1e-6)


def test_a_networks_density_integrates_to_one():
    network = VelocityField(1, 1, 16, 2, jax.random.key(0))
    a = jnp.linspace(-9, 9, 721)[:, None]
    density = jnp.exp(likelihoods(lambda a, t: 3 * network(jnp.ones(1), a, t), a))
    assert abs(density[0]) < 1e-4 and abs(density[-1]) < 1e-4
    assert_allclose(jnp.trapezoid(density, a[:, 0]), 1, atol=1e-3)
