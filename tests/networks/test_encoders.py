"""Encoders against XLA's own convolutions and pooling, and what they cost."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgf.errors import UserError
from qgf.method.flops import flops
from qgf.method.observations import looked
from qgf.networks import ENCODERS
from qgf.networks.blocks import MLP
from qgf.networks.critic import CriticEnsemble
from qgf.networks.encoders import Conv, Encoded, _halved, encoders_of, of_vectors, opened, unknown_pictures
from qgf.types import Spec

KEY = jax.random.key(0)
AXES = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize("k, stride, same", [(3, 1, True), (2, 1, True), (8, 4, False), (4, 2, False), (3, 1, False)])
def test_patches_and_a_product_are_a_convolution(k, stride, same):
    conv = Conv.drawn(KEY, k, 3, 5, stride, same)
    x = jax.random.normal(jax.random.key(1), (2, 19, 23, 3))
    padding = "SAME" if same else "VALID"
    expected = jax.lax.conv_general_dilated(x, conv.weight, (stride, stride), padding, dimension_numbers=AXES)
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_pictures_of_which_nothing_would_be_left_are_refused():
    with pytest.raises(UserError, match="pictures of 35 x 64 are too small for nature, which takes 36 or more"):
        ENCODERS["nature"]((35, 64, 3), KEY)


@pytest.mark.parametrize("h, w", [(7, 8), (8, 9), (16, 16)])
def test_pooling_is_xlas(h, w):
    x = jax.random.normal(KEY, (2, h, w, 3))
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    np.testing.assert_array_equal(_halved(x), expected)


@pytest.mark.parametrize("name", sorted(ENCODERS.own))
def test_encoders_take_any_axes_and_tell_pictures_apart(name):
    encoder = eqx.filter_jit(ENCODERS[name]((36, 36, 3), KEY))
    x = jax.random.normal(KEY, (2, 2, 36, 36, 3))
    found = encoder(x)
    assert found.shape == (2, 2, 512)
    np.testing.assert_allclose(found[1, 0], encoder(x[1, 0]), rtol=2e-4, atol=1e-5)
    assert jnp.abs(found[0, 0] - found[0, 1]).max() > 0.01


def test_operations_of_a_convolution_of_ones_own_are_counted():
    weight = jnp.ones((3, 3, 4, 6))
    f = lambda x: jax.lax.conv_general_dilated(x, weight, (2, 2), "SAME", dimension_numbers=AXES)
    assert flops(f, jnp.ones((1, 8, 8, 4))) == 2 * 4 * 4 * 6 * 3 * 3 * 4


class Mean:
    """A camera's mean colour: an encoder of no weights."""

    def __call__(self, x):
        return x.mean(axis=(-3, -2))


SPEC = Spec(2, 1, 1, images=(("front", (4, 4, 3)), ("wrist", (2, 2, 1))))


def critic():
    encoders = encoders_of(lambda shape, key: Mean(), SPEC, KEY)
    vectors = of_vectors(SPEC, encoders)
    assert vectors == Spec(3 + 1 + 2, 1, 1)
    return Encoded(encoders, CriticEnsemble(vectors.obs_dim, 1, 8, 1, 2, KEY), unknown_pictures(SPEC))


def observations(n=5):
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (n, *shape), np.uint8) for name, shape in SPEC.images}
    return pictures | dict(state=rng.normal(size=(n, 2)).astype(np.float32))


def test_a_network_is_given_the_features_of_every_camera_and_then_the_state():
    q, obs, a = critic(), observations(), jnp.zeros((5, 1))
    front, wrist = (obs[name].mean(axis=(1, 2)) / 255 for name in ("front", "wrist"))
    vector = jnp.concatenate([front, wrist, obs["state"]], axis=1)
    np.testing.assert_allclose(q(obs, a), q.net(vector, a), rtol=1e-5)
    net, given = opened(q, obs)
    assert net is q.net
    np.testing.assert_allclose(given, vector, rtol=1e-6)
    plain = MLP(2, 1, 4, 1, KEY)
    assert opened(plain, vector) == (plain, vector)


def test_what_was_looked_at_is_not_looked_at_again():
    q, obs, a = critic(), observations(), jnp.zeros((5, 1))
    both = (q, lambda: None)
    (told, other), seen = looked(both, obs)
    assert other is both[1] and set(seen) == {"state", "looks"}
    np.testing.assert_allclose(told(seen, a), q(obs, a), rtol=1e-6)
    plain = MLP(2, 1, 4, 1, KEY)
    assert looked(plain, a) == (plain, a)
