"""Five ways of asking a critic for a direction. They differ only in where `grad` is taken.

Each takes one sample: v(a[d], t[]) -> [d] is the reference velocity, q(a[d]) -> [] the critic, a[d] the noisy action
at time t[]; each returns the direction g[d] that the sampler adds to the velocity, a <- a + (v + w g) / T.
"""

from __future__ import annotations

from functools import wraps

import jax
import jax.numpy as jnp
from jax import grad
from jax.numpy import zeros_like

from qgf.method.flow import clean, integrate
from qgf.registry import Registry
from qgf.types import Estimator


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


ESTIMATORS = Registry[Estimator](
    "estimator", dict(none=none, ood=ood, bptt=bptt, chain=chain, jacobian=jacobian, qgf=qgf)
)


def placebo(estimator: Estimator, seed: int = 0) -> Estimator:
    """A control, a random direction with the norm that `estimator` would have had: g -> |g| u, u uniform on the sphere.

    The randomness comes from the bits of a_t (and `seed`), so that every sample and every step has its own direction
    and the same noise gives the same action again.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        return jnp.linalg.norm(estimator(v, q, a, t)) * blind(a, seed)

    return guide


def blind(x, seed=0):
    """A direction u[d] on the sphere, uniform, that is a function of the bits of x[d] and of `seed`."""
    u = jax.random.normal(key_of(x, seed), x.shape, x.dtype)
    return u / jnp.linalg.norm(u)


def key_of(x, seed=0):
    """A random key that is a function of the bits of x[d] and of `seed`."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    bits = bits ^ (bits >> 16)  # or the signs would cancel in the sum, and x and -x get the same key
    mixed = jnp.sum(bits * (2 * jnp.arange(x.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)
    return jax.random.fold_in(jax.random.key(seed), mixed)
