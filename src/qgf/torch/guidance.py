"""Five ways of asking a critic for a direction. They differ only in where `grad` is taken.

Each takes a batch: v(a[B, ...], t) -> [B, ...] is the reference velocity, q(a[B, ...]) -> [B] the critic, a the noisy
actions at time t, which broadcasts against a; each returns the directions g[B, ...] that the sampler adds to the
velocity, a <- a + (v + w g) / T. Word for word the functions of `qgf.method.guidance`; `grad` is another.
"""

from __future__ import annotations

from functools import wraps

import torch
from torch import zeros_like

from qgf.registry import Registry
from qgf.torch.flow import clean, integrate


def grad(f):
    """a[B, ...] -> grad f(a) of every row, for f(a)[B] of independent rows; inside `no_grad` and `inference_mode` too.

    Zero where f does not depend on a.
    """

    def slope(a):
        with torch.inference_mode(False), torch.enable_grad():
            a = a.detach().clone().requires_grad_(True)
            value = f(a).sum()
            return torch.autograd.grad(value, a)[0] if value.requires_grad else zeros_like(a)

    return slope


def none(v, q, a, t):
    """No guidance: the reference policy itself, g = 0."""
    return zeros_like(a)


def ood(v, q, a, t):
    """Ask at the noisy action, g = grad Q(a_t): out of the critic's training distribution (QFQL)."""
    return grad(q)(a)


def bptt(v, q, a, t):
    """Ask at ODE(a_t) and differentiate through the whole chain, g = grad of Q(ODE(a_t)) in a_t."""
    return grad(lambda x: q(integrate(v, x, t)))(a)


def chain(v, q, a, t):
    """Ask at ODE(a_t) with the chain's Jacobian replaced by the identity, g = grad Q(ODE(a_t))."""
    return grad(q)(integrate(v, a, t))


def jacobian(v, q, a, t):
    """Ask at the one-step estimate and keep its Jacobian, g = J^T grad Q(a1_hat) (QGF-Jacobian)."""
    return grad(lambda x: q(clean(v, x, t)))(a)


def qgf(v, q, a, t):
    """Ask at the one-step estimate, Jacobian := I, g = grad Q(a1_hat), a1_hat = a_t + (1 - t) v(a_t, t) (QGF)."""
    return grad(q)(clean(v, a, t))


ESTIMATORS: Registry = Registry(
    "torch estimator", dict(none=none, ood=ood, bptt=bptt, chain=chain, jacobian=jacobian, qgf=qgf)
)


def placebo(estimator, seed: int = 0):
    """A control, a random direction with the norm that `estimator` would have had: g -> |g| u, u uniform on the sphere.

    The randomness comes from the bits of a_t (and `seed`), so that every row and every step has its own direction and
    the same noise gives the same action again. The directions are others than JAX's.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        return norm(estimator(v, q, a, t)) * blind(a, seed)

    vars(guide).update(blind=True)
    return guide


def blind(x, seed=0):
    """A direction u on the sphere for every row, uniform, that is a function of the bits of x[B, ...] and of `seed`."""
    u = _noise(x, seed)
    return u / norm(u)


def norm(g: torch.Tensor) -> torch.Tensor:
    """The Euclidean norm of every row, [B, 1, ...], so that it broadcasts against g[B, ...]."""
    return per_row(torch.linalg.vector_norm(g.flatten(1), dim=1), g)


def per_row(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """x[B] as [B, 1, ...], so that it broadcasts against `like` [B, ...]."""
    return x.reshape(-1, *[1] * (like.ndim - 1))


WORD = 0xFFFFFFFF
"""torch has no arithmetic on unsigned 32-bit numbers everywhere: they are the low halves of 64-bit ones."""


def _noise(a, seed):
    """Numbers from N(0, 1) that are a function of the bits of each row, in the shape of a[B, ...]."""
    bits = a.to(torch.float32).contiguous().view(torch.int32).to(torch.int64).flatten(1) & WORD
    bits = bits ^ (bits >> 16)  # or the signs would cancel in the sum, and a and -a get the same direction
    place = torch.arange(bits.shape[1], device=a.device)
    row = torch.sum(bits * (2 * place + 1), dim=1, keepdim=True) & WORD
    mixed = _mixed(_mixed(row + seed) + 0x9E3779B9 * (place + 1))
    uniform = ((mixed >> 9).to(a.dtype) + 0.5) / 2**23
    return torch.erfinv(2 * uniform - 1).reshape(a.shape)  # a factor of sqrt(2) is of no account


def _mixed(x):
    """Murmur3's finalizer: every bit of x in [0, 2^32) changes each bit of the result with probability 1/2."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> shift)) * factor) & WORD
    return x ^ (x >> 16)
