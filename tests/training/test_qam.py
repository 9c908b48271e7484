"""Adjoint matching: its chain, the adjoint along it and what the actor is taught, against Gaussians in closed form."""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from numpy.testing import assert_allclose, assert_array_equal

from qgf.method.toy import Mixture
from qgf.networks.blocks import Nets
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.methods.bc import BC
from qgf.training.methods.qam import QAM, Memoryless, lean_adjoint
from qgf.types import Batch, Spec

KEY = jax.random.key(5)
MEAN, STD, SLOPE = -0.3, 0.2, 10.0  # data N(mean, std^2), q(a) = slope a: Q / temperature
GAUSSIAN = Mixture(jnp.array([[MEAN]]), jnp.ones(1), STD)
TILTED = Mixture(GAUSSIAN.means + STD**2 * SLOPE, GAUSSIAN.weights, STD)  # prop. to pi exp(q)
PEAKS = Mixture(jnp.array([[-0.5, 0.2], [0.6, -0.3]]), jnp.array([1.0, 2.0]), 0.3)


def sigma2(t, std=STD):
    return (1 - t) ** 2 + (t * std) ** 2


# The step


@pytest.mark.parametrize("t, s", [(0.1, 0.2), (0.4, 0.5), (0.5, 0.9), (0.9, 0.99), (0.0, 0.1), (0.9, 1.0)])
def test_a_step_is_the_gaussian_posterior_of_the_noising_chain(t, s, float64):
    """a_s = (1 - s) e + s a_1 and a_t = r a_s + fresh noise: condition the joint Gaussian of (a_s, a_t) given a_1."""
    a1, r = 0.7, t / s
    fresh = (1 - t) ** 2 - (r * (1 - s)) ** 2
    joint = np.array([[(1 - s) ** 2, r * (1 - s) ** 2], [r * (1 - s) ** 2, r**2 * (1 - s) ** 2 + fresh]])
    assert_allclose(joint[1, 1], (1 - t) ** 2)  # the path's own noise at t
    gain = joint[0, 1] / joint[1, 1]
    step = Memoryless.between(jnp.array(t), jnp.array(s))
    assert_allclose(step.std**2, joint[0, 0] - gain * joint[0, 1], rtol=1e-9, atol=1e-15)
    for a in (-1.3, 0.2):
        exact = s * a1 + gain * (a - t * a1)
        assert_allclose(step.of_a * a + step.of_a1 * a1, exact, rtol=1e-10)
        assert_allclose(step.mean(lambda a, t: (a1 - a) / (1 - t), jnp.array(a)), exact, rtol=1e-10)


