"""Losses of the temporal-difference critic against NumPy and numerical minimisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.stats import norm

from qgf.critics import critic_loss, expectile_loss, lowest, polyak, td_target, value_loss
from qgf.methods.bc import BC
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
