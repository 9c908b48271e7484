"""RobustQ: beside the paper's method, a critic of noisy actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.method.flow import interpolate
from qgf.networks.blocks import Nets
from qgf.networks.velocity import VelocityField
from qgf.training.methods.bc import BC, noise_and_time
from qgf.types import Batch, Noisy, Spec


class NoisyCritic(eqx.Module):
    """Q_r(obs[..., S], a_t[..., d], t[...]) -> [...]."""

    net: VelocityField

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.net(obs, a, t)[..., 0]


class Robust(eqx.Module):
    """The usual critic, which is `Noisy` too, for the guide "robustq"."""

    usual: Any
    noisy: NoisyCritic

    @property
    def inner(self) -> Any:
        return self.usual

    def around(self, f):
        return f

    def __call__(self, obs: Array, a: Array) -> Array:
        return self.usual(obs, a)


@dataclass(frozen=True)
class RobustQ(BC):
    """Cloning, a critic, and Q_r(s, a_t, t) = E[Q(s, a_1) | a_t] by regression on noised data actions (QGF paper,
    baselines).
    """

    name: ClassVar[str] = "robust-q"
    provides: ClassVar[tuple[type, ...]] = (Noisy,)

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        own = jax.random.fold_in(key, 1)
        network = self.seeing(self.kind, spec)
        noisy = VelocityField(spec.obs_dim, spec.d, self.width, self.depth, own, size_out=1, network=network)
        return super().parts(spec, key) | dict(noisy=NoisyCritic(noisy))

    def losses(self) -> dict:
        return super().losses() | dict(noisy=self._noisy)

    def guide_critic(self, nets):
        return Robust(super().guide_critic(nets), nets.noisy)

    def _noisy(self, noisy, nets: Nets, batch: Batch, key: Array):
        """Mean of (Q_r(s, a_t, t) - Q(s, a_1))^2 with the Q that guidance asks, IQL's minimum of the target critics."""
        a0, t = noise_and_time(key, batch)
        q = jax.lax.stop_gradient(super().guide_critic(nets)(batch.obs, batch.actions))
        return jnp.mean((noisy(batch.obs, interpolate(a0, batch.actions, t), t) - q) ** 2), {}
