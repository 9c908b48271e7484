"""FQL: a one-step student of the cloned flow that also climbs the critic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.files import Few
from qgf.networks.blocks import Nets
from qgf.networks.encoders import opened
from qgf.training.methods.bc import BC
from qgf.types import Batch, Spec


class Student(eqx.Module):
    """mu(obs[..., S], z[..., d]) -> [..., d] from noise to action at once. As a velocity it is the straight way there,
    v(z, 0) = mu(z) - z: one Euler step reaches mu(z), and the estimators' a1_hat at t = 0 is mu(z) too.
    """

    net: Callable[[Array], Array]

    def action(self, obs: Array, z: Array) -> Array:
        return self.net(jnp.concatenate([obs, z], axis=-1))

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.action(obs, a) - a


@dataclass(frozen=True)
class FQL(BC):
    """Flow Q-learning (Park et al. 2025, eq. 8): the student minimises the mean of
    -Q(s, mu(s, z)) + alpha |mu(s, z) - ODE(s, z)|^2, ODE(s, z) the cloned flow's end from the same noise z.

    The distillation error is a mean over dimensions, and Q is not normalised, as in the published code's defaults.
    """

    name: ClassVar[str] = "fql"
    steps: ClassVar[int] = 1
    flow_steps: Few = 10  # Euler steps of the cloned flow (paper: 10)
    alpha: float = 300.0  # weight of distillation (QGF paper: 1000 for cubes and puzzle, 300 for scene)

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        own = jax.random.fold_in(key, 3)
        network = self.seeing(self.kind, spec)
        student = Student(network(spec.obs_dim + spec.d, spec.d, self.width, self.depth, own))
        return super().parts(spec, key) | dict(student=student)

    def losses(self) -> dict:
        return super().losses() | dict(student=self._student)

    def velocity(self, nets: Nets):
        return nets.student

    @property
    def reference_steps(self) -> int:
        return self.flow_steps

    def _student(self, student, nets: Nets, batch: Batch, key: Array):
        z = jax.random.normal(key, batch.actions.shape)
        net, obs = opened(student, batch.obs)
        a = net.action(obs, z)
        q = jnp.mean(self.q(nets, batch.obs, a))
        teacher = self.denoise(nets.flow, batch.obs, z, self.flow_steps)
        distance = jnp.mean((a - teacher) ** 2)
        return -q + self.alpha * distance, dict(actor_q=q, distance=distance)
