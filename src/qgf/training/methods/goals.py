"""The paper's method for many goals: one flow that knows none of them, and a critic that is told which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.critics import IQL
from qgf.critics.losses import critic_loss, expectile_loss, td_target
from qgf.critics.regular import network_of
from qgf.data import Dataset
from qgf.data.hindsight import Mix
from qgf.errors import UserError
from qgf.files import Many
from qgf.networks.blocks import Nets
from qgf.networks.critic import CriticEnsemble
from qgf.networks.velocity import VelocityField
from qgf.training.device import Data, goal_chunks
from qgf.training.methods.bc import BC
from qgf.types import Batch, Spec


class Unconditioned(eqx.Module):
    """v(obs[..., S + G], a[..., d], t[...]) -> [..., d] of the state alone, whatever the goal is."""

    net: VelocityField
    size: int = eqx.field(static=True)  # S

    def __call__(self, obs: Array, a: Array, t: Array) -> Array:
        return self.net(obs[..., : self.size], a, t)


@dataclass(frozen=True)
class GC(BC):
    """Goal-conditioned QGF: a flow cloned without goals, and a critic by decoupled Q-chunking (DQC, Li et al. 2025).
    With g the goal, h = `long` steps and H those of the policy's chunk, each loss moves its own networks alone:

      long:    mean of (Q_h(s, g, a[h]) - target)^2, target = R_h + gamma^h M V(s_h, g)
      critic:  expectile_d of Q_h(s, g, a[h]) - Q(s, g, a[H]), a[H] the first actions of a[h]
      value:   expectile_b of min_i Q_i(s, g, a[H]) - V(s, g), the Q of the target critics (IQL's)

    so that value travels h steps per update, and d > 1/2 credits a short chunk with its better continuations. Goals are
    drawn in hindsight (`qgf.hindsight`). Guidance asks Q, as in QGF.

    DQC's: the three critics, which of them learns from which, the proportions of goals, no target network for Q_h.
    Simplified: rewards -1 until the goal and squared errors, where its code has values in [0, 1] and cross-entropy; V
    by an expectile, where its code has a quantile; each critic is distilled from the long one of its own number. The
    critic's options against learning by heart hold for Q, weight decay for all three.
    """

    name: ClassVar[str] = "gc"
    goal_conditioned: ClassVar[bool] = True
    long: Many = 25  # steps of the long critic's chunks (DQC: 25)
    optimism: float = 0.5  # expectile of the distillation (DQC: 0.5 or 0.8 by environment)
    current: float = 0.2  # of the goals are the current state (DQC, OGBench: 0.2)
    trajectory: float = 0.5  # are a later state of the same episode (0.5), the others any state of the data (0.3)
    ahead: Literal["uniform", "geometric"] = "uniform"  # how much later (DQC: uniform, OGBench: geometric)

    def __post_init__(self):
        super().__post_init__()
        if type(self.critic) is not IQL:
            raise UserError(f"method {self.name} has a critic of its own: leave --critic {self.critic.name} out")
        _ = self.mix  # raises UserError if the proportions are none

    @property
    def lends(self) -> dict[str, tuple[str, ...]]:
        return super().lends | dict(critic=(*self.critic.parts, "long"))

    def reach(self, horizon: int) -> tuple[int, str]:
        return self.long, "--long"

    def on_device(self, dataset: Dataset, horizon: int, discount: float, mean: np.ndarray, std: np.ndarray) -> Data:
        """The long critic's chunks, whose returns are known when a goal is drawn."""
        return goal_chunks(dataset, self.mix, self.long, discount, mean, std)

    @property
    def mix(self) -> Mix:
        return Mix(self.current, self.trajectory, self.ahead)

    def field(self, spec: Spec, key: Array) -> Any:
        size = spec.obs_dim - spec.goal_dim
        return Unconditioned(super().field(spec._replace(obs_dim=size), key), size)

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        if self.long < spec.horizon:
            raise UserError(f"--long {self.long} must be at least the policy's --horizon {spec.horizon}")
        own, d = jax.random.fold_in(key, 5), self.long * spec.action_dim
        network = network_of(self.critic, self, spec, d)
        sizes = spec.obs_dim, d, self.width, self.depth, self.critic.critics
        long = CriticEnsemble(*sizes, own, network, self.critic.fused)
        return super().parts(spec, key) | dict(long=long)

    def losses(self) -> dict:
        return super().losses() | dict(critic=self._critic, long=self._long)

    def _critic(self, critic, nets: Nets, batch: Batch, key: Array):
        assert batch.long is not None
        target = jax.lax.stop_gradient(nets.long(batch.obs, batch.long.actions))

        def loss(critic, seen: Batch):
            q = critic(seen.obs, seen.actions)
            return jnp.mean(expectile_loss(target - q, self.optimism)), dict(q=jnp.mean(q), target=jnp.mean(target))

        return self.critic.regularised(self, loss, nets, critic, batch, key)

    def _long(self, long, nets: Nets, batch: Batch, key: Array):
        assert batch.long is not None
        loss, logs = critic_loss(long, td_target(nets.value, batch.long), batch.long)
        return loss, {f"long/{name}": x for name, x in logs.items()}
