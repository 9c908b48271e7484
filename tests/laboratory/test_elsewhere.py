"""The shuffled-state control: the critic's own gradients, at states that are not the policy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from qgf.errors import UserError
from qgf.laboratory.elsewhere import Elsewhere, shuffled
from qgf.method.guided import guided_flow

KEY = jax.random.key(0)


def velocity(obs, a, t):
    return -a / jnp.maximum(1 - t, 0.1)  # everybody's action is about 0


def critic(obs, a):
    return a @ obs  # the gradient is the state itself


def test_the_gradient_is_that_of_another_state_the_same_whenever_it_is_asked():
    states = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    elsewhere = Elsewhere(critic, jnp.asarray(states))
    own = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)
    asked = jax.jit(jax.vmap(lambda o, a: jax.grad(elsewhere, argnums=1)(o, a)))
    g, again = asked(own, jnp.zeros((2000, 3))), asked(own, jnp.ones((2000, 3)))
    assert_allclose(g, again)  # whatever the action
    nearest = np.abs(states[None] - np.asarray(g)[:, None]).max(-1)
    assert_allclose(nearest.min(axis=1), 0, atol=1e-6)  # one of the states
    counts = np.bincount(nearest.argmin(axis=1), minlength=64)
    assert abs(counts / 2000 - 1 / 64).max() < 5 * np.sqrt(1 / 64 / 2000)  # each as often


def test_what_the_state_alone_tells_is_lost_and_what_all_states_share_is_not():
    assert abs(share_kept(0.0)) < 0.07
    assert abs(share_kept(3.0) - 0.9) < 0.07  # E[o . o'] / E[o . o] = m^2 / (1 + m^2) of states about m


def share_kept(middle):
    """Of the gain in Q, when states have the mean `middle` in each of their numbers, and the variance 1."""
    states = (np.random.default_rng(0).normal(size=(512, 4)) + middle).astype(np.float32)
    policy = guided_flow(velocity, critic, 4, "qgf", weight=0.3, low=-9.0, high=9.0, obs_spec=4)
    plain = policy.guided("none", weight=0.0)(states, KEY)
    gain = lambda a: np.mean(np.sum((np.asarray(a) - plain).reshape(512, 4) * states, axis=1))
    return gain(shuffled(policy, states)(states, KEY)) / gain(policy(states, KEY))


def test_it_takes_a_batch_of_states_and_no_best_of_several():
    policy = guided_flow(velocity, critic, 3, "qgf", weight=0.3, obs_spec=3)
    with pytest.raises(UserError, match=r"a batch of states \[N, S\], got one"):
        shuffled(policy, np.zeros(3, np.float32))
    with pytest.raises(UserError, match="must not choose, and this policy takes the best of 4"):
        shuffled(policy.guided("qgf", weight=0.3, best_of=4), np.zeros((2, 3), np.float32))
