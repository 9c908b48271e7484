"""EDP: one flow, trained to clone and to please the critic through its one-step estimate of the clean action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from qgf.method.flow import bc_loss, interpolate
from qgf.networks.blocks import Nets
from qgf.training.methods.bc import OneActor, noise_and_time
from qgf.types import Batch


@dataclass(frozen=True)
class EDP(OneActor):
    """Efficient diffusion policy (Kang et al. 2023) on a flow, with a_t the noised action of the data: mean of
    -Q(s, a1_hat) + alpha |v(a_t, t) - (a_1 - a_0)|^2, a1_hat = clip(a_t + (1 - t) v(a_t, t)).

    The paper has a diffusion model and divides Q by its mean size; here, as in QGF's baselines, the flow's own path and
    Q as it is, so that alpha carries the scale.
    """

    name: ClassVar[str] = "edp"
    alpha: float = 100.0  # weight of cloning (QGF paper: 100, 300, 300, 30)

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        a0, t = noise_and_time(key, batch)
        a = interpolate(a0, batch.actions, t)
        v = actor(batch.obs, a, t)
        q = jnp.mean(self.q(nets, batch.obs, a + (1 - t)[:, None] * v))
        clone = bc_loss(lambda a, t: v, a0, batch.actions, t)
        return -q + self.alpha * clone, dict(actor_q=q, clone=clone)
