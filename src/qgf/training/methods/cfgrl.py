"""CFGRL: beside the paper's method, a flow that knows whether its action was better than usual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics import CRITICS
from qgf.critics.losses import lowest
from qgf.errors import UserError
from qgf.method.flow import bc_loss
from qgf.networks.blocks import Nets
from qgf.networks.encoders import opened
from qgf.networks.velocity import VelocityField
from qgf.training.methods.bc import BC, noise_and_time
from qgf.types import Batch, Better, Labelled, Spec

UNLABELLED, BETTER = (0.0, 0.0), (1.0, 1.0)  # (is there a label, what it says)


class LabelledFlow(eqx.Module):
    """v(obs[..., S], a[..., d], t[...]) -> [..., d] of all actions, and `v.better` of those of positive advantage."""

    net: VelocityField

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.given(obs, a, t, jnp.broadcast_to(jnp.array(UNLABELLED), (*t.shape, 2)))

    def better(self, obs: Array, a: Array, t: Array) -> Array:
        return self.given(obs, a, t, jnp.broadcast_to(jnp.array(BETTER), (*t.shape, 2)))

    def given(self, obs: Array, a: Array, t: Array, label: Array) -> Array:
        return self.net(jnp.concatenate([obs, label], axis=-1), a, t)


class Reference(eqx.Module):
    """The cloned flow, with the labelled one for the guide "cfgrl"."""

    flow: VelocityField
    labelled: LabelledFlow

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.flow(obs, a, t)


@dataclass(frozen=True)
class CFGRL(BC):
    """Cloning, a critic, and a flow conditioned on 1[Q(s, a) > V(s)] with some labels left out (Frans et al. 2025)."""

    name: ClassVar[str] = "cfgrl"
    provides: ClassVar[tuple[type, ...]] = (Labelled, Better)
    unlabelled: float = 0.1  # fraction of labels left out (paper: 0.1)

    def __post_init__(self):
        super().__post_init__()
        if not self.critic.has_value:
            others = " or ".join(name for name, kind in CRITICS.items() if kind.has_value)
            raise UserError(f"{self.name} needs V(s), which critic {self.critic.name} has not: use {others}")

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        own = jax.random.fold_in(key, 2)
        network = self.seeing(self.kind, spec)
        net = VelocityField(spec.obs_dim + 2, spec.d, self.width, self.depth, own, network=network)
        return super().parts(spec, key) | dict(labelled=LabelledFlow(net))

    def losses(self) -> dict:
        return super().losses() | dict(labelled=self._labelled)

    def velocity(self, nets):
        return Reference(nets.flow, nets.labelled)

    def _labelled(self, labelled, nets: Nets, batch: Batch, key: Array):
        keep, noise = jax.random.split(key)
        advantage = lowest(nets.target, batch.obs, batch.actions) - nets.value(batch.obs)
        better = jax.lax.stop_gradient(advantage > 0)
        known = ~jax.random.bernoulli(keep, self.unlabelled, better.shape)
        label = jnp.stack([known, known & better], axis=-1).astype(batch.actions.dtype)
        a0, t = noise_and_time(noise, batch)
        net, obs = opened(labelled, batch.obs)
        v = lambda a, t: net.given(obs, a, t, label)
        return bc_loss(v, a0, batch.actions, t), dict(better=jnp.mean(better))
