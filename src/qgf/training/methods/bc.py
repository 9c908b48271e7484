"""The paper's method: a flow by behaviour cloning and a critic by temporal differences, each on its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.critics import critic_of
from qgf.critics.regular import decayed
from qgf.data import Dataset
from qgf.errors import UserError, at_least_one
from qgf.files import Few, Many
from qgf.method.flow import STEPS, Flow, bc_loss, integrate
from qgf.method.observations import looked
from qgf.networks import ENCODERS, NETWORKS, Network
from qgf.networks.blocks import Fourier, Nets
from qgf.networks.encoders import Encoded, encoders_of, of_vectors, unknown_pictures
from qgf.networks.velocity import VelocityField
from qgf.training.augment import shifted
from qgf.training.device import Data, chunks
from qgf.types import Batch, Spec, StateVelocity


@dataclass(frozen=True)
class BC:
    """Behaviour cloning of a flow, and a critic, by default IQL's (QGF paper, section 4). All that trains a policy
    too is built on it.
    """

    name: ClassVar[str] = "bc"
    steps: ClassVar[int] = STEPS  # Euler steps of its policy
    best_of: ClassVar[int] = 1  # samples per decision that its policy takes the best of
    provides: ClassVar[tuple[type, ...]] = ()  # what its policy's critic and velocity can do besides, see qgf.types
    goal_conditioned: ClassVar[bool] = False  # trains on goals drawn in hindsight, not on one task's rewards
    width: Many = 256  # hidden units per layer (paper: 1024)
    depth: Few = 3  # hidden layers (paper: 4)
    critic: Any = "iql"  # how Q is learned: a kind of qgf.critics with its own options, or the name of one
    network: str = "mlp"  # kind of network, a name of qgf.networks.NETWORKS
    fourier: int = 0  # random Fourier features of the observation that every network sees besides
    fourier_scale: float = 1.0  # deviation of their frequencies, in cycles per deviation of a number
    encoder: str = "impala"  # what sees pictures, one for every network, a name of qgf.networks.ENCODERS (FQL: impala)
    augment: float = 0.5  # share of a batch whose pictures are shifted by up to 3 pixels (FQL: 0.5)

    def __post_init__(self):
        object.__setattr__(self, "critic", critic_of(self.critic))
        at_least_one(self, "width", "depth")
        _ = self.kind, ENCODERS.find(self.encoder)  # raises UserError if there is none of that name
        if not 0 <= self.fourier <= 10_000:
            raise UserError(f"fourier is a number of features from 0 to 10000, got {self.fourier}")
        if not 0 < self.fourier_scale < float("inf"):
            raise UserError(f"fourier_scale must be a number above 0, got {self.fourier_scale}")
        if not 0 <= self.augment <= 1:
            raise UserError(f"augment is a share and must lie between 0 and 1, got {self.augment}")

    @property
    def kind(self) -> Network:
        """What makes every network of the method and of its critic."""
        return NETWORKS.find(self.network)

    def seeing(self, network: Network, spec: Spec) -> Network:
        """The network of an input that begins with the observation, of which it sees Fourier features besides."""
        if not self.fourier:
            return network
        scale = self.fourier_scale
        return partial(Fourier, network=network, obs_dim=spec.obs_dim, features=self.fourier, scale=scale)

    @property
    def lends(self) -> dict[str, tuple[str, ...]]:
        """The networks that another run can take from one of this method: those of its cloned flow and its critic."""
        return dict(flow=("flow",), critic=self.critic.parts)

    @property
    def weight_decay(self) -> float:
        """Of what is `decayed` at every update, times the learning rate."""
        return self.critic.weight_decay

    @property
    def decays_late(self) -> bool:
        """Whether it decays only once the data are learned by heart (`training.late`)."""
        return self.critic.decay_when == "memorising"

    def decayed(self, trained: dict[str, Any]) -> dict[str, Any]:
        """Which arrays of the networks that are trained decay: those of the critic that its options say."""
        mine = set(self.lends["critic"])
        spared = lambda part: jax.tree.map(lambda _: False, part)
        of = lambda name, part: decayed(part, self.critic.decay_hidden) if name in mine else spared(part)
        return {name: of(name, part) for name, part in trained.items()}

    def prepared(self, rewards, discount: float) -> BC:
        """The method with the options of its critic that follow from the data's rewards [N] and the discount."""
        return replace(self, critic=self.critic.prepared(rewards, discount))

    def reach(self, horizon: int) -> tuple[int, str]:
        """The steps of the longest chunk that is drawn, and the option that sets them."""
        return horizon, "--horizon"

    def on_device(self, dataset: Dataset, horizon: int, discount: float, mean: np.ndarray, std: np.ndarray) -> Data:
        """What batches are drawn from: the dataset's chunks with the returns that its own rewards give."""
        return chunks(dataset, horizon, discount, mean, std, self.critic.to_the_end)

    def init(self, spec: Spec, key: Array) -> Nets:
        """The networks; those that see pictures begin with the same encoders, and train their own."""
        if not spec.images:
            return Nets(**self.parts(spec, key))
        if self.fourier:
            raise UserError("--fourier are features of observations that are numbers, and these data have pictures")
        encoders = encoders_of(ENCODERS.find(self.encoder), spec, jax.random.fold_in(key, 7))
        own = lambda: jax.tree.map(jnp.copy, encoders)  # the learner donates each
        parts = self.parts(of_vectors(spec, encoders), key)
        return Nets(**{name: Encoded(own(), net, unknown_pictures(spec)) for name, net in parts.items()})

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        """The networks by name, freshly drawn, of vectors: `init` gives them what sees pictures."""
        flow, critic, value = jax.random.split(key, 3)
        return dict(flow=self.field(spec, flow), **self.critic.init(self, spec, critic, value))

    def start(self, nets: Nets, lent: Collection[str]) -> Nets:
        """The networks to train from, freshly drawn but for those `lent` by other runs."""
        return nets

    def field(self, spec: Spec, key: Array) -> VelocityField:
        return VelocityField(spec.obs_dim, spec.d, self.width, self.depth, key, network=self.seeing(self.kind, spec))

    def losses(self) -> dict:
        """The part of the networks that each loss trains -> loss(part, all networks, batch, key) -> (scalar, logs)."""
        return dict(flow=self._flow) | self.critic.losses(self)

    def after(self, nets: Nets) -> Nets:
        """What follows every update: the critic's targets move."""
        return self.critic.after(nets)

    def augmented(self, batch: Batch, key: Array) -> Batch:
        """What an update sees of a batch: pictures shifted at random."""
        return shifted(batch, self.augment, key)

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
        """Q for guidance."""
        return self.critic.asked(nets)

    def q(self, nets: Nets, obs: Any, a: Array) -> Array:
        """Q for training a policy: the mean of the critics at the clipped action, [B]."""
        return jnp.mean(nets.critic(obs, jnp.clip(a, -1, 1)), axis=-1)

    def _flow(self, flow, nets: Nets, batch: Batch, key: Array):
        return cloning(flow, batch, key), {}

    def denoise(self, velocity: StateVelocity, obs: Any, a0: Array, steps: int | None = None) -> Array:
        """ODE(a_0) of a flow for each of obs[B, S] and a0[B, d] in Euler steps (default the policy's), clipped."""
        velocity, obs = looked(velocity, obs)
        v = lambda a, t: velocity(obs, a, jnp.full(len(a), t))
        return integrate(Flow(v, steps or self.steps, -1.0, 1.0), a0, jnp.zeros(()))

    def sample(self, velocity: StateVelocity, obs: Any, d: int, key: Array, steps: int | None = None) -> Array:
        """An action of a flow for each of obs[B, S], [B, d]."""
        return self.denoise(velocity, obs, jax.random.normal(key, (len(jax.tree.leaves(obs)[0]), d)), steps)


@dataclass(frozen=True)
class OneActor(BC):
    """What methods share whose policy is their only flow: it is cloned and improved by one loss, `_actor`."""

    @property
    def lends(self) -> dict[str, tuple[str, ...]]:
        return super().lends | dict(flow=())

    def parts(self, spec: Spec, key: Array) -> dict[str, Any]:
        parts = super().parts(spec, key)
        return dict(actor=parts.pop("flow")) | parts

    def losses(self) -> dict:
        return dict(actor=self._actor) | self.critic.losses(self)

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
