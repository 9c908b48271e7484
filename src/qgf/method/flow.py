"""The linear flow between noise and action: a_t = (1 - t) a_0 + t a_1, da/dt = v(a_t, t)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.ode import odeint
from jax.typing import ArrayLike

from qgf.types import Velocity

STEPS = 10
"""Euler steps from noise to action, the paper's T (section 5 and appendix)."""


class Flow:
    """A velocity together with what a sampler knows about it; calling it is calling v(a, t).

    It carries the number of Euler steps (the grid that `integrate` follows) and the action range (to which `clean`
    and `integrate` clip), and it remembers the velocity at the point `at` = (a_t, t) where the sampler stands: an
    estimator that asks for it there again pays nothing. There means the very arrays a_t and t; for equal ones that were
    computed anew, t + 0, the velocity is too. A plain function works as well, on STEPS steps, unclipped.
    """

    def __init__(
        self,
        v: Velocity,
        steps: int = STEPS,
        low: ArrayLike = -jnp.inf,
        high: ArrayLike = jnp.inf,
        at: tuple[Array, Array] | None = None,
    ):
        self.v, self.steps, self.low, self.high = v, steps, low, high
        self.known = None if at is None else (*at, v(*at))

    def __call__(self, a: Array, t: Array) -> Array:
        if self.known is not None and a is self.known[0] and t is self.known[1]:
            return self.known[2]
        return self.v(a, t)

    @property
    def inner(self) -> Velocity:
        return self.v

    def around(self, f):
        """What the velocity can do besides (`types.ability`) is the same here."""
        return f

    def clip(self, a: Array) -> Array:
        return jnp.clip(a, self.low, self.high)


def as_flow(v: Velocity) -> Flow:
    """`v` itself if it is a `Flow`, else `v` on the default grid."""
    return v if isinstance(v, Flow) else Flow(v)


def interpolate(a0: Array, a1: Array, t: Array) -> Array:
    """The point a_t = (1 - t) a_0 + t a_1 of the linear path, [..., d]."""
    t = t[..., None]
    return (1 - t) * a0 + t * a1


def bc_loss(v: Velocity, a0: Array, a1: Array, t: Array) -> Array:
    """Flow-matching behaviour cloning: mean of (v(a_t, t) - (a_1 - a_0))^2 over d and the batch, [].

    a0[..., d] ~ N(0, I), a1[..., d] from the data, t[...] ~ U(0, 1).
    """
    return jnp.mean((v(interpolate(a0, a1, t), t) - (a1 - a0)) ** 2)


def clean(v: Velocity, a: Array, t: Array) -> Array:
    """One-step estimate of the clean action, a1_hat = clip(a + (1 - t) v(a, t)), [d].

    Equal to E[a_1 | a_t] for the exact flow. Clipped to the action range of a `Flow`, the only place where Q is known.
    """
    return as_flow(v).clip(a + (1 - t) * v(a, t))


def integrate(v: Velocity, a: Array, t: Array) -> Array:
    """ODE(a_t): the remaining Euler steps of the flow's grid from time t to 1, then clip, [d].

    Between two grid points the remaining time is split evenly into steps no longer than the grid's.
    """
    flow = as_flow(v)
    remaining = jnp.ceil((1 - t) * flow.steps - 1e-3)  # 1e-3: k/T * T is not k in floating point
    h = (1 - t) / jnp.maximum(remaining, 1)

    def step(a, k):
        # A real branch where the batch shares t, as in the sampler: steps that are behind us cost nothing.
        return jax.lax.cond(k < remaining, lambda a: a + h * flow(a, t + k * h), lambda a: a, a), None

    # The first step before the loop: a flow that stands at (a, t) knows its velocity.
    first = jax.lax.cond(remaining > 0, lambda: a + h * flow(a, t), lambda: a)
    return flow.clip(jax.lax.scan(step, first, jnp.arange(1, flow.steps))[0])


def log_likelihood(v: Velocity, a: Array, rtol: float = 1e-6, atol: float = 1e-6) -> Array:
    """log p_1(a) = log N(a_0; 0, I) - int_0^1 div v(a_t, t) dt, a_t on the ODE's path that ends in a_1 = a[d], [].

    In nats, by adaptive Runge-Kutta (Dormand-Prince) backwards in time with the exact divergence, d derivatives per
    evaluation (Chen et al. 2018; Lipman et al. 2023, appendix C).
    """

    def backwards(state, s):
        a, _ = state
        velocity = lambda x: v(x, 1 - s)
        # In reverse mode: that is the one derivative that the networks' own rules have.
        return -velocity(a), -jnp.trace(jax.jacrev(velocity)(a))

    times = jnp.array([0.0, 1.0], a.dtype)
    path, change = odeint(backwards, (a, jnp.zeros((), a.dtype)), times, rtol=rtol, atol=atol)
    return jnp.sum(jax.scipy.stats.norm.logpdf(path[-1])) + change[-1]
