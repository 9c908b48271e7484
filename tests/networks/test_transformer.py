"""The transformer against the same written as loops, and what a token for each action means."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from qgf.errors import UserError
from qgf.method.flops import flops
from qgf.networks.transformer import Transformer, pieces_of

S, H, A = 70, 4, 3
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def net():
    made = eqx.filter_jit(lambda key: Transformer(S + H * A, 2, 128, 2, key, H * A, A))(KEY)
    rng = np.random.default_rng(0)
    bias = lambda x: x + np.float32(0.3 * rng.normal(size=x.shape))  # zeros would hide them
    return jax.tree.map(lambda x: bias(x) if x.ndim == 1 or x.shape == (2, 128) else x, made)


@eqx.filter_jit
def asked(net, x):
    return net(x)


def by_loops(net, x):
    """One sample [S + H A], token for token, head for head."""
    f = lambda y: np.asarray(y, np.float64)
    norm = lambda y: (y - y.mean()) / np.sqrt(y.var() + 1e-5)
    gelu = lambda y: y / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    obs, actions = x[:S], x[S:].reshape(H, A)
    tokens = [f(net.read)]
    tokens += [
        part @ f(net.observe)[k][: len(part)] + f(net.observe_bias)[k] for k, part in enumerate((obs[:35], obs[35:]))
    ]
    tokens += [action @ f(net.act) + place for action, place in zip(actions, f(net.places), strict=True)]
    for block in net.blocks:
        q, k, v = np.split(np.stack([norm(y) @ f(block.qkv) for y in tokens]), 3, axis=1)
        mixed = np.zeros_like(q)
        for head in (slice(0, 64), slice(64, 128)):
            for i in range(len(tokens)):
                scores = np.array([q[i, head] @ k[j, head] for j in range(len(tokens))]) / 8
                weights = np.exp(scores) / np.exp(scores).sum()
                mixed[i, head] = sum(w * v[j, head] for j, w in enumerate(weights))
        tokens = [y + m @ f(block.out) for y, m in zip(tokens, mixed, strict=True)]
        up = lambda y, block=block: gelu(norm(y) @ f(block.up) + f(block.up_bias))
        tokens = [y + up(y) @ f(block.down) + f(block.down_bias) for y in tokens]
    return norm(tokens[0]) @ f(net.leave) + f(net.leave_bias)


def test_it_is_what_loops_say(net):
    x = np.random.default_rng(1).normal(size=(2, 3, S + H * A))
    found = asked(net, jnp.asarray(x, jnp.float32))
    assert found.shape == (2, 3, 2)  # any leading axes
    assert_allclose(found, np.array([[by_loops(net, one) for one in row] for row in x]), rtol=1e-4, atol=1e-4)


def test_actions_are_told_apart_by_their_place_alone(net):
    x = jax.random.normal(KEY, (S + H * A,))
    turned = jnp.concatenate([x[:S], jnp.roll(x[S:], A)])
    assert jnp.abs(asked(net, x) - asked(net, turned)).max() > 1e-3
    placeless = eqx.tree_at(lambda n: n.places, net, jnp.zeros_like(net.places))
    assert_allclose(asked(placeless, x), asked(placeless, turned), rtol=1e-4, atol=1e-5)


def test_sizes():
    assert [pieces_of(n) for n in (0, 5, 64, 65, 960)] == [(1, 1), (1, 5), (1, 64), (2, 33), (15, 64)]
    with pytest.raises(UserError, match="multiple of 64"):
        Transformer(9, 1, 200, 1, KEY, 4, 2)
    small = eqx.filter_jit(lambda key: Transformer(5 + 4, 1, 8, 1, key, 4, 2))(KEY)
    length = 1 + 1 + 2
    block = length * 8 * (3 * 8 + 8 + 2 * 32) + 2 * length * length * 8
    assert flops(small, jnp.ones(9)) == 2 * (5 * 8 + 2 * 2 * 8 + block + 8)
