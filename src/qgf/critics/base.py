"""What every kind of critic has: its options, its networks, its losses, and what guidance asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics.losses import Pessimistic, critic_loss, polyak, td_target
from qgf.errors import UserError, at_least_one
from qgf.files import Few
from qgf.networks.critic import CriticEnsemble
from qgf.types import Batch, Spec, StateValue


@dataclass(frozen=True)
class Critic:
    """An ensemble of networks that learn Q -> R + gamma^H M V(s'), and target copies that follow them slowly. A kind
    says what V(s') is (`next_value`), and may replace anything else; its fields are its options, on the command line
    and in studies too.

    `m` is the training method beside which it learns: its sizes and its flows.
    """

    name: ClassVar[str]
    has_value: ClassVar[bool] = False  # trains V(s) too
    critics: Few = 2  # members of the ensemble
    polyak: float = 0.005  # rate at which the target critics follow (paper: 0.005)

    def __post_init__(self):
        at_least_one(self, "critics")

    def prepared(self, rewards, discount: float) -> Critic:
        """The critic with the options that follow from the data's rewards [N] and the discount."""
        return self

    def in_units(self, unit: float) -> Critic:
        """The critic for rewards that are divided by `unit`: for options that are rewards or values."""
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its networks: what another run needs of it."""
        return ("critic", "target")

    def init(self, m, spec: Spec, critic: Array, value: Array) -> dict[str, Any]:
        """The networks by name, freshly drawn with the two keys."""
        q = self.ensemble(m, spec, critic)
        return dict(critic=q, target=jax.tree.map(jnp.copy, q))

    def ensemble(self, m, spec: Spec, key: Array):
        return CriticEnsemble(spec.obs_dim, spec.d, m.width, m.depth, self.critics, key, m.kind)

    def losses(self, m) -> dict:
        """The network that each loss trains -> loss(network, all networks, batch, key) -> (scalar, logs)."""
        return dict(critic=lambda *x: self.q_loss(m, *x))

    def q_loss(self, m, critic, nets, batch: Batch, key: Array):
        value = lambda obs: self.next_value(m, nets, obs, batch.actions.shape[-1], key)
        return self.regress(critic, td_target(value, batch), batch)

    def regress(self, critic, target: Array, batch: Batch):
        return critic_loss(critic, target, batch)

    def next_value(self, m, nets, obs: Array, d: int, key: Array) -> Array:
        """V(s') of the next observations [B, S], [B]; actions have d numbers. For kinds whose loss is `q_loss`."""
        raise UserError(f"critic {self.name} does not say what the next state is worth: give it next_value, or losses")

    def after(self, nets):
        """What follows every update: the target critics drift towards the critics."""
        return eqx.tree_at(lambda n: n.target, nets, polyak(nets.target, nets.critic, self.polyak))

    def asked(self, nets) -> StateValue:
        """What guidance asks: the lowest of the target critics."""
        return Pessimistic(nets.target)

    def check_lent(self, run: object, lender: Critic) -> None:
        """Raises UserError, saying what to pass, if the networks of `lender`, a critic of `run`, do not fit this one's
        options.
        """
        if lender.name != self.name:
            raise UserError(f"{run}: its critic is of the kind {lender.name}; pass --critic {lender.name}")
        if lender.critics != self.critics:
            raise UserError(f"{run}: it has {lender.critics} critics; pass --critics {lender.critics}")
