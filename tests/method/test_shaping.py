"""What becomes of a direction before it is added, on flows whose spread is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import qgf
from qgf.errors import UserError
from qgf.method.policy import with_fields
from qgf.method.strength import told
from qgf.types import Calibration

STEPS, KEY = 20, jax.random.key(0)
STD = np.tile([0.1, 0.4, 0.2], 2)  # two actions of three numbers
SLOPE = jnp.array([1.0, -2.0, 0.5, 0.3, 1.0, 3.0])
OBS = np.zeros((8, 2))


def velocity(obs, a, t):
    """To N(0, diag(STD^2)), the exact flow, every number for itself."""
    return (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2) * a


def chain():
    """The deviations of the Euler chain's ends, which is linear in its noise."""
    rate = lambda t: (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2)
    return np.prod([1 + rate(k / STEPS) / STEPS for k in range(STEPS)], axis=0)


@pytest.fixture(scope="module")
def policy():
    plain = qgf.guided_flow(
        velocity, lambda obs, a: SLOPE @ a, 3, horizon=2, weight=0.0, steps=STEPS, low=-9, high=9, obs_spec=(2,)
    )
    return qgf.calibrate(plain, OBS, KEY, actions=4000, ways=True)


def test_the_spread_of_every_number_is_measured(policy):
    assert_allclose(policy.calibration.sigmas, chain(), rtol=0.03)
    assert float(policy.calibration.sigma) == pytest.approx(np.mean(policy.calibration.sigmas))


def test_the_metric_pushes_every_number_in_proportion_to_its_variance(policy):
    sigmas = np.asarray(policy.calibration.sigmas)
    metric = sigmas**2 / np.mean(sigmas**2)
    guided = policy.guided(strength=1.5, metric="sigma")
    path = guided.trace(OBS[0], jnp.ones(6))
    assert_allclose(path.g, np.tile(metric * SLOPE, (STEPS, 1)), rtol=1e-5)
    assert float(guided.weight) == pytest.approx(
        1.5 * np.mean(sigmas) * 6**0.5 / np.linalg.norm(metric * SLOPE), rel=1e-5
    )
    assert_allclose(policy.guided(weight=1.0).trace(OBS[0], jnp.ones(6)).g[0], SLOPE, rtol=1e-6)


def test_calibrations_are_equal_by_their_numbers(policy):
    mine = policy.calibration
    same = mine._replace(sigmas=np.array(mine.sigmas))
    assert mine == same and (mine != same) is False
    assert mine != mine._replace(sigmas=2 * np.asarray(mine.sigmas)) and mine != mine._replace(sigmas=None)
    assert mine != mine._replace(sigma=1.0) and Calibration(1.0, 2.0) == Calibration(1.0, 2.0)
    assert hash(Calibration(1.0, 2.0, None, (1.0,))) == hash(Calibration(1.0, 2.0, None, (1.0,)))


def test_where_all_numbers_spread_alike_the_metric_changes_nothing(policy):
    even = with_fields(policy, calibration=Calibration(0.3, 1.0, {"own sigma": (1.0, 1.0)}, np.full(6, 0.3)))
    a0 = jax.random.normal(KEY, (8, 2, 3))
    assert_array_equal(even.guided(metric="sigma")(OBS, 0, a0=a0), even.guided()(OBS, 0, a0=a0))


def test_numbers_that_are_not_guided_stay_as_they_were_cloned(policy):
    a0 = jax.random.normal(KEY, (8, 2, 3))
    cloned, all_of, some = (
        policy.guided(**how)(OBS, 0, a0=a0) for how in (dict(guide="none"), {}, dict(guided_dims=[0, 2]))
    )
    assert_array_equal(some[..., 1], cloned[..., 1])
    assert_array_equal(some[..., [0, 2]], all_of[..., [0, 2]])
    assert np.all(some[..., [0, 2]] != cloned[..., [0, 2]])


def test_the_unit_of_a_guides_own_norm(policy):
    """Of an estimator of one's own, |g| = 3 t at each step t = k / T."""

    def rising(v, q, a, t):
        return 3 * t * jnp.ones_like(a) / a.shape[0] ** 0.5

    own = qgf.calibrate(policy.guided(rising, weight=7.0), OBS, KEY, guide=True)
    assert float(own.calibration.grad_norm) == pytest.approx(3 * np.mean(np.arange(STEPS) / STEPS), rel=1e-5)
    assert float(own.weight) == 7.0
    told = own.guided(rising, strength=2.0)
    scale = float(own.calibration.sigma) * 6**0.5
    assert float(told.weight) * float(own.calibration.grad_norm) == pytest.approx(2 * scale)
    assert float(policy.calibration.grad_norm) == pytest.approx(float(jnp.linalg.norm(SLOPE)), rel=1e-5)


def test_what_cannot_be_shaped_so_is_told(policy):
    for how, said in (
        (dict(metric="sigmas"), "did you mean 'sigma'"),
        (dict(guided_dims=[3]), "numbers from 0 to 2 of an action"),
        (dict(guided_dims=[]), "numbers from 0 to 2 of an action"),
        (dict(guide="gradstep", metric="sigma"), "while denoising"),
        (dict(guide="gradstep", guided_dims=[0]), "while denoising"),
    ):
        with pytest.raises(UserError, match=said):
            policy.guided(**how)
    scales = Calibration(0.3, 1.0)
    for how in (dict(), dict(weight=1.0)):
        with pytest.raises(UserError, match=r"metric='sigma'.*qgf\.calibrate"):
            with_fields(policy, calibration=scales).guided(metric="sigma", **how)


def test_a_policy_is_saved_with_its_metric(policy, tmp_path):
    critic = jax.tree_util.Partial(lambda slope, obs, a: slope @ a, SLOPE)
    like = with_fields(policy, critic=critic, velocity=jax.tree_util.Partial(lambda s, obs, a, t: -a * s, SLOPE))
    guided = like.guided(metric="sigma", guided_dims=[1, 2])
    guided.save(tmp_path)
    back = qgf.Policy.load(tmp_path, like=like)
    assert_allclose(back.shaping.metric, guided.shaping.metric, rtol=1e-6)
    assert back.shaping.dim is None and np.all(np.asarray(back.shaping.metric)[[0, 3]] == 0)
    assert_allclose(back.calibration.sigmas, policy.calibration.sigmas)
    config = tmp_path / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"metric": [', '"metric": [1.0, '))
    (tmp_path / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="must have 6 numbers, has 7"):
        qgf.Policy.load(tmp_path, like=like)


def test_what_the_default_strength_is_made_of_is_told(policy):
    line = told(policy.calibration, 6)
    w = float(policy.guided().weight)
    sigma, slope = float(policy.calibration.sigma), float(np.linalg.norm(SLOPE))
    assert f"w = {w:.3g}:" in line and f"spread by {sigma:.3g} in each of 6 numbers" in line
    assert f"|grad Q| is {slope:.3g} on average, {slope:.3g} without" in line  # a slope that is the same everywhere
    assert told(Calibration(0.3, 2.0), 4).endswith("|grad Q| is 2 on average")
