"""What a run's updates are made from: its dataset on the device, its learner, and what other runs lend it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.data.actions import Range
from qgf.data.pictures import usual
from qgf.errors import UserError
from qgf.method.guided import calibrate
from qgf.method.observations import on_state
from qgf.networks.encoders import accustomed
from qgf.training.config import TrainConfig
from qgf.training.device import Data
from qgf.training.health import bounds
from qgf.training.learner import Learner, State, with_parts
from qgf.training.lending import _donated, spec_of, unit_for
from qgf.training.scales import Scales
from qgf.training.trained import Trained, ends

CALIBRATION_STATES = 256
VALUES = ("q", "target", "v", "actor_q")
"""What losses report under these names is Q or V."""


@dataclass(frozen=True)
class Setup:
    """A run before its first update."""

    config: TrainConfig
    name: str  # of the dataset
    learner: Learner
    chunks: Data
    held_out: Data | None
    mean: np.ndarray  # [S] of the observations
    std: np.ndarray  # [S]
    limits: np.ndarray | None  # [S] of what is normalised so, when a policy acts
    reward_unit: float  # what the rewards in `chunks` were divided by
    actions: Range | None  # low and high that actions were scaled by, [A] each
    extent: Range  # of the actions in the data
    bounds: np.ndarray  # [2] what Q cannot be below and above, in that unit
    usual: dict[str, tuple[np.ndarray, np.ndarray]]  # of the pictures by camera (`data.pictures.usual`)

    @property
    def scales(self) -> Scales:
        return Scales(self.mean, self.std, self.limits, self.reward_unit)

    def in_users_unit(self, logs: dict[str, Array]) -> dict[str, Array]:
        """What the learner reports, with Q and V as the user's rewards have them; losses stay the learner's own."""
        if self.reward_unit == 1:
            return logs
        return {key: x * self.reward_unit if key.split("/")[-1] in VALUES else x for key, x in logs.items()}

    def start(self) -> State:
        """The first state."""
        state = initial_state(self.learner, self.config)
        if not self.usual:
            return state
        own = {n: accustomed(x, self.usual) for n, x in vars(state.nets).items() if n not in self.learner.frozen}
        return state._replace(nets=with_parts(state.nets, own))

    def trained(self, state: State) -> list[Trained]:
        """The policy of every seed, with its strength scale measured. They stay as they are when `state` goes on."""
        config = self.config
        rows = jnp.asarray(np.random.default_rng(config.seed).choice(len(self.chunks.starts), CALIBRATION_STATES))
        key = jax.random.key(config.seed)
        observations = on_state(lambda x: np.asarray(x) * self.std + self.mean, self.chunks.states(rows, key))
        policies = []
        for seed in range(config.seeds):
            nets = jax.tree.map(jnp.copy if config.seeds == 1 else lambda x, seed=seed: x[seed], state.nets)
            scales = jnp.asarray(self.mean), jnp.asarray(self.std)
            one = Trained(nets, *scales, self.learner.method, self.learner.spec, updates_of(state), self.name)
            one = replace(one, limits=self.limits, reward_unit=self.reward_unit)  # type: ignore[arg-type]
            one = replace(one, actions=ends(self.actions), extent=ends(self.extent))
            policies.append(replace(one, calibration=calibrate(one.policy(), observations, key, ways=True).calibration))
        return policies


def prepare(dataset: Dataset, config: TrainConfig, flow=None, critic_from=None, known: Scales | None = None) -> Setup:
    """Put a dataset on the device and make the learner. `flow` and `critic_from` are runs that lend their networks,
    `known` are the scales that a run began with.

    Raises UserError if dataset, method and lenders do not fit.
    """
    _check_goals(dataset, config.method)
    actions, extent, dataset = dataset.action_range, dataset.extent, dataset.scaled()
    unit = known.reward_unit if known else unit_for(dataset, critic_from)
    dataset = dataset.in_units(unit)
    method = replace(config.method, critic=config.method.critic.in_units(unit))
    method = method.prepared(dataset.rewards, config.discount)
    frozen, lent = _donated(flow, critic_from, dataset, replace(config, method=method), unit)
    scales = known or lent or Scales.of(dataset, unit)
    mean, std = scales[:2]
    on_device = lambda part: method.on_device(part, config.horizon, config.discount, mean, std)
    chunks, held_out = on_device(dataset), on_device(dataset.validation) if dataset.validation else None
    spec = spec_of(dataset, config)
    precision = None if config.precision == "float32" else config.precision
    learner = Learner(method, spec, config.learning_rate, config.batch_size, frozen, precision)
    nets = jax.eval_shape(lambda key: method.init(spec, key), jax.random.key(0))
    if foreign := [part for part in frozen if not hasattr(nets, part)]:
        raise UserError(f"{flow or critic_from}: method {method.name} has no {foreign[0]} that could be lent to it")
    return Setup(
        config, dataset.name, learner, chunks, held_out, *scales, actions, extent, bounds(dataset, config.discount),
        {name: usual(x) for name, x in dataset.images.items()},
    )  # fmt: skip


def initial_state(learner: Learner, config: TrainConfig) -> State:
    """The first state of one seed, or of several with a leading axis."""
    key = jax.random.key(config.seed)
    if config.seeds == 1:
        return learner.init(key)
    return jax.jit(jax.vmap(learner.init))(jax.random.split(key, config.seeds))


def updates_of(state: State) -> int:
    """The updates a state has had; those of several seeds are trained together."""
    return int(jnp.ravel(state.step)[0])


def policy_folders(folder: Path, seeds: int) -> list[Path]:
    """Where the policies of a run's seeds are kept: in the folder itself, or one below it for each of several."""
    return [folder] if seeds == 1 else [folder / f"seed{seed}" for seed in range(seeds)]


def _check_goals(dataset: Dataset, method) -> None:
    if method.goal_conditioned and dataset.goals is None:
        raise UserError(
            f"{dataset.name}: method {method.name} needs goals; use a name such as "
            "pointmaze-medium-navigate-oraclerep-v0"
        )
    if dataset.goals is not None and not method.goal_conditioned:
        raise UserError(
            f"{dataset.name} has goals and no rewards, which method {method.name} needs: use --method gc, or a "
            "single-task name"
        )
