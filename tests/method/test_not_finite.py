"""NaN and infinity, wherever they come from: never chosen, and never played without a word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.errors import UserError
from qgf.method.guided import best_of, guided_flow
from qgf.method.policy import act_jit
from qgf.types import Info

OBS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
KEY = jax.random.key(1)


def flow(obs, a, t):
    return 0.5 * obs[0] - a


def value(obs, a):
    return -jnp.sum((a - obs[1]) ** 2)


def policy(velocity=flow, critic=value, **changes):
    fields = dict(action_dim=2, weight=0.3, steps=3, obs_spec=2)
    return guided_flow(velocity, critic, **(fields | changes))


def drawing(actions):
    """An act function whose samples are given, [B * n, 1, 1]."""
    zeros = jnp.zeros(len(actions), int)
    return lambda obs, keys: (jnp.asarray(actions), Info(1.0 * zeros, 1.0 * zeros, zeros, zeros == 0, zeros))


# The best of several


def test_best_of_never_picks_what_is_not_finite_and_counts_it():
    a = np.array([0.1, 0.5, -0.3, 0.2, np.nan, 0.4, np.inf, -0.9, 0.6, 0.7, 0.8, 0.9]).reshape(-1, 1, 1)
    critic = lambda obs, a: jnp.where(a[0] > 0.45, jnp.nan, a[0])
    actions, info = best_of(drawing(a), 4, critic)(np.zeros((3, 2), np.float32), KEY)
    # NaN is above 0.45: of the first four 0.2 is the best, of the next four 0.4, of the last four none has a value.
    assert_allclose(actions[:, 0, 0], [0.2, 0.4, 0.6], rtol=1e-6)
    assert_array_equal(info.discarded, [1, 2, 4])
    assert_array_equal(info.finite, [True, True, True])


def test_a_finite_action_without_a_value_comes_before_one_that_is_not_finite():
    a = np.array([np.nan, np.inf, 0.3, np.nan]).reshape(-1, 1, 1)
    for critic in (lambda obs, a: jnp.nan * a[0], lambda obs, a: jnp.ones(())):
        actions, info = best_of(drawing(a), 4, critic)(np.zeros((1, 2), np.float32), KEY)
        assert_allclose(actions, [[[0.3]]], rtol=1e-6)
        assert_array_equal(info.finite, [True])


def test_a_critic_that_is_nan_for_half_of_the_actions_has_its_other_half_chosen_from():
    nan_above = lambda obs, a: jnp.where(a[0] > 0, jnp.nan, a[0])
    guide = dict(guide="none", weight=0.0, low=-9, high=9)
    drawn = [np.asarray(policy(critic=nan_above, **guide)(OBS, k)) for k in jax.random.split(KEY, 3)]
    assert np.isnan([jax.vmap(nan_above)(OBS, d[:, 0]) for d in drawn]).any()
    actions, info = policy(critic=nan_above, best_of=8, **guide)(OBS, KEY, info=True)
    plain = policy(best_of=8, **guide)(OBS, KEY, info=True)[1]
    some = np.asarray(info.discarded) < 8
    assert some.any() and (np.asarray(actions)[some, 0, 0] <= 0).all() and np.isfinite(info.value[some]).all()
    assert 0 < info.discarded.sum() < 8 * 6 and not plain.discarded.any()


# What the call says


def test_info_says_which_actions_are_finite():
    obs = OBS.copy()
    obs[[1, 4], 0] = np.nan
    actions, info = policy()(obs, KEY, info=True)
    expected = ~np.isnan(obs[:, 0])
    assert_array_equal(info.finite, expected)
    assert_array_equal(np.isfinite(actions).all((1, 2)), expected)
    assert_array_equal(info.discarded, 1 - expected)
    assert_array_equal(act_jit(policy(), obs, jax.random.split(KEY, 6))[1].finite, expected)
    clean = policy()(OBS, KEY)
    assert_array_equal(actions[expected], clean[expected])


@pytest.mark.parametrize("where", ["observation", "velocity", "critic"])
def test_a_call_without_info_refuses_what_is_not_finite(where):
    obs = OBS * np.where(np.arange(6) == 2, np.nan, 1)[:, None] if where == "observation" else OBS
    broken = {"velocity": lambda obs, a, t: a * jnp.nan, "critic": lambda obs, a: 1e38 * jnp.sum(a)}.get(where)
    changes = {} if where == "observation" else {where: broken}
    changes |= dict(weight=1e38) if where == "critic" else {}  # finite alone, and not together: w g = inf
    changes |= dict(low=-jnp.inf, high=jnp.inf)
    said = f"{1 if where == 'observation' else 6} of 6 actions are not finite"
    with pytest.raises(UserError, match=said) as caught:
        policy(**changes)(obs.astype(np.float32), KEY)
    assert "\n" not in str(caught.value)


def test_nan_from_the_critics_gradient_alone_leaves_its_steps_unguided():
    actions, info = policy(critic=lambda obs, a: jnp.nan * jnp.sum(a))(OBS, KEY, info=True)
    assert_array_equal(actions, policy(guide="none", weight=0.0)(OBS, KEY))
    assert info.finite.all() and (info.skipped == 3).all() and (info.discarded == 1).all()


# The fallback


def test_a_fallback_changes_nothing_while_all_is_finite():
    for n in (1, 4):
        safe, plain = policy(fallback="unguided", best_of=n), policy(best_of=n)
        (a, info), (b, other) = safe(OBS, KEY, info=True), plain(OBS, KEY, info=True)
        assert_array_equal(a, b)
        for x, y in zip(info, other, strict=True):
            assert_array_equal(x, y)


@pytest.mark.parametrize("n", [1, 3])
def test_where_the_guided_action_is_not_finite_the_unguided_one_of_the_same_noise_acts(n):
    """An infinite push where obs[1] > 0; the best of n then takes the best unguided one."""
    steep = lambda obs, a: value(obs, a) + jnp.where(obs[1] > 0, 1e38, 0.0) * jnp.sum(a)
    wide = dict(critic=steep, weight=100.0, best_of=n, low=-jnp.inf, high=jnp.inf)
    actions, info = policy(fallback="unguided", **wide)(OBS, KEY, info=True)
    bad = OBS[:, 1] > 0
    assert 0 < bad.sum() < 6
    assert_array_equal(info.finite, ~bad)
    unguided = policy(**wide | dict(guide="none", weight=0.0))(OBS, KEY)
    guided = policy(**wide)(OBS, KEY, info=True)[0]
    assert_allclose(actions[bad], unguided[bad], rtol=1e-6)
    assert_array_equal(actions[~bad], guided[~bad])
    assert_array_equal(info.ratio[bad], 0)
    assert_allclose(info.value[bad], jax.vmap(steep)(OBS, actions[:, 0])[bad], rtol=1e-5)
    assert_array_equal(policy(fallback="unguided", **wide)(OBS, KEY), actions)  # and does not refuse


def test_where_the_unguided_action_is_not_finite_either_the_last_one_acts_clipped():
    obs = OBS.copy()
    obs[2] = np.nan
    pi = policy(fallback="unguided", low=[-0.5, 0.1], high=0.8)
    last = np.random.default_rng(3).normal(size=(6, 1, 2)).astype(np.float32)
    last[:, 0, 0] = 3.0
    actions, info = pi(obs, KEY, info=True, last=last)
    assert_array_equal(info.finite, np.arange(6) != 2)
    assert_allclose(actions[2], np.clip(last[2], [-0.5, 0.1], 0.8), rtol=1e-6)
    assert_allclose(pi(obs, KEY)[2], [[0.0, 0.1]], rtol=1e-6)  # zeros, clipped
    assert_allclose(pi(obs, KEY, last=np.full((6, 2), np.nan))[2], [[0.0, 0.1]], rtol=1e-6)
    assert_allclose(pi(obs[2], KEY, last=last[2]), actions[2], rtol=1e-6)
    others = policy(low=[-0.5, 0.1], high=0.8)(OBS, KEY)
    rest = np.array([0, 1, 3, 4, 5])
    assert_allclose(actions[rest], others[rest], rtol=1e-6)
    with pytest.raises(UserError, match="last is what acts in need: give the policy fallback='unguided'"):
        policy()(OBS, KEY, last=last)
    with pytest.raises(UserError, match=r"last has shape \[6, 3\], expected \[6, 1, 2\] or \[6, 2\]"):
        pi(OBS, KEY, last=np.zeros((6, 3)))


def test_a_fallback_stays_with_the_policy():
    pi = policy(fallback="unguided")
    assert pi.guided("ood", weight=0.1).fallback == "unguided"
    assert policy().guided(weight=0.1, fallback="unguided").fallback == "unguided"
