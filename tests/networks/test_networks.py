"""The networks against a forward pass in NumPy, batches against single samples, bfloat16 against float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf

from qgf.networks.blocks import MLP, gelu_norm, product
from qgf.networks.critic import CriticEnsemble, ValueNet
from qgf.networks.velocity import VelocityField


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


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 30.0])
def test_activation_and_its_written_out_derivative(scale, float64):
    rng = np.random.default_rng(2)
    z, g = jnp.array(scale * rng.normal(size=(2, 7)) + 0.5), rng.normal(size=(2, 7))

    def plain(z):
        h = jax.nn.gelu(z)
        return (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)

    y, pull = jax.vjp(gelu_norm, z)
    assert_allclose(y, plain(z), rtol=1e-8, atol=1e-9)
    assert_allclose(pull(jnp.array(g))[0], jax.grad(lambda z: jnp.sum(g * plain(z)))(z), rtol=1e-7, atol=1e-9)


def test_constant_layers_do_not_blow_up():
    net = MLP(7, 2, 16, 3, jax.random.key(0))
    value, slope = jax.value_and_grad(lambda x: net(x).sum())(jnp.zeros(7))
    assert np.isfinite(value) and np.isfinite(slope).all()


# Batches


def draw(*shape, seed=2):
    return jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    "cls, sizes, shapes",
    [
        (MLP, (7, 5, 16, 3), [(7,)]),
        (VelocityField, (3, 4, 16, 3), [(3,), (4,), ()]),
        (CriticEnsemble, (3, 4, 16, 3, 2), [(3,), (4,)]),
        (ValueNet, (3, 16, 3), [(3,)]),
    ],
)
def test_a_batch_equals_its_single_samples(cls, sizes, shapes):
    net, batch = made(cls, *sizes), tuple(draw(6, *shape) for shape in shapes)

    def value_and_slopes(call):
        """The outputs, and the gradients of the sum of their sines in the network and in its inputs."""
        total = lambda net, batch: (jnp.sum(jnp.sin(y := call(net)(*batch))), y)
        slopes, y = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(net, batch)
        return y, slopes

    together, alone = value_and_slopes(lambda net: net), value_and_slopes(jax.vmap)
    for x, y in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
        assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    y = together[0]
    grid = net(*(x.reshape(2, 3, *x.shape[1:]) for x in batch))
    assert grid.shape == (2, 3, *y.shape[1:])
    assert_allclose(grid.reshape(y.shape), y, rtol=1e-5, atol=1e-5)


# bfloat16


def rounding():
    return jax.default_matmul_precision("bfloat16")


def with_slopes(x, w, g):
    """x @ w and its derivatives in x and w under the cotangent g."""
    y, pull = jax.vjp(product, x, w)
    return y, *pull(g)


def by_hand(x, w, g):
    """The same in float64."""
    x, w, g = (np.asarray(z, float) for z in (x, w, g))
    return x @ w, g @ w.T, x.T @ g


def stacked(f):
    """`f` of the second of two seeds that are computed side by side."""
    pair = lambda x: jnp.stack([-2 * x, x])
    return lambda *args: jax.tree.map(lambda y: y[1], jax.jit(jax.vmap(f))(*map(pair, args)))


OPERANDS = draw(24, 40), draw(40, 16, seed=3), draw(24, 16, seed=4)
ways = pytest.mark.parametrize("way", [lambda f: f, jax.jit, stacked], ids=["plain", "jit", "seeds"])


@ways
def test_a_rounded_product_is_exact_where_nothing_is_rounded(way):
    rng = np.random.default_rng(5)
    integers = [jnp.array(rng.integers(-256, 257, x.shape), jnp.float32) for x in OPERANDS]
    with rounding():
        found = way(with_slopes)(*integers)
    for x, y in zip(found, by_hand(*integers), strict=True):
        assert_array_equal(x, y)


@ways
def test_a_rounded_product_is_that_of_the_rounded_operands(way):
    with rounding():
        found = way(with_slopes)(*OPERANDS)
    rounded = by_hand(*(x.astype(jnp.bfloat16).astype(jnp.float32) for x in OPERANDS))
    for x, close, exact in zip(found, rounded, by_hand(*OPERANDS), strict=True):
        assert x.dtype == jnp.float32
        assert_allclose(x, close, rtol=1e-5, atol=1e-5)
        assert 2**-10 < np.linalg.norm(x - exact) / np.linalg.norm(exact) < 2**-8


def test_a_rounded_product_is_summed_in_float32():
    """In bfloat16 a sum of ones stays at 256, and 4096 + 2^-9 is 4096."""
    terms = jnp.repeat(jnp.array([1.0, 2.0**-9]), 4096)
    row, ones = terms[None], jnp.ones((8192, 1))
    with rounding():
        assert_array_equal(product(row, ones), [[4104]])
        assert_array_equal(with_slopes(jnp.zeros((1, 1)), jnp.ones((1, 8192)), row)[1], [[4104]])
        assert_array_equal(with_slopes(ones, jnp.zeros((1, 1)), terms[:, None])[2], [[4104]])


def test_without_the_switch_and_for_a_single_sample_products_are_float32():
    (x, w, _), call, plain = OPERANDS, jax.jit(product), jax.jit(jnp.matmul)
    assert_array_equal(call(x, w), plain(x, w))
    with rounding():  # jit must not take up what it compiled outside
        assert_array_equal(call(x[0], w), plain(x[0], w))
        assert not np.array_equal(call(x, w), plain(x, w))
    assert_array_equal(call(x, w), plain(x, w))


@jax.jit
def slopes_of(net, x):
    """Outputs of the network and the gradients of their squares."""
    return net(x), jax.grad(lambda net: jnp.sum(net(x) ** 2))(net)


def far(x, y):
    return float(jnp.linalg.norm(x - y) / jnp.linalg.norm(y))


def test_first_and_last_layer_are_never_rounded():
    net, x = made(MLP, 7, 5, 16, 1), draw(12, 7)
    exact = slopes_of(net, x)
    with rounding():
        found = slopes_of(net, x)
    for a, b in zip(*map(jax.tree.leaves, (found, exact)), strict=True):
        assert_array_equal(a, b)


def test_hidden_layers_are_rounded_in_batches_and_not_in_single_samples():
    net, x = made(MLP, 7, 5, 32, 3), draw(12, 7)
    exact, one = slopes_of(net, x), slopes_of(net, x[0])
    with rounding():
        found, single = slopes_of(net, x), slopes_of(net, x[0])
    for a, b in zip(*map(jax.tree.leaves, (found, exact)), strict=True):
        assert a.dtype == jnp.float32
        assert 2**-12 < far(a, b) < 2**-6
    for a, b in zip(*map(jax.tree.leaves, (single, one)), strict=True):
        assert_array_equal(a, b)
