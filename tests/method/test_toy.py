"""The closed-form world against quadrature, SciPy, automatic differentiation and an accurate integrator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

import worlds
from qgf import toy

dimensions = pytest.mark.parametrize("d", worlds.DIMENSIONS)


@jax.jit
def ode(m, a, t):
    return m.ode(a, t)


@jax.jit
def ode_derivative(m, a, t):
    return m.ode_derivative(a, t)


def each_point(d, dtype, **kw):
    return [(a, t, jnp.array(a, dtype), jnp.array(t, dtype)) for a, t in worlds.points(d, **kw)]


@dimensions
def test_velocity_and_clean_are_conditional_means(d, precision):
    m = worlds.mixture(d)
    for a, t, ja, jt in each_point(d, precision.dtype):
        tolerance = dict(rtol=precision.rtol, atol=precision.rtol)
        assert_allclose(m.velocity(ja, jt), worlds.velocity(m, a, t), **tolerance)
        assert_allclose(m.clean(ja, jt), worlds.clean(m, a, t), **tolerance)
        assert_allclose(m.clean(ja, jt), ja + (1 - jt) * m.velocity(ja, jt), **tolerance)
        assert m.velocity(ja, jt).dtype == precision.dtype


def test_clean_is_the_posterior_mean_by_quadrature(float64):
    m = worlds.mixture(1)
    w = np.asarray(m.weights / m.weights.sum())
    for a, t in worlds.points(1, times=(0.1, 0.5, 0.8)):
        joint = lambda x, a=a, t=t: (w @ norm.pdf(x, np.asarray(m.means)[:, 0], m.std)) * norm.pdf(a[0], t * x, 1 - t)
        mass, mean = (quad(f, -5, 5, limit=400, epsabs=1e-14)[0] for f in (joint, lambda x, j=joint: x * j(x)))
        assert_allclose(m.clean(jnp.array(a), jnp.array(t))[0], mean / mass, rtol=1e-9)


@dimensions
def test_boundary_values(d, precision):
    m, zero, one = worlds.mixture(d), jnp.zeros((), precision.dtype), jnp.ones((), precision.dtype)
    data_mean = np.average(worlds.MEANS[d], axis=0, weights=worlds.WEIGHTS[d])
    tolerance = dict(rtol=precision.rtol, atol=precision.rtol)
    for a, _ in worlds.points(d):
        ja = jnp.array(a, precision.dtype)
        assert_allclose(m.clean(ja, zero), data_mean, **tolerance)
        assert_allclose(m.clean(ja, one), a, **tolerance)
        assert_allclose(m.velocity(ja, one), a, **tolerance)
        assert_allclose(m.jacobian(ja, zero), np.zeros((d, d)), atol=precision.rtol)
        assert_allclose(m.jacobian(ja, one), np.eye(d), atol=precision.rtol)


@dimensions
def test_jacobian_is_the_derivative_of_clean_symmetric_and_positive(d, precision):
    m = worlds.mixture(d)
    scale = dict(rtol=50 * precision.rtol, atol=50 * precision.rtol)
    automatic, exact = jax.jit(jax.jacfwd(m.clean)), jax.jit(m.jacobian)
    for _, _, a, t in each_point(d, precision.dtype):
        j = exact(a, t)
        assert_allclose(j, automatic(a, t), **scale)
        assert_allclose(j, j.T, rtol=precision.rtol, atol=precision.rtol)
        assert np.linalg.eigvalsh(j).min() >= -precision.rtol


@dimensions
def test_velocity_jacobian_is_the_derivative_of_velocity(d, float64):
    m = worlds.mixture(d)
    automatic = jax.jit(jax.jacfwd(m.velocity))
    for _, t, a, jt in each_point(d, jnp.float64):
        dv = m.velocity_jacobian(a, jt)
        assert_allclose(dv, automatic(a, jt), rtol=1e-9, atol=1e-9)
        assert_allclose(dv, (m.jacobian(a, jt) - np.eye(d)) / (1 - t), rtol=1e-9, atol=1e-9)
    assert_allclose(m.velocity_jacobian(a, jnp.array(1.0)), np.eye(d), rtol=1e-12, atol=1e-12)


@dimensions
def test_log_prob_and_responsibilities_match_scipy(d, precision):
    m = worlds.mixture(d)
    for a, t, ja, jt in each_point(d, precision.dtype, times=(0.0, 0.3, 0.9, 1.0)):
        terms = worlds.log_terms(m, a, t)
        expected = np.logaddexp.reduce(terms)
        assert_allclose(m.log_prob(ja, jt), expected, rtol=2 * precision.rtol, atol=precision.rtol)
        assert_allclose(
            m.responsibilities(ja, jt), np.exp(terms - expected), rtol=1e3 * precision.rtol, atol=precision.rtol
        )


def test_ode_matches_an_accurate_integrator(float64):
    m = worlds.mixture(1)
    for a, t in worlds.points(1):
        assert_allclose(ode(m, jnp.array(a[0]), jnp.array(t)), worlds.flow_end(m, a, t)[0], rtol=1e-9, atol=1e-10)


def test_ode_in_float32(float64):
    m = worlds.mixture(1)
    for a, t in worlds.points(1):
        exact = ode(m, jnp.array(a[0]), jnp.array(t))
        with jax.enable_x64(False):
            single = ode(worlds.mixture(1), jnp.float32(a[0]), jnp.float32(t))
        assert_allclose(single, exact, rtol=1e-4, atol=1e-5)


def test_ode_derivative_matches_finite_differences_of_the_integrator(float64):
    m = worlds.mixture(1)
    for a, t in worlds.points(1):
        difference = worlds.central(lambda x, t=t: worlds.flow_end(m, x, t), a, h=1e-4)[0, 0]
        assert_allclose(ode_derivative(m, jnp.array(a[0]), jnp.array(t)), difference, rtol=1e-4)


def test_ode_derivative_is_the_derivative_of_ode(float64):
    m = worlds.mixture(1)
    for a, t in worlds.points(1):
        t = jnp.array(t)
        difference = worlds.central(lambda x, t=t: np.asarray(ode(m, jnp.array(x[0]), t))[None], a)[0, 0]
        assert_allclose(ode_derivative(m, jnp.array(a[0]), t), difference, rtol=1e-6)


def test_cdf_and_quantiles_match_scipy(float64):
    m = worlds.mixture(1)
    w = np.asarray(m.weights / m.weights.sum())
    for a, t in worlds.points(1, times=(0.0, 0.4, 1.0)):
        a = float(a[0])
        expected = w @ norm.cdf(a, t * np.asarray(m.means)[:, 0], np.sqrt(worlds.sigma2(m, t)))
        assert_allclose(m.cdf(jnp.array(a), jnp.array(t)), expected, rtol=1e-9)
        there = m.quantile_of(jnp.array(a), jnp.array(t), jnp.array(0.7))
        assert_allclose(m.quantile_of(there, jnp.array(0.7), jnp.array(t)), a, rtol=1e-9)


def test_watersheds_of_three_equal_peaks(float64):
    peaks = toy.world("gradients").mixture
    thirds = norm.ppf([1 / 3, 2 / 3])
    assert_allclose(thirds, [-0.4307, 0.4307], atol=5e-5)
    ends = [float(ode(peaks, jnp.array(a), jnp.array(0.0))) for a in thirds]
    assert_allclose(ends, [-1.0, 0.5], atol=1e-6)  # half way between the peaks at -2, 0 and 1


@pytest.mark.parametrize("at, below, above", [(-0.4307, -2, 0), (0.4307, 0, 1)])
def test_noise_beside_a_watershed_lands_on_the_peak_of_its_side(at, below, above):
    narrow = toy.world("landing").mixture
    ends = [float(ode(narrow, jnp.array(at + shift), jnp.array(0.0))) for shift in (-0.01, 0.01)]
    assert_allclose(ends, [below, above], atol=5 * narrow.std)


@dimensions
def test_sample_moments(d):
    m, n = worlds.mixture(d), 200_000
    draws = np.asarray(m.sample(jax.random.key(0), n), float)
    w, mu = np.asarray(worlds.WEIGHTS[d]) / sum(worlds.WEIGHTS[d]), np.asarray(worlds.MEANS[d])
    centred = mu - w @ mu
    covariance = centred.T @ (w[:, None] * centred) + m.std**2 * np.eye(d)
    assert_allclose(draws.mean(0), w @ mu, atol=5 * np.sqrt(covariance.max() / n))
    assert_allclose(np.cov(draws.T, bias=True).reshape(d, d), covariance, atol=0.02)


def test_world_critic_is_the_return_plus_a_bump(float64):
    world = toy.world("landing")
    for a in (-1.5, 0.9, 3.3):
        expected = -((a - 1) ** 2) + 12 * np.exp(-((a - 3.3) ** 2) / (2 * 0.75**2))
        assert_allclose(world.critic(jnp.array([a])), expected, rtol=1e-12)
        assert_allclose(world.true_return(jnp.array([a])), -((a - 1) ** 2), rtol=1e-12)
