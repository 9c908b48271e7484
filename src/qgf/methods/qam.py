"""QAM: the cloned flow, fine-tuned towards pi exp(Q / temperature) by adjoint matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from qgf.methods.bc import BC
from qgf.networks import Nets
from qgf.types import Batch, Spec, Velocity


class Memoryless(NamedTuple):
    """The step from t to s > t of the chain that forgets its start, for the path's a_t = (1 - t) a_0 + t a_1.

    Noising runs backwards, a_t | a_s ~ N(r a_s, (1 - t)^2 - r^2 (1 - s)^2) with r = t / s, so that
    a_s | a_t, a_1 ~ N(of_a a_t + of_a1 a_1, std^2), in which a_t + (1 - t) v(a_t, t) takes the place of a_1. It is the
    exact step of the SDE da = (2 v - a / t) dt + sqrt(2 (1 - t) / t) dB (Domingo-Enrich et al. 2025, section 4.3).
    """

    t: Array
    of_a: Array
    of_a1: Array
    std: Array
    pull: Array  # (1 - s)^2 / (s (1 - t)): by how much of the adjoint at s the best velocity differs at t

    @staticmethod
    def between(t: Array, s: Array) -> Memoryless:
        r = t / s
        added = (1 - t) ** 2 - (r * (1 - s)) ** 2
        of_a, of_a1 = r * (1 - s) ** 2 / (1 - t) ** 2, s * added / (1 - t) ** 2
        return Memoryless(t, of_a, of_a1, (1 - s) * jnp.sqrt(added) / (1 - t), (1 - s) ** 2 / (s * (1 - t)))

    def mean(self, v: Velocity, a: Array) -> Array:
        return self.of_a * a + self.of_a1 * (a + (1 - self.t) * v(a, self.t))


def lean_adjoint(v: Velocity, q, a0: Array, noise: Array, base: Velocity) -> tuple[Memoryless, Array, Array, Array]:
    """The chain from a0[..., d] under v with the noise [T, ..., d], and what Q thinks of every point of it.

    Returns the T steps, where they start a_t [T, ..., d], the lean adjoint at their ends G_s [T, ..., d] and base's
    velocity at a_t [T, ..., d]. G_1 = grad q(a_1), and G_t = (d mean_base(a_t) / d a_t)^T G_s, differentiated through
    the *base* flow alone, without the control (Domingo-Enrich et al. 2025, section 5).
    """
    grid = jnp.arange(len(noise) + 1) / len(noise)
    steps = jax.vmap(Memoryless.between)(grid[:-1], grid[1:])

    def forwards(a, x):
        step, z = x
        return step.mean(v, a) + step.std * z, a

    end, points = jax.lax.scan(forwards, a0, (steps, noise))

    def backwards(g, x):
        step, a = x
        velocity, pull_back = jax.vjp(lambda a: base(a, step.t), a)
        return step.of_a * g + step.of_a1 * (g + (1 - step.t) * pull_back(g)[0]), (g, velocity)

    _, (adjoint, velocity) = jax.lax.scan(backwards, jax.grad(q)(end), (steps, points), reverse=True)
    return steps, points, adjoint, velocity


@dataclass(frozen=True)
class QAM(BC):
    """Q-learning with adjoint matching (Li & Levine 2026): the actor's velocity is regressed, along its own memoryless
    chain, on v_flow(a_t, t) + (1 - s)^2 / (s (1 - t)) G_s, G the lean adjoint of Q / temperature. At its optimum the
    actor samples pi exp(Q / temperature), pi the cloned flow. QAM's own critic is --critic ensemble.

    Weights per step are the published code's, 2 (t + h) / (1 - t + h), and Q's gradient is that at the clipped action.
    Its code takes Euler-Maruyama steps shifted by h = 1 / T to avoid t = 0; the steps here are exact and need no shift.
    Its averaged copies of the flow are left out, and so are its variants (QAM-EDIT, QAM-FQL).
    """

    name: ClassVar[str] = "qam"
    inverse_temperature: float = 0.1  # of exp(Q / temperature) (QGF paper: 0.1)
    chain: int = 10  # steps of the memoryless chain (published code: 10)

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        return super().parts(spec, key) | dict(actor=self.field(spec, jax.random.fold_in(key, 4)))

    def losses(self) -> dict:
        return super().losses() | dict(actor=self._actor)

    def velocity(self, nets: Nets):
        return nets.actor

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        shape = (self.chain + 1, *batch.actions.shape)
        a0, *noise = jax.random.normal(key, shape)
        at = lambda f: lambda a, t: f(batch.obs, a, jnp.full(len(a), t))
        q = lambda a: self.inverse_temperature * jnp.sum(self.q(nets, batch.obs, a))
        steps, points, adjoint, base = lean_adjoint(at(nets.actor), q, a0, jnp.stack(noise), at(nets.flow))
        each = lambda x: x[:, None, None]
        target = jax.lax.stop_gradient(base + each(steps.pull) * adjoint)
        t, h = steps.t, 1 / self.chain
        error = (jax.vmap(at(actor))(points, t) - target) ** 2
        loss = jnp.mean(jnp.sum(jnp.mean(each(2 * (t + h) / (1 - t + h)) * error, axis=(1, 2)), axis=0))
        return loss, dict(adjoint=jnp.mean(jnp.abs(adjoint[0])))
