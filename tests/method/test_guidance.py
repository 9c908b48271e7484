"""Every estimator against its exact value in the closed-form world."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import worlds
from qgf import toy
from qgf.method.flow import STEPS, Flow
from qgf.method.guidance import ESTIMATORS, placebo

dimensions = pytest.mark.parametrize("d", worlds.DIMENSIONS)
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def chain_jacobian(m, a, t, steps):
    """Product of I + h dv/da along the Euler chain from (a, t), and where the chain ends."""
    product = np.eye(len(a))
    times, h = worlds.euler_times(t, steps)
    for s in times:
        dv = worlds.central(lambda x, s=s: worlds.velocity(m, x, s), a, h=1e-6)
        product = (np.eye(len(a)) + h * np.asarray(dv)) @ product
        a = a + h * worlds.velocity(m, a, s)
    return product, a


def clean_jacobian(m, a, t):
    """t s^2 / sigma^2 I + t (1 - t)^2 / sigma^4 Cov_r(mu), in NumPy."""
    r, variance = worlds.posterior(m, a, t), worlds.sigma2(m, t)
    centred = np.asarray(m.means) - r @ np.asarray(m.means)
    spread = centred.T @ (r[:, None] * centred)
    return t * m.std**2 / variance * np.eye(len(a)) + t * (1 - t) ** 2 / variance**2 * spread


def exact_bptt(m, a, t):
    product, end = chain_jacobian(m, a, t, STEPS)
    return product.T @ worlds.critic_gradient(end)


EXACT = dict(
    none=lambda m, a, t: np.zeros_like(a),
    ood=lambda m, a, t: worlds.critic_gradient(a),
    bptt=exact_bptt,
    chain=lambda m, a, t: worlds.critic_gradient(worlds.euler(lambda x, s: worlds.velocity(m, x, s), a, t, STEPS)),
    jacobian=lambda m, a, t: clean_jacobian(m, a, t).T @ worlds.critic_gradient(worlds.clean(m, a, t)),
    qgf=lambda m, a, t: worlds.critic_gradient(worlds.clean(m, a, t)),
)
NUMERIC = {"bptt": 1e-7}  # the reference itself uses finite differences


def compiled(name, v, q=worlds.critic):
    return jax.jit(lambda a, t: ESTIMATORS[name](v, q, a, t))


@every_estimator
@dimensions
def test_estimator_has_its_exact_value(name, d, precision):
    m = worlds.mixture(d)
    ask, rtol = compiled(name, m.velocity), max(precision.rtol, NUMERIC.get(name, 0))
    for a, t in worlds.points(d):
        exact = EXACT[name](m, a, t)
        g = ask(jnp.array(a, precision.dtype), jnp.array(t, precision.dtype))
        assert g.dtype == precision.dtype
        # relative to the critic's slope: single components may cancel
        assert_allclose(g, exact, rtol=0, atol=5 * rtol * (1 + np.abs(exact).max()))


@dimensions
def test_jacobian_is_the_transposed_jacobian_times_qgf(d, float64):
    m = worlds.mixture(d)
    kept, dropped = compiled("jacobian", m.velocity), compiled("qgf", m.velocity)
    for a, t in worlds.points(d):
        a, t = jnp.array(a), jnp.array(t)
        assert_allclose(kept(a, t), m.jacobian(a, t).T @ dropped(a, t), rtol=1e-9, atol=1e-9)


@dimensions
@pytest.mark.parametrize("name", ["bptt", "jacobian"])
def test_differentiated_estimators_match_central_differences(name, d, float64):
    m = worlds.mixture(d)
    ends = dict(bptt=lambda x, t: worlds.euler(lambda y, s: worlds.velocity(m, y, s), x, t, STEPS))
    ends["jacobian"] = lambda x, t: worlds.clean(m, x, t)
    ask = compiled(name, m.velocity)
    for a, t in worlds.points(d, n=2):
        value = lambda x, t=t: np.asarray(worlds.critic(jnp.array(ends[name](x, t))))[None]
        assert_allclose(ask(jnp.array(a), jnp.array(t)), worlds.central(value, a)[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name, factor", [("bptt", True), ("chain", False)])
def test_the_chain_becomes_the_exact_ode_at_first_order(name, factor, float64):
    m = worlds.mixture(1)
    for a, t in ((0.2, 0.0), (0.9, 0.6)):
        end = m.ode(jnp.array(a), jnp.array(t))
        exact = worlds.critic_gradient([float(end)])[0]
        if factor:
            exact = exact * float(m.ode_derivative(jnp.array(a), jnp.array(t)))
        asked = [compiled(name, Flow(m.velocity, n))(jnp.array([a]), jnp.array(t))[0] for n in (400, 800, 1600)]
        errors = np.abs(np.array(asked) - exact)
        assert errors[2] < 1e-2 * (1 + abs(exact))
        assert_allclose(errors[:2] / errors[1:], 2, atol=0.2)


@dimensions
@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n != "none"])
def test_all_agree_with_the_critics_gradient_at_time_one(name, d, float64):
    m = worlds.mixture(d)
    ask = compiled(name, m.velocity)
    for a, _ in worlds.points(d, times=(0.9,)):
        exact = worlds.critic_gradient(a)
        assert_allclose(ask(jnp.array(a), jnp.array(1.0)), exact, rtol=1e-12, atol=1e-12)
        gaps = [np.abs(ask(jnp.array(a), jnp.array(1 - e)) - exact).max() for e in (1e-3, 1e-5)]
        assert gaps[1] < 1e-3 and gaps[1] <= 0.02 * gaps[0] + 1e-12  # closes in proportion to 1 - t


@pytest.mark.parametrize("name", ["bptt", "chain", "jacobian", "qgf"])
def test_asking_at_a_clean_action_ignores_the_bump_away_from_the_data(name, float64):
    world = toy.world("landing")
    a, t = jnp.array([3.0]), jnp.array(0.2)  # a noisy action under the critic's spurious bump
    pull = lambda name: [
        float(compiled(name, world.mixture.velocity, q)(a, t)[0]) for q in (world.critic, world.true_return)
    ]
    misled, honest = pull("ood")
    assert honest < 0 < misled and misled - honest > 5  # the noisy action itself is drawn further to the bump
    seen, honest = pull(name)
    assert abs(seen - honest) < 0.6


@every_estimator
@dimensions
def test_vmap_and_jit_equal_a_loop(name, d, float64):
    m = worlds.mixture(d)
    a, t = (np.array(x) for x in zip(*worlds.points(d), strict=True))
    batched = jax.jit(jax.vmap(lambda a, t: ESTIMATORS[name](m.velocity, worlds.critic, a, t)))(a, t)
    one_time = jax.jit(jax.vmap(compiled(name, m.velocity), in_axes=(0, None)))(a, t[4])
    alone = compiled(name, m.velocity)
    for i in range(len(a)):
        assert_allclose(batched[i], alone(jnp.array(a[i]), jnp.array(t[i])), rtol=1e-12, atol=1e-12)
    assert_allclose(one_time[4], batched[4], rtol=1e-12, atol=1e-12)


@every_estimator
@dimensions
def test_placebo_has_the_norm_of_its_estimator(name, d, float64):
    m = worlds.mixture(d)
    fake = jax.jit(lambda a, t: placebo(ESTIMATORS[name])(m.velocity, worlds.critic, a, t))
    true = compiled(name, m.velocity)
    for a, t in worlds.points(d, n=1):
        expected = np.linalg.norm(true(jnp.array(a), jnp.array(t)))
        assert_allclose(np.linalg.norm(fake(jnp.array(a), jnp.array(t))), expected, rtol=1e-10, atol=1e-12)


def placebo_directions(a, t, seed=0, d=3):
    m = worlds.mixture(d)
    guides = placebo(ESTIMATORS["qgf"], seed), ESTIMATORS["qgf"]
    g, true = (jax.jit(jax.vmap(lambda a, ask=ask: ask(m.velocity, worlds.critic, a, t)))(a) for ask in guides)
    unit = lambda x: np.asarray(x / jnp.linalg.norm(x, axis=-1, keepdims=True))
    return unit(g), unit(true)


def test_placebo_directions_are_uniform_and_blind():
    n, d = 4000, 3
    a = jax.random.normal(jax.random.key(3), (n, d))
    u, true = placebo_directions(a, jnp.array(0.3))
    bound = 5 / np.sqrt(n * d)
    assert abs(np.mean(np.sum(u * true, axis=-1))) < bound
    assert np.abs(u.mean(0)).max() < bound
    assert_allclose(u.T @ u / n, np.eye(d) / d, atol=0.03)
    assert abs(np.mean(np.sum(u[1:] * u[:-1], axis=-1))) < bound


def test_placebo_is_deterministic_and_differs_by_point_and_seed():
    a = jax.random.normal(jax.random.key(4), (2, 3))
    first, _ = placebo_directions(a, jnp.array(0.3))
    again, _ = placebo_directions(a, jnp.array(0.3))
    nearby, _ = placebo_directions(a + 1e-3, jnp.array(0.3))
    reseeded, _ = placebo_directions(a, jnp.array(0.3), seed=1)
    assert_array_equal(first, again)
    for other in (first[::-1], nearby, reseeded):
        assert np.abs(first - other).max(axis=-1).min() > 1e-3


def test_the_placebo_of_opposite_actions_is_not_the_same():
    a = jnp.array([0.3, -0.7])
    guide = placebo(lambda v, q, a, t: jnp.ones_like(a))
    assert not np.allclose(guide(None, None, a, 0.5), guide(None, None, -a, 0.5))
