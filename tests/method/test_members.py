"""How an ensemble is asked: directions, choices and units that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from numpy.testing import assert_allclose

import qgf
from qgf.errors import UserError
from qgf.method.members import WAYS, gradients, robust_mean

SLOPES = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]])
OBS = jnp.zeros((16, 2))
KEY = jax.random.key(0)


class Linear:
    """Q_i(s, a) = slope_i . a, asked for the mean of the first two by itself."""

    def members(self, obs, a):
        return jnp.asarray(SLOPES, jnp.float32) @ a

    def __call__(self, obs, a):
        return jnp.mean(self.members(obs, a)[:2])


def velocity(obs, a, t):
    """To N(0, 0.2^2), the exact flow."""
    return qgf.toy.Mixture(jnp.zeros((1, 2)), jnp.ones(1), 0.2).velocity(a, t)


@pytest.fixture(scope="module")
def policy():
    plain = qgf.guided_flow(velocity, Linear(), action_dim=2, weight=0, low=-9, high=9, steps=4)
    return qgf.calibrate(plain, OBS, KEY, ways=True)


def test_gradients_of_all_ways_are_those_of_their_functions():
    members = lambda a: jnp.sin(jnp.asarray(SLOPES, jnp.float32) @ a + jnp.arange(3.0))
    a = jnp.array([0.3, -0.2])
    found = gradients(members(a), jax.jacrev(members)(a))
    assert set(found) == {*WAYS, "0", "1", "2"}
    for name, way in WAYS.items():
        assert_allclose(found[name], jax.grad(lambda a, way=way: way(members(a)))(a), rtol=1e-5)
    assert_allclose(found["2"], jax.grad(lambda a: members(a)[2])(a), rtol=1e-5)
    agree = gradients(jnp.ones(3), jnp.asarray(SLOPES))  # the lower bound's root of zero
    assert_allclose(agree["lcb"], SLOPES.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("members", "direction"),
    [(None, SLOPES[:2].mean(axis=0)), ("mean", SLOPES.mean(axis=0)), (1, SLOPES[1]), (2, SLOPES[2])],
)
def test_guidance_follows_the_members_asked_in_their_own_unit(policy, members, direction):
    asked = policy.guided(strength=1.5, members=members)
    assert_allclose(asked.trace(OBS[0], jnp.ones(2)).g, np.tile(direction, (4, 1)), rtol=1e-5)
    scale = float(policy.calibration.sigma) * 2**0.5
    assert float(asked.weight) == pytest.approx(1.5 * scale / np.linalg.norm(direction), rel=1e-5)


def test_what_chooses_need_not_be_what_guides(policy):
    acting = dict(guide="none", best_of=64)
    actions = {choose: policy.guided(**acting, members=0, choose=choose)(OBS, KEY) for choose in (0, 1, "others")}
    mean = {choose: np.asarray(a).mean(axis=(0, 1)) for choose, a in actions.items()}
    assert mean[0][0] > 0.2 and abs(mean[0][1]) < 0.1  # member 0 likes the first number alone
    assert mean[1][1] > 0.2 and abs(mean[1][0]) < 0.1
    others = SLOPES[1:].mean(axis=0)
    assert_allclose(mean["others"] / np.linalg.norm(mean["others"]), others / np.linalg.norm(others), atol=0.15)
    assert_allclose(policy.guided(**acting)(OBS, KEY), policy.guided(**acting, members=0)(OBS, KEY))  # its own way


def test_a_few_steep_states_do_not_set_the_robust_unit(policy):
    norms = np.ones(1000)
    norms[::20] = 1e6
    assert float(robust_mean(jnp.asarray(norms))) == pytest.approx(1.0)
    assert float(robust_mean(jnp.ones(7))) == pytest.approx(1.0)
    flat = np.where(np.arange(1000) % 4 == 0, 1.0, 0.0)  # where most are flat it is no zero
    assert float(robust_mean(jnp.asarray(flat))) == pytest.approx(0.25)

    class Steep(Linear):
        def members(self, obs, a):
            return super().members(obs, a) * jnp.where(obs[0] > 0, 1e4, 1.0)

    seen = jnp.zeros((40, 2)).at[0].set(1.0)
    steep = qgf.calibrate(qgf.guided_flow(velocity, Steep(), action_dim=2, weight=0, steps=4), seen, KEY, ways=True)
    usual, robust = (float(steep.guided(robust=robust).weight) for robust in (False, True))
    assert robust == pytest.approx(float(policy.guided().weight), rel=0.1) and usual < robust / 100


def test_a_policy_that_is_asked_otherwise_is_saved_so(policy, tmp_path):
    critic = Partial(lambda slopes, obs, a: jnp.mean(slopes @ a), jnp.asarray(SLOPES, jnp.float32))
    like = qgf.guided_flow(velocity, critic, action_dim=2, calibration=policy.calibration)
    like.guided(robust=True).save(tmp_path)
    back = qgf.Policy.load(tmp_path, like=like)
    assert back.calibration == like.calibration
    assert float(back.weight) == float(like.guided(robust=True).weight)
    asked = qgf.method.policy.with_fields(like, members="mean", choose=1)
    asked.save(tmp_path)
    assert (qgf.Policy.load(tmp_path, like=like).members, qgf.Policy.load(tmp_path, like=like).choose) == ("mean", 1)


def test_ways_that_are_none(policy):
    with pytest.raises(UserError, match="did you mean 'mean'"):
        policy.guided(members="meen", weight=1.0)
    with pytest.raises(UserError, match="members=0"):
        policy.guided(choose="others")
    bare = qgf.guided_flow(velocity, Linear(), action_dim=2, weight=0, obs_spec=(2,))
    with pytest.raises(UserError, match="3 members"):
        bare.guided(members=3, weight=1.0)
    with pytest.raises(UserError, match="ways=True"):
        qgf.calibrate(bare, OBS, KEY).guided(members="mean")
