"""The paper's method: a flow by behaviour cloning and a critic by temporal differences, each on its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Optional

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics import CRITICS
from qgf.critics.losses import polyak
from qgf.errors import UserError, unknown
from qgf.method.flow import STEPS, Flow, bc_loss, integrate
from qgf.networks.blocks import Nets
from qgf.networks.velocity import VelocityField
from qgf.types import Batch, Spec, StateVelocity


@dataclass(frozen=True)
class BC:
    """Behaviour cloning of a flow, and a critic, by default IQL's (QGF paper, section 4). All that trains a policy
    too is built on it.
    """

    name: ClassVar[str] = "bc"
    steps: ClassVar[int] = STEPS  # Euler steps of its policy
    best_of: ClassVar[int] = 1  # samples per decision that its policy takes the best of
    goal_conditioned: ClassVar[bool] = False  # trains on goals drawn in hindsight, not on one task's rewards
    width: int = 256  # hidden units per layer (paper: 1024)
    depth: int = 3  # hidden layers (paper: 4)
    critic: Literal["iql", "td", "ensemble", "hl-gauss"] = "iql"  # how Q is learned (see qgf.critics)
    critics: Optional[int] = None  # ensemble size, default 2, of critic "ensemble" 10 (QAM paper)
    expectile: float = 0.9  # iql, hl-gauss: of the value regression (paper: 0.9)
    candidates: int = 4  # td: actions of the reference flow, the best of which is bootstrapped from
    rho: float = 0.5  # ensemble: target critics' mean - rho std (QAM's published code)
    bins: int = 101  # hl-gauss: of the histogram's range (Farebrother et al. 2024: 101)
    value_low: Optional[float] = None  # hl-gauss: the least it can tell, default from rewards and discount
    value_high: Optional[float] = None  # hl-gauss: the most
    polyak: float = 0.005  # rate of the target critics (paper: 0.005)

    def __post_init__(self):
        if self.critic not in CRITICS:
            raise unknown("critic", self.critic, CRITICS)
        for name in ("width", "depth", "critics", "candidates", "bins"):
            if (x := getattr(self, name)) is not None and x < 1:
                raise UserError(f"{name} must be at least 1, got {x}")

    @property
    def ensemble_size(self) -> int:
        return self.critics or CRITICS[self.critic].size

    def prepared(self, rewards, discount: float) -> BC:
        """The method with the range of returns, [min r, max r] / (1 - gamma), if its critic has to know it and it was
        not given. Raises UserError if the range is empty.
        """
        if self.critic != "hl-gauss" or rewards is None:
            return self
        bounds = [0.0, *(float(x) / (1 - discount) for x in (rewards.min(), rewards.max()))]
        low, high = (limit(bounds) if x is None else x for x, limit in ((self.value_low, min), (self.value_high, max)))
        if not low < high:
            raise UserError(
                f"critic hl-gauss needs a range of returns, got [{low:g}, {high:g}]; give --value-low, --value-high"
            )
        return replace(self, value_low=low, value_high=high)

    def init(self, spec: Spec, key: Array) -> Nets:
        return Nets(**self.parts(spec, key))

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        """The networks by name, freshly drawn."""
        flow, critic, value = jax.random.split(key, 3)
        return dict(flow=self.field(spec, flow), **CRITICS[self.critic].parts(self, spec, critic, value))

    def start(self, nets: Nets, lent: Collection[str]) -> Nets:
        """The networks to train from, freshly drawn but for those `lent` by other runs."""
        return nets

    def field(self, spec: Spec, key: Array) -> VelocityField:
        return VelocityField(spec.obs_dim, spec.d, self.width, self.depth, key)

    def losses(self) -> dict:
        """The part of the networks that each loss trains -> loss(part, all networks, batch, key) -> (scalar, logs)."""
        return dict(flow=self._flow) | CRITICS[self.critic].losses(self)

    def after(self, nets: Nets) -> Nets:
        """What follows every update: the target critics drift towards the critics."""
        return eqx.tree_at(lambda n: n.target, nets, polyak(nets.target, nets.critic, self.polyak))

    def velocity(self, nets: Nets) -> StateVelocity:
        """Of the policy that acts."""
        return nets.flow

    def reference(self, nets: Nets) -> StateVelocity:
        """Of the flow that was cloned, from which critic "td" takes its next actions."""
        return nets.flow

    @property
    def reference_steps(self) -> int:
        """Euler steps of the cloned flow."""
        return self.steps

    def guide_critic(self, nets: Nets):
        """Q for guidance, of the target critics."""
        return CRITICS[self.critic].guide(self, nets)

    def q(self, nets: Nets, obs: Array, a: Array) -> Array:
        """Q for training a policy: the mean of the critics at the clipped action, [B]."""
        return jnp.mean(nets.critic(obs, jnp.clip(a, -1, 1)), axis=-1)

    def _flow(self, flow, nets: Nets, batch: Batch, key: Array):
        return cloning(flow, batch, key), {}

    def denoise(self, velocity: StateVelocity, obs: Array, a0: Array, steps: int | None = None) -> Array:
        """ODE(a_0) of a flow for each of obs[B, S] and a0[B, d] in Euler steps (default the policy's), clipped."""
        v = lambda a, t: velocity(obs, a, jnp.full(len(a), t))
        return integrate(Flow(v, steps or self.steps, -1.0, 1.0), a0, jnp.zeros(()))

    def sample(self, velocity: StateVelocity, obs: Array, d: int, key: Array, steps: int | None = None) -> Array:
        """An action of a flow for each of obs[B, S], [B, d]."""
        return self.denoise(velocity, obs, jax.random.normal(key, (len(obs), d)), steps)


@dataclass(frozen=True)
class OneActor(BC):
    """What methods share whose policy is their only flow: it is cloned and improved by one loss, `_actor`."""

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        parts = super().parts(spec, key)
        return dict(actor=parts.pop("flow")) | parts

    def losses(self) -> dict:
        return dict(actor=self._actor) | CRITICS[self.critic].losses(self)

    def velocity(self, nets: Nets):
        return nets.actor

    def reference(self, nets: Nets):
        return nets.actor

    def _actor(self, actor, nets: Nets, batch: Batch, key: Array):
        return cloning(actor, batch, key), {}


def noise_and_time(key: Array, batch: Batch) -> tuple[Array, Array]:
    """a_0 ~ N(0, I) [B, d] and t ~ U(0, 1) [B]."""
    noise, time = jax.random.split(key)
    a0 = jax.random.normal(noise, batch.actions.shape)
    return a0, jax.random.uniform(time, (len(a0),))


def cloning(velocity: StateVelocity, batch: Batch, key: Array) -> Array:
    """The flow-matching loss of a velocity on a batch's actions, []."""
    a0, t = noise_and_time(key, batch)
    return bc_loss(lambda a, t: velocity(batch.obs, a, t), a0, batch.actions, t)
