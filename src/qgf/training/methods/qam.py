"""QAM: the cloned flow, fine-tuned towards pi exp(Q / temperature) by adjoint matching."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.files import Few
from qgf.method.observations import looked
from qgf.networks.blocks import Nets
from qgf.training.methods.bc import BC
from qgf.types import Batch, Spec, Velocity


class Memoryless(NamedTuple):
    """The step from t to s > t of the chain that forgets its start, for the path's a_t = (1 - t) a_0 + t a_1.

    Noising runs backwards, a_t | a_s ~ N(r a_s, (1 - t)^2 - r^2 (1 - s)^2) with r = t / s, so that
    a_s | a_t, a_1 ~ N(of_a a_t + of_a1 a_1, std^2), in which the mean a_t + (1 - t) v(a_t, t) takes the place of a_1: a
    step of the SDE da = (2 v - a / t) dt + sqrt(2 (1 - t) / t) dB (Domingo-Enrich et al. 2025, section 4.3) with the
    clean action held. The chain has the path's means; its variance lacks what a_1 varies about its mean, O(1 / T).
    """

    t: Array
    of_a: Array
    of_a1: Array
    std: Array
    pull: Array  # (1 - t) / t of_a and (1 - t) / t of_a1, at t = 0 their limits for an exact flow
    pull_a1: Array

    @staticmethod
    def between(t: Array, s: Array) -> Memoryless:
        r = t / s
        added = (1 - t) ** 2 - (r * (1 - s)) ** 2
        of_a, of_a1 = r * (1 - s) ** 2 / (1 - t) ** 2, s * added / (1 - t) ** 2
        std = (1 - s) * jnp.sqrt(added) / (1 - t)
        pull_a1 = jnp.where(t > 0, (1 - t) * of_a1 / jnp.where(t > 0, t, 1), 0)  # at 0 a_1's mean knows nothing of a_0
        return Memoryless(t, of_a, of_a1, std, (1 - s) ** 2 / (s * (1 - t)), pull_a1)

    def mean(self, v: Velocity, a: Array) -> Array:
        return self.of_a * a + self.of_a1 * (a + (1 - self.t) * v(a, self.t))


def lean_adjoint(v: Velocity, q, a0: Array, noise: Array, base: Velocity) -> tuple[Memoryless, Array, Array, Array]:
    """The chain from a0[..., d] under v with the noise [T, ..., d], and what Q thinks of every point of it.

    Returns the T steps, and where they start: a_t, the lean adjoint G_t and the velocity that adjoint matching wants
    there, base(a_t, t) + (1 - t) / t G_t, [T, ..., d] each. G_1 = grad q(a_1), and G_t = (d mean_base(a_t) / d a_t)^T
    G_s, differentiated through the *base* flow alone, without the control (Domingo-Enrich et al. 2025, section 5).
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
        through = g + (1 - step.t) * pull_back(g)[0]
        here = step.of_a * g + step.of_a1 * through
        return here, (here, velocity + step.pull * g + step.pull_a1 * through)

    _, (adjoint, target) = jax.lax.scan(backwards, jax.grad(q)(end), (steps, points), reverse=True)
    return steps, points, adjoint, target


@dataclass(frozen=True)
class QAM(BC):
    """Q-learning with adjoint matching (Li & Levine 2026): the actor's velocity is regressed, along its own memoryless
    chain, on v_flow(a_t, t) + (1 - t) / t G_t, G the lean adjoint of Q / temperature. At its optimum the actor samples
    pi exp(Q / temperature), pi the cloned flow. QAM's own critic is --critic ensemble.

    Weights per step are the published code's, 2 (t + h) / (1 - t + h), and so is Q's gradient, that of Q at the clipped
    action, zero beyond the range. Its code takes Euler-Maruyama steps shifted by h = 1 / T to avoid t = 0; the steps
    here need no shift, and for a Gaussian flow and a linear Q the target is exact with any number of them after t = 0.
    An actor whose flow is lent begins as that flow, which adjoint matching then fine-tunes (Domingo-Enrich et al.
    2025); beside a flow that is still trained it begins anew, as in the published code. That code's averaged copies of
    the flow are left out, and so are its variants (QAM-EDIT, QAM-FQL).
    """

    name: ClassVar[str] = "qam"
    inverse_temperature: float = 0.1  # of exp(Q / temperature) (QGF paper: 0.1)
    chain: Few = 10  # steps of the memoryless chain (published code: 10)

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        return super().parts(spec, key) | dict(actor=self.field(spec, jax.random.fold_in(key, 4)))

    def start(self, nets: Nets, lent: Collection[str]) -> Nets:
        if "flow" not in lent:
            return nets
        return eqx.tree_at(lambda n: n.actor, nets, jax.tree.map(jnp.copy, nets.flow))  # the learner donates both

    def losses(self) -> dict:
        return super().losses() | dict(actor=self._actor)

    def velocity(self, nets: Nets):
        return nets.actor

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        shape = (self.chain + 1, *batch.actions.shape)
        a0, *noise = jax.random.normal(key, shape)
        (nets, actor), obs = looked((nets, actor), batch.obs)
        at = lambda f: lambda a, t: f(obs, a, jnp.full(len(a), t))
        q = lambda a: self.inverse_temperature * jnp.sum(self.q(nets, obs, a))
        steps, points, adjoint, target = lean_adjoint(at(nets.actor), q, a0, jnp.stack(noise), at(nets.flow))
        t, h = steps.t, 1 / self.chain
        error = jnp.mean((jax.vmap(at(actor))(points, t) - jax.lax.stop_gradient(target)) ** 2, axis=(1, 2))
        loss = jnp.sum(2 * (t + h) / (1 - t + h) * error)
        return loss, dict(adjoint=jnp.mean(jnp.abs(adjoint[0])))
