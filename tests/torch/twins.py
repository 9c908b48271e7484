"""The same world in JAX and in PyTorch: closed-form velocity and critic, and what some of them can do besides."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numpy.testing import assert_allclose

import worlds

D, BATCH = 3, 5
RNG = np.random.default_rng(3)
CENTRES, TILTS = RNG.normal(size=(4, D)), RNG.normal(size=(D, 4))
JAX = SimpleNamespace(log=jnp.log, exp=jnp.exp, sin=jnp.sin, amin=jnp.min, logsumexp=jax.scipy.special.logsumexp)


class With:
    """A function with more of them hanging on it."""

    def __init__(self, f, **more):
        self.f = f
        vars(self).update(more)

    def __call__(self, *args):
        return self.f(*args)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def world(xp, array):
    """The mixture's velocity, which is `Labelled`, that one `Better`; and the least of four critics, which is `Members`
    `Noisy` and `Amortised`. For a[..., d]; t [] or [..., 1].
    """
    m = worlds.mixture(D)
    means, share, std = array(np.asarray(m.means)), array(np.asarray(m.weights)), m.std
    centres, tilts = array(CENTRES), array(TILTS)

    def v(a, t):
        variance = (1 - t) ** 2 + (t * std) ** 2
        square = ((a[..., None, :] - t[..., None] * means) ** 2).sum(-1)
        logits = xp.log(share / share.sum()) - square / (2 * variance)
        r = xp.exp(logits - xp.logsumexp(logits, -1)[..., None])
        mean = (r[..., None] * means).sum(-2)
        return mean + (t * std**2 - (1 - t)) / variance * (a - t * mean)

    members = lambda a: -((a[..., None, :] - centres) ** 2).sum(-1) + xp.sin(2 * (a @ tilts))
    noisy = lambda a, t: -((a - t * centres[0]) ** 2).sum(-1) * (1 + xp.sin(a[..., 0]))
    labelled = With(lambda a, t: 0.5 * v(a, t) + 0.1, better=lambda a, t: v(a, t) + xp.sin(a))
    amortised = lambda a, t: xp.sin(a) * (1 - t)
    return With(v, labelled=labelled), With(
        lambda a: xp.amin(members(a), -1), members=members, noisy=noisy, amortised=amortised
    )


def in_torch(dtype):
    return world(torch, lambda x: torch.tensor(x, dtype=dtype))


def in_jax():
    """For one sample, in the default precision."""
    return world(JAX, jnp.array)


def assert_close(found, expected, tolerance, what=""):
    """Within `tolerance`, relative to each number or to the largest that is expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1), err_msg=what)
