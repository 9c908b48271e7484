"""The networks against a forward pass in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erf

from qgf.networks import MLP, CriticEnsemble, ValueNet, VelocityField, layer_norm


def forward(net: MLP, x):
    """Linear, GELU, normalise per hidden layer, then linear; float64."""
    *hidden, last = [(np.asarray(w, float), np.asarray(b, float)) for w, b in zip(net.weights, net.biases, strict=True)]
    for w, b in hidden:
        x = x @ w + b
        x = x * 0.5 * (1 + erf(x / np.sqrt(2)))
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return x @ last[0] + last[1]


def random_biases(module, key):
    """Zero biases would hide a bias that is left out."""
    leaves, structure = jax.tree.flatten(module)
    keys = jax.random.split(key, len(leaves))
    noisy = [x + 0.3 * jax.random.normal(k, x.shape) if x.ndim == 1 else x for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


def made(cls, *sizes):
    return random_biases(cls(*sizes, jax.random.key(0)), jax.random.key(1))


X = np.random.default_rng(0).normal(size=7)


@pytest.mark.parametrize("width, depth", [(16, 1), (32, 3), (64, 4)])
def test_mlp_matches_numpy(width, depth):
    net = made(MLP, 7, 5, width, depth)
    assert [w.shape for w in net.weights] == [(7, width)] + [(width, width)] * (depth - 1) + [(width, 5)]
    assert_allclose(net(jnp.array(X, jnp.float32)), forward(net, X), rtol=5e-3, atol=5e-3)  # tanh form of GELU


def test_weights_have_variance_two_over_fan_in_plus_fan_out_and_biases_are_zero():
    net = MLP(100, 50, 200, 2, jax.random.key(0))
    for w in net.weights:
        assert_allclose(w.var(), 2 / sum(w.shape), rtol=0.05)
        assert abs(w).max() <= np.sqrt(6 / sum(w.shape))
    assert not any(b.any() for b in net.biases)
    assert not np.allclose(net.weights[0][:50, :50], net.weights[1][:50, :50])


def test_velocity_field_sees_observation_action_and_time():
    field = made(VelocityField, 3, 4, 32, 2)
    obs, a = X[:3], X[3:]
    for t in (0.0, 0.3, 1.0):
        phase = np.pi * 2.0 ** np.arange(4) * t
        x = np.concatenate([obs, a, [t], np.sin(phase), np.cos(phase)])
        v = field(jnp.array(obs, jnp.float32), jnp.array(a, jnp.float32), jnp.float32(t))
        assert v.shape == (4,)
        assert_allclose(v, forward(field.net, x), rtol=5e-3, atol=5e-3)


def test_critics_are_independent_functions_of_observation_and_action():
    critics = made(CriticEnsemble, 3, 4, 32, 2, 3)
    q = critics(jnp.array(X[:3], jnp.float32), jnp.array(X[3:], jnp.float32))
    assert q.shape == (3,)
    assert_allclose(q, [forward(net, X)[0] for net in critics.nets], rtol=5e-3, atol=5e-3)
    assert len(np.unique(np.asarray(q).round(3))) == 3


def test_value_net_is_a_scalar_function_of_the_observation():
    value = made(ValueNet, 7, 32, 2)
    v = value(jnp.array(X, jnp.float32))
    assert v.shape == ()
    assert_allclose(v, forward(value.net, X)[0], rtol=5e-3, atol=5e-3)


def test_the_same_key_draws_the_same_network_and_another_key_another():
    draw = lambda seed: jax.tree.leaves(VelocityField(3, 4, 16, 2, jax.random.key(seed)))
    same = [np.array_equal(x, y) for x, y in zip(draw(0), draw(0), strict=True)]
    other = [np.array_equal(x, y) for x, y in zip(draw(0), draw(1), strict=True) if x.ndim == 2]
    assert all(same) and not any(other)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 100.0])
def test_layer_norm_and_its_written_out_derivative(scale, float64):
    rng = np.random.default_rng(2)
    x, g = scale * rng.normal(size=(2, 7)) + 0.5, rng.normal(size=(2, 7))
    plain = lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    y, pull = jax.vjp(layer_norm, jnp.array(x))
    assert_allclose(y, plain(x), rtol=1e-8, atol=1e-9)
    automatic = jax.grad(lambda x: jnp.sum(g * (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)))
    assert_allclose(pull(jnp.array(g))[0], automatic(jnp.array(x)), rtol=1e-7, atol=1e-9)


def test_constant_layers_do_not_blow_up():
    net = MLP(7, 2, 16, 3, jax.random.key(0))
    value, slope = jax.value_and_grad(lambda x: net(x).sum())(jnp.zeros(7))
    assert np.isfinite(value) and np.isfinite(slope).all()