def test_the_first_step_forgets_its_start_and_the_last_adds_no_noise():
    first, last = Memoryless.between(jnp.array(0.0), jnp.array(0.25)), Memoryless.between(jnp.array(0.75), jnp.array(1))
    assert_allclose([first.of_a, first.of_a1, first.std], [0, 0.25, 0.75], rtol=1e-6)
    assert_allclose([last.of_a, last.of_a1, last.std], [0, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("t, s", [(0.2, 0.3), (0.5, 0.75)])
def test_short_steps_are_those_of_the_memoryless_sde(t, s, float64):
    """da = (2 v - a / t) dt + sqrt(2 (1 - t) / t) dB."""
    h, v, a = 1e-6, 0.4, jnp.array(0.9)
    step = Memoryless.between(jnp.array(t), jnp.array(t + h))
    assert_allclose((step.mean(lambda a, t: v, a) - a) / h, 2 * v - a / t, rtol=1e-4)
    assert_allclose(step.std**2 / h, 2 * (1 - t) / t, rtol=1e-4)


def moments(steps, std):
    """Mean and variance at every point of the chain for data N(MEAN, std^2), by the steps' own coefficients."""
    grid = jnp.arange(steps + 1) / steps
    each = zip(*map(np.asarray, jax.vmap(Memoryless.between)(grid[:-1], grid[1:])), strict=True)
    m, variance, found = 0.0, 1.0, []
    for t, of_a, of_a1, noise, *_ in each:
        rate = (t * std**2 - (1 - t)) / sigma2(t, std)
        m = of_a * m + of_a1 * (m + (1 - t) * (MEAN + rate * (m - t * MEAN)))
        variance = (of_a + of_a1 * (1 + (1 - t) * rate)) ** 2 * variance + noise**2
        found.append((m, variance))
    return np.array(found)


def lengths(steps):
    return np.arange(1, steps + 1) / steps


def test_the_chain_has_the_paths_means_and_for_one_point_of_data_its_variance(float64):
    for std in (0.0, STD, 1.0):
        found = moments(10, std)
        assert_allclose(found[:, 0], lengths(10) * MEAN, rtol=1e-9)
        if not std:
            assert_allclose(found[:, 1], (1 - lengths(10)) ** 2, rtol=1e-9, atol=1e-15)


def test_what_the_chains_variance_lacks_halves_with_twice_the_steps(float64):
    """A step holds the clean action at its mean, and loses of_a1^2 Var[a_1 | a_t]."""
    lacks = [np.max(sigma2(lengths(n)) - moments(n, STD)[:, 1]) for n in (100, 200, 400)]
    assert 0 < lacks[2] < 0.002
    assert_allclose(np.divide(lacks[:2], lacks[1:]), 2, rtol=0.1)


def test_sampled_chains_have_the_moments_of_the_closed_form():
    n, steps = 20_000, 10
    velocity = lambda a, t: jax.vmap(GAUSSIAN.velocity, (0, None))(a, t)
    a0, noise = jax.random.normal(KEY, (n, 1)), jax.random.normal(jax.random.key(6), (steps, n, 1))
    points = jax.jit(lambda: lean_adjoint(velocity, jnp.sum, a0, noise, velocity)[1])()
    assert_array_equal(points[0], a0)
    found = np.stack([points[1:, :, 0].mean(axis=1), points[1:, :, 0].var(axis=1)], axis=1)
    exact = moments(steps, STD)[:-1]
    assert (np.abs(found[:, 0] - exact[:, 0]) < 5 * np.sqrt(exact[:, 1] / n)).all()
    assert (np.abs(found[:, 1] - exact[:, 1]) < 5 * exact[:, 1] * np.sqrt(2 / n)).all()


# The adjoint


def hilly(a):
    return jnp.sum(jnp.sin(2 * a) + a**2 * jnp.array([0.3, -0.8]))


def test_the_adjoint_is_the_gradient_of_q_through_the_rest_of_the_base_chain(float64):
    """Along a path of another velocity: the gradient is that of the base chain with the same noise, step by step."""
    steps, v = 6, lambda a, t: PEAKS.velocity(a, t) + 0.5 * jnp.cos(a)
    a0, noise = jax.random.normal(KEY, (2,)), jax.random.normal(jax.random.key(6), (steps, 2))
    grid = jnp.arange(steps + 1) / steps
    each = [Memoryless.between(t, s) for t, s in pairwise(grid)]

    def end(velocity, a, k):
        for step, z in list(zip(each, noise, strict=True))[k:]:
            a = step.mean(velocity, a) + step.std * z
        return a

    base = PEAKS.velocity
    _, points, adjoint, target = jax.jit(lambda: lean_adjoint(base, hilly, a0, noise, base))()
    for k in range(steps):
        exact = jax.grad(lambda a, k=k: hilly(end(base, a, k)))(points[k])
        assert_allclose(adjoint[k], exact, rtol=1e-8, atol=1e-12)
        if k:
            t = k / steps
            assert_allclose(target[k], base(points[k], t) + (1 - t) / t * exact, rtol=1e-5)

    _, points, adjoint, target = jax.jit(lambda: lean_adjoint(v, hilly, a0, noise, base))()
    g, last = jax.grad(hilly)(end(v, a0, 0)), end(v, a0, 0)
    assert np.abs(last - end(base, a0, 0)).max() > 0.05
    for k in reversed(range(steps)):
        g = jax.jacobian(lambda a, k=k: each[k].mean(base, a))(points[k]).T @ g
        assert_allclose(adjoint[k], g, rtol=1e-8, atol=1e-12)


def targets(steps, seed=6):
    """What adjoint matching wants for the Gaussian at the points of one chain, and the tilted Gaussian's velocity."""
    velocity, noise = GAUSSIAN.velocity, jax.random.normal(jax.random.key(seed), (steps, 1))
    q = lambda a: SLOPE * jnp.sum(a)
    each, points, _, found = jax.jit(lambda: lean_adjoint(velocity, q, jnp.ones(1), noise, velocity))()
    exact = jax.vmap(TILTED.velocity)(points, each.t)
    return np.asarray(found - exact)[:, 0], np.asarray(exact - jax.vmap(velocity)(points, each.t))[:, 0]


def test_a_gaussian_and_a_linear_critic_want_the_tilted_gaussians_velocity(float64):
    """Exactly at every point after t = 0; there up to 1 / (1 + (std s / (1 - s))^2), which more steps bring to one."""
    for steps in (4, 10, 200):
        error, shift = targets(steps)
        assert_allclose(error[1:], 0, atol=1e-7)
        s = 1 / steps
        assert_allclose(1 + error[0] / shift[0], 1 / (1 + (STD * s / (1 - s)) ** 2), rtol=1e-6)
        assert np.abs(shift).min() > 1e-3


# The loss


SPEC = Spec(1, 1, 1)


def linear(slope, obs, a):
    """Two critics whose mean is slope a."""
    return jnp.concatenate([0.5 * slope * a, 1.5 * slope * a], axis=-1)


def as_flow(m, obs, a, t):
    return jax.vmap(m.velocity)(a, t)


def nets(actor, flow=GAUSSIAN, slope=SLOPE / 0.1):
    flow = Partial(as_flow, flow)
    return Nets(actor=actor, flow=flow, critic=Partial(linear, jnp.array(slope)))


def batch(n=64):
    return Batch(jnp.zeros((n, 1)), jnp.zeros((n, 1)), jnp.zeros(n), jnp.zeros(n), jnp.zeros((n, 1)))


def test_the_loss_is_zero_and_flat_at_the_tilted_flow_and_weighs_the_steps(float64):
    """Its distance from there is weighed by 2 (t + h) / (1 - t + h), summed over the steps."""
    narrow = Mixture(jnp.array([[0.1]]), jnp.ones(1), 0.01)  # a chain that stays where Q is not clipped
    best = Partial(as_flow, Mixture(narrow.means + 0.01**2 * SLOPE, narrow.weights, 0.01))
    method, steps = QAM(), 10
    feature = lambda a, t: jnp.stack([jnp.ones_like(a), a, jnp.sin(t)[:, None]])

    def loss(tilt):
        actor = lambda obs, a, t: best(obs, a, t) + jnp.tensordot(tilt, feature(a, t), 1)
        return method._actor(actor, nets(best, narrow), batch(), KEY)[0]

    both = jax.jit(jax.value_and_grad(loss))
    value, slope = both(jnp.zeros(3))
    assert value < 1e-12
    assert np.abs(slope).max() < 1e-5
    t, h = np.arange(steps) / steps, 1 / steps
    value, slope = both(jnp.array([0.3, 0.0, 0.0]))
    assert_allclose(value, 0.09 * np.sum(2 * (t + h) / (1 - t + h)), rtol=1e-5)
    assert np.abs(slope).min() > 0.1


def test_a_chain_that_ends_beyond_the_range_wants_the_cloned_flow():
    """There the clipped action has no gradient of Q."""

    @jax.jit
    def loss(mean):
        flow = Mixture(mean[None, None], jnp.ones(1), 0.01)
        return QAM()._actor(Partial(as_flow, flow), nets(Partial(as_flow, flow), flow, slope=1e6), batch(), KEY)[0]

    assert loss(jnp.array(1.5)) < 1e-9
    assert loss(jnp.array(0.5)) > 1


@dataclass(frozen=True)
class Anew(QAM):
    """Its actor begins as a network although the flow is lent, which is none here."""

    start = BC.start


ROWS = jnp.arange(10)
DATA = Chunks(jnp.zeros((11, 1)), jnp.zeros((11, 1)), ROWS, 0.0 * ROWS, 0.0 * ROWS)


def test_a_trained_actor_samples_the_tilted_gaussian():
    """Its policy's mean is mean + std^2 slope; the spread is what ten Euler steps of the exact flow give."""
    method, known = Anew(32, 2), nets(None)
    frozen = dict(flow=known.flow, critic=known.critic, value=known.critic, target=known.critic)
    learner = Learner(method, SPEC, optax.cosine_decay_schedule(5e-3, 1500), 128, jax.tree.map(jnp.copy, frozen))
    state, _ = learner.run(learner.init(jax.random.key(0)), DATA, 1500)
    n = 4000
    play = lambda velocity: method.sample(velocity, jnp.zeros((n, 1)), 1, jax.random.key(8))
    a, exact = jax.jit(play)(state.nets.actor), jax.jit(play)(Partial(as_flow, TILTED))
    assert_allclose(a.mean(), MEAN + STD**2 * SLOPE, atol=0.03)
    assert_allclose(a.std(), exact.std(), atol=0.03)


def test_an_actor_begins_as_the_flow_that_is_lent():
    method = QAM(8, 1)
    flow = method.init(SPEC, jax.random.key(1)).flow
    begun = lambda frozen: Learner(method, SPEC, 3e-4, 8, frozen).init(KEY)
    different = lambda nets: [bool(jnp.any(a != b)) for a, b in zip(*map(jax.tree.leaves, nets), strict=True)]
    alone = begun({}).nets
    assert any(different((alone.actor, alone.flow)))
    state = begun(dict(flow=jax.tree.map(jnp.copy, flow)))
    assert not any(different((state.nets.actor, flow)))
    after = Learner(method, SPEC, 3e-4, 8, dict(flow=flow)).run(state, DATA, 2)[0].nets
    assert not any(different((after.flow, flow)))
    assert any(different((after.actor, flow)))
