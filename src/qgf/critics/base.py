"""What every kind of critic has: its options, its networks, its losses, and what guidance asks of it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.critics.losses import Pessimistic, critic_loss, polyak, td_target
from qgf.critics.regular import Loss, network_of, regularised
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
    to_the_end: ClassVar[bool] = False  # its returns are those to the episode's end, and nothing is bootstrapped
    critics: Few = 2  # members of the ensemble
    polyak: float = 0.005  # rate at which the target critics follow (paper: 0.005)
    _: KW_ONLY
    weight_decay: float = 0.0  # of its weight matrices at every update, times the learning rate (AdamW's)
    decay_hidden: bool = False  # spare the read-outs of weight decay
    decay_when: Literal["always", "memorising"] = "always"  # or once the data are learned by heart
    dropout: float = 0.0  # share of the hidden units that is left out of each regression
    action_noise: float = 0.0  # of the actions it is regressed at, in standard deviations of the reference flow's
    gradient_penalty: float = 0.0  # times the mean of |grad_a Q|^2 at the data's actions, added to its loss
    action_again: bool = False  # give the action to every layer anew
    value_scale: float = 1.0  # networks say Q and V in parts of it; 1 / (1 - discount) makes them mean rewards
    critic_net: Literal["network", "transformer"] = "network"  # of what Q is made: --network, or tokens for actions
    fused: bool = False  # all members in one product a layer: many members at less cost

    def __post_init__(self):
        at_least_one(self, "critics")
        for name in ("weight_decay", "action_noise", "gradient_penalty"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be a number from 0 on, got {getattr(self, name)}")
        if not 0 < self.value_scale < float("inf"):
            raise UserError(f"value_scale must be a number above 0, got {self.value_scale}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is a share from 0 to below 1, got {self.dropout}")
        if self.critic_net not in ("network", "transformer"):
            raise UserError(f"critic_net is network or transformer, got {self.critic_net!r}")
        if self.critic_net == "transformer" and (self.action_again or self.dropout):
            raise UserError("action_again and dropout act in the layers of an MLP: leave them out with a transformer")
        if self.decay_hidden and not self.weight_decay:
            raise UserError("decay_hidden says what decays: give weight_decay, too")
        if self.decay_when not in ("always", "memorising"):
            raise UserError(f"decay_when is always or memorising, got {self.decay_when!r}")
        if self.decay_when == "memorising" and not self.weight_decay:
            raise UserError("decay_when says when weights decay: give weight_decay, too")

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
        network = network_of(self, m, spec, spec.d)
        return CriticEnsemble(spec.obs_dim, spec.d, m.width, m.depth, self.critics, key, network, self.fused)

    def losses(self, m) -> dict:
        """The network that each loss trains -> loss(network, all networks, batch, key) -> (scalar, logs)."""
        return dict(critic=lambda *x: self.q_loss(m, *x))

    def q_loss(self, m, critic, nets, batch: Batch, key: Array):
        value = lambda obs: self.next_value(m, nets, obs, batch.actions.shape[-1], key)
        target = td_target(value, batch)
        return self.regularised(m, lambda q, seen: self.regress(q, target, seen), nets, critic, batch, key)

    def regularised(self, m, loss: Loss, nets, critic, batch: Batch, key: Array):
        """loss(critic, batch) under the options against learning by heart."""
        flow = m.reference(nets) if self.action_noise else None
        return regularised(self, loss, flow, critic, batch, key)

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
        if lender.value_scale != self.value_scale:
            raise UserError(f"{run}: its values have another scale; pass --value-scale {lender.value_scale:g}")
        if lender.critic_net != self.critic_net:
            raise UserError(f"{run}: its networks are others; pass --critic-net {lender.critic_net}")
        for name, option in (("action_again", "--action-again"), ("fused", "--fused")):
            if getattr(lender, name) != getattr(self, name):
                raise UserError(
                    f"{run}: its networks are others; {'pass' if getattr(lender, name) else 'leave out'} {option}"
                )
