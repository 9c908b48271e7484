"""Paths that start at a time of their own, against recursions in NumPy and the exact flow."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import worlds
from qgf.errors import UserError
from qgf.method.flow import interpolate
from qgf.method.guided import guided_flow
from qgf.method.sampling import grid, sample

WIDE = dict(low=-np.inf, high=np.inf)


@pytest.mark.parametrize(
    "steps, t0, starts",
    [
        (4, 0.25, [0.25, 0.5, 0.75]),
        (4, 0.3, [0.3, 0.5, 0.75]),
        (10, 0.7, [0.7, 0.8, 0.9]),
        (10, 0.1 + 0.2, [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (2, 0.99, [0.99]),
        (1, 0.5, [0.5]),
        (4, 1e-9, [1e-9, 0.25, 0.5, 0.75]),
    ],
)
def test_the_grid_goes_on_to_the_points_of_the_whole_one(steps, t0, starts):
    found = grid(steps, t0)
    assert_allclose(found.starts, starts, rtol=1e-12)
    assert_allclose(found.starts + found.lengths, [*starts[1:], 1.0], rtol=1e-12)


def test_times_outside_are_refused():
    assert grid(10, 0) is grid(10, 0.0) is None
    for t0 in (-0.1, 1.0, np.nan, np.inf):
        with pytest.raises(UserError, match=r"t0 must lie in \[0, 1\)"):
            grid(10, t0)


@pytest.mark.parametrize("d", worlds.DIMENSIONS)
@pytest.mark.parametrize("t0", [0.25, 0.37, 0.95])
def test_every_step_from_t0_is_the_guided_euler_step(d, t0, float64):
    m, w, steps = worlds.mixture(d), 0.3, 10
    start = np.random.default_rng(0).normal(size=d)
    path = jax.jit(lambda a: sample(m.velocity, worlds.critic, a, "qgf", w, steps, **WIDE, trace=True, t0=t0))(start)
    a, times = start, [t0, *(k / steps for k in range(1, steps) if k / steps > t0 + 1e-9)]
    for k, (t, end) in enumerate(zip(times, [*times[1:], 1.0], strict=True)):
        v = worlds.velocity(m, a, t)
        g = worlds.critic_gradient(a + (1 - t) * v)
        assert_allclose((path.t[k], *path.a[k]), (t, *a), rtol=1e-9)
        a = a + (end - t) * (v + w * g)
    assert_allclose(path.a[-1], a, rtol=1e-9, atol=1e-10)
    assert len(path.t) == len(times)


def test_many_steps_from_t0_follow_the_exact_flow(float64):
    m, t0 = worlds.mixture(3), 0.4
    start = t0 * np.array(worlds.MEANS[3][1]) + 0.3
    end = jax.jit(lambda a: sample(m.velocity, worlds.critic, a, "none", 0.0, 2000, **WIDE, t0=t0))(start)
    assert_allclose(end, worlds.flow_end(m, start, t0), atol=2e-3)


# Policies


def flow(obs, a, t):
    return obs[0] - a + t


def value(obs, a):
    return obs[1] * jnp.sum(a)


def policy(**changes):
    fields = dict(action_dim=2, horizon=3, weight=0.2, steps=10, obs_spec=2, **WIDE)
    return guided_flow(flow, value, **(fields | changes))


OBS = np.random.default_rng(5).normal(size=(5, 2)).astype(np.float32)
START = np.random.default_rng(6).normal(size=(5, 6)).astype(np.float32)
KEY = jax.random.key(0)


def test_a_policy_starts_where_it_is_told():
    """da/dt = obs0 - a + t + w obs1 in Euler steps from t0 = 0.35."""
    a, times = START.astype(float), [0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    for t, end in pairwise(times):
        a = a + (end - t) * (OBS[:, :1] - a + t + 0.2 * OBS[:, 1:])
    found = policy()(OBS, KEY, a0=START, t0=0.35)
    assert_allclose(found.reshape(5, 6), a, rtol=1e-5, atol=1e-6)
    assert_array_equal(policy()(OBS, 7, a0=START.reshape(5, 3, 2), t0=0.35), found)
    for one in (START[2], START[2].reshape(3, 2)):
        assert_allclose(policy()(OBS[2], KEY, a0=one, t0=0.35), found[2], rtol=1e-6)
    path = policy().trace(OBS[2], START[2], t0=0.35)
    assert_allclose(path.a[-1], found[2].ravel(), rtol=1e-5, atol=1e-6)


def test_the_noise_of_the_key_as_a_start_is_the_policy_itself():
    keys = jax.random.split(KEY, 5)
    noise = jax.vmap(lambda key: jax.random.normal(key, (6,)))(keys)
    assert_array_equal(policy()(OBS, 1, a0=noise), policy()(OBS, keys))


def test_the_recipe_of_a_warm_start_keeps_what_the_flow_would_do_with_it():
    """For the exact flow to a point, a_t0 = (1 - t0) noise + t0 a lies on its straight path: the end is a again."""
    to_point = guided_flow(lambda o, a, t: (o - a) / (1 - t), lambda o, a: jnp.sum(a), 2, guide="none", weight=0.0)
    a1, t0 = np.array([[0.5, -0.3]], np.float32), 0.6
    start = interpolate(jnp.array([[2.0, -1.0]]), a1, jnp.array([t0]))
    assert_allclose(to_point(a1, KEY, a0=start, t0=t0)[:, 0], a1, rtol=1e-5)


def test_starts_that_do_not_fit_are_refused():
    for call, said in (
        (lambda: policy()(OBS, KEY, t0=0.5), "t0=0.5 needs a0, the point at that time"),
        (lambda: policy()(OBS, KEY, a0=START[:, :5]), r"a0 has shape \[5, 5\], expected \[5, 3, 2\] or \[5, 6\]"),
        (lambda: policy()(OBS[0], KEY, a0=START), r"a0 has shape \[5, 6\], expected \[3, 2\] or \[6\]"),
        (lambda: policy()(OBS, KEY, a0=START, t0=1.0), r"t0 must lie in \[0, 1\)"),
        (lambda: policy(best_of=4)(OBS, KEY, a0=START), "a0 is where one sample starts"),
    ):
        with pytest.raises(UserError, match=said):
            call()


def test_times_between_the_same_points_share_a_program():
    traced = []

    def v(obs, a, t):
        traced.append(1)
        return -a

    pi = guided_flow(v, value, 2, horizon=3, weight=0.2, **WIDE)
    pi(OBS, KEY, a0=START, t0=0.41)
    count = len(traced)
    pi(OBS, KEY, a0=START, t0=0.45)
    assert len(traced) == count > 0
    pi(OBS, KEY, a0=START, t0=0.55)
    assert len(traced) > count
