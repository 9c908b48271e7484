"""What a run's updates are made from: its dataset on the device, its learner, and what other runs lend it."""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.data import Dataset
from qgf.data.actions import Range
from qgf.data.dataset import long_enough
from qgf.data.order import Order
from qgf.data.pictures import usual
from qgf.data.stored import Stored
from qgf.errors import Caution, UserError
from qgf.method.guided import calibrate
from qgf.method.observations import on_state
from qgf.networks.encoders import accustomed
from qgf.training.config import TrainConfig
from qgf.training.device import Data
from qgf.training.devices import Devices, of_first
from qgf.training.health import bounds
from qgf.training.learner import Learner, State, with_parts
from qgf.training.lending import _donated, spec_of, unit_for
from qgf.training.memory import Need, check_whole, chosen
from qgf.training.scales import Scales
from qgf.training.trained import Trained, ends
from qgf.training.window import WHOLE, Plan, Window

CALIBRATION_STATES = 256
FEW = 32 * 2**20
"""Bytes of the chunks that stay on the device beside a window."""
VALUES = ("q", "target", "v", "actor_q")
"""What losses report under these names is Q or V."""


@dataclass(frozen=True)
class Setup:
    """A run before its first update."""

    config: TrainConfig
    name: str  # of the dataset
    learner: Learner
    window: Window  # what updates draw from
    held: str  # a line that says what that is
    chunks: Data  # some that stay the same: all, where they are held
    held_out: Data | None
    mean: np.ndarray  # [S] of the observations
    std: np.ndarray  # [S]
    limits: np.ndarray | None  # [S] of what is normalised so, when a policy acts
    reward_unit: float  # what the rewards in `chunks` were divided by
    actions: Range | None  # low and high that actions were scaled by, [A] each
    extent: Range  # of the actions in the data
    bounds: np.ndarray  # [2] what Q cannot be below and above, in that unit
    usual: dict[str, tuple[np.ndarray, np.ndarray]]  # of the pictures by camera (`data.pictures.usual`)
    devices: Devices

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
        if self.usual:
            own = {n: accustomed(x, self.usual) for n, x in vars(state.nets).items() if n not in self.learner.frozen}
            state = state._replace(nets=with_parts(state.nets, own))
        return self.devices.placed(state)

    def trained(self, state: State) -> list[Trained]:
        """The policy of every seed, with its strength scale measured. They stay as they are when `state` goes on."""
        config, nets_of_all, chunks = self.config, self.devices.here(state.nets), self.devices.here(self.chunks)
        rows = jnp.asarray(np.random.default_rng(config.seed).choice(len(chunks.starts), CALIBRATION_STATES))
        key = jax.random.key(config.seed)
        observations = on_state(lambda x: np.asarray(x) * self.std + self.mean, chunks.states(rows, key))
        policies = []
        for seed in range(config.seeds):
            nets = jax.tree.map(jnp.copy if config.seeds == 1 else lambda x, seed=seed: x[seed], nets_of_all)
            scales = jnp.asarray(self.mean), jnp.asarray(self.std)
            one = Trained(nets, *scales, self.learner.method, self.learner.spec, updates_of(state), self.name)
            one = replace(one, limits=self.limits, reward_unit=self.reward_unit)  # type: ignore[arg-type]
            one = replace(one, actions=ends(self.actions), extent=ends(self.extent))
            policies.append(replace(one, calibration=calibrate(one.policy(), observations, key, ways=True).calibration))
        return policies


def prepare(
    dataset: Dataset | Stored,
    config: TrainConfig,
    flow=None,
    critic_from=None,
    known: Scales | None = None,
    plan: Plan | None = None,
    memory: int | None = None,
) -> Setup:
    """Put a dataset, or the first of it, on the device and make the learner. `flow` and `critic_from` are runs that
    lend their networks, `known` are the scales that a run began with, `plan` is what it holds: else `memory` bytes
    decide.

    Raises UserError if dataset, method and lenders do not fit.
    """
    devices = Devices.of(config)
    _check_goals(dataset, config.method)
    actions, extent = dataset.action_range, dataset.extent
    unit = known.reward_unit if known else unit_for(dataset, critic_from)
    ready = lambda part: replace(part, action_range=actions).scaled().in_units(unit)
    validation = dataset.validation and ready(dataset.validation)
    if isinstance(dataset, Dataset):
        dataset = ready(replace(dataset, validation=None))
    method = replace(config.method, critic=config.method.critic.in_units(unit))
    rewards = dataset.rewards if isinstance(dataset, Dataset) or dataset.rewards is None else dataset.rewards / unit
    method = method.prepared(rewards, config.discount)
    frozen, lent = _donated(flow, critic_from, dataset, replace(config, method=method), unit)
    scales = known or lent or Scales.of(dataset, unit)
    on_device = lambda part: method.on_device(part, config.horizon, config.discount, *scales[:2])
    if getattr(method, "decays_late", False) and validation is None:
        raise UserError(
            f"{dataset.name} has no held-out episodes to say whether they are memorised (--decay-when memorising): "
            "train with --held-out 0.1"
        )
    window, said, chunks, few = _held(dataset, ready, on_device, method, config, plan, memory, devices)
    _warn_of_short(dataset, validation, *method.reach(config.horizon))
    spec = spec_of(dataset, config)
    precision = None if config.precision == "float32" else config.precision
    learner = Learner(method, spec, config.learning_rate, config.batch_size, frozen, precision, devices)
    nets = jax.eval_shape(lambda key: method.init(spec, key), jax.random.key(0))
    if foreign := [part for part in frozen if not hasattr(nets, part)]:
        raise UserError(f"{flow or critic_from}: method {method.name} has no {foreign[0]} that could be lent to it")
    steps = rewards[~dataset.ends] if isinstance(dataset, Dataset) and rewards is not None else rewards
    return Setup(
        config, dataset.name, learner, window, said, chunks,
        devices.everywhere(on_device(validation)) if validation else None, *scales, actions, extent,
        bounds(steps, config.discount), {name: usual(x) for name, x in few.images.items()}, devices,
    )  # fmt: skip


def _held(
    dataset: Dataset | Stored,
    ready,
    on_device,
    method,
    config: TrainConfig,
    plan: Plan | None,
    memory: int | None,
    devices: Devices,
) -> tuple[Window, str, Data, Dataset]:
    """What updates draw from, a line that says what that is, and chunks that stay the same, on the device and not:
    all there are where they are held anyway.
    """
    steps, option = method.reach(config.horizon)
    long_enough(dataset.name, dataset.lengths, steps, option)
    orders = [Order(dataset.lengths, dataset.first, steps, config.seed, h, devices.hosts) for h in range(devices.hosts)]
    order, mine = orders[0], orders[jax.process_index()]
    every = replace(order, hosts=1)
    part = lambda *pieces: ready(dataset.part(*pieces)) if isinstance(dataset, Stored) else dataset.part(*pieces)
    said = ""
    if plan is not None and plan.every not in (0, config.log_every):
        raise UserError(f"the run's window moves every {plan.every} updates, which --log-every has to stay")
    if isinstance(dataset, Stored) or memory is not None or (plan and plan.every):
        few = part(*every.some(_few(dataset, steps)))
        chunks = devices.everywhere(on_device(few))
        if not hasattr(chunks, "moved"):
            raise UserError(f"method {method.name}: its data cannot be held in part, they have no moved(rows)")
        need = Need.of(chunks, len(few.ends))
        found, said = chosen(dataset, need, order, config, memory) if plan is None or memory else (plan, "")
        found = Plan(*of_first(astuple(found)))  # processes may have other memory free
        if plan is not None and found != plan:
            raise UserError(
                f"the run holds {_told(plan)}, with this --memory it would hold {_told(found)}; leave --memory out, or "
                "use another --out or --overwrite"
            )
        if found.every and method.critic.to_the_end:
            raise UserError(
                f"critic {method.critic.name} needs whole episodes, a window may hold parts: give more --memory"
            )
        if found.every:
            rows = max(order.rows(found.block) for order in orders)
            block = lambda k: part(*mine.pieces(k * found.block, (k + 1) * found.block), rows)
            read = lambda k: devices.by_host(on_device(block(k)))
            return Window(read, found, rows, int(devices.hosts > 1)), said, chunks, few
        check_whole(dataset, need, order)
    everything = ready(dataset.whole()) if isinstance(dataset, Stored) else dataset
    chunks = devices.everywhere(on_device(everything))
    return Window(lambda k: chunks, WHOLE), said, chunks, everything


def _few(dataset: Dataset | Stored, steps: int) -> int:
    """How many chunks stay on the device beside a window; of pictures fewer."""
    size = 4 * (dataset.obs_dim + dataset.action_dim) + sum(math.prod(shape) for _, shape in dataset.cameras)
    return int(np.clip(FEW // (size * (steps + 1)), CALIBRATION_STATES, 2048))


def _told(plan: Plan) -> str:
    return f"a window of {plan.blocks} x {plan.block:,} chunks" if plan.every else "all of its data"


def _warn_of_short(dataset: Dataset | Stored, validation: Dataset | None, steps: int, option: str) -> None:
    """Warn of episodes that are too short to have a chunk."""
    for part in (dataset, validation):
        if part is not None and (short := part.short(steps)):
            warnings.warn(
                f"{part.name}: {short} of {len(part.lengths)} episodes are shorter than the action chunk of {steps} "
                f"and are left out; a shorter {option} takes more of them",
                Caution,
                stacklevel=4,
            )


def initial_state(learner: Learner, config: TrainConfig) -> State:
    """The first state of one seed, or of several with a leading axis."""
    key = jax.random.key(config.seed)
    if config.seeds == 1:
        return learner.init(key)
    return jax.jit(jax.vmap(learner.init))(jax.random.split(key, config.seeds))


def updates_of(state: State) -> int:
    """The updates a state has had; those of several seeds are trained together."""
    return int(np.ravel(state.step.addressable_data(0))[0])


def policy_folders(folder: Path, seeds: int) -> list[Path]:
    """Where the policies of a run's seeds are kept: in the folder itself, or one below it for each of several."""
    return [folder] if seeds == 1 else [folder / f"seed{seed}" for seed in range(seeds)]


def _check_goals(dataset: Dataset | Stored, method) -> None:
    if method.goal_conditioned and not dataset.goal_dim:
        raise UserError(
            f"{dataset.name}: method {method.name} needs goals; use a name such as "
            "pointmaze-medium-navigate-oraclerep-v0"
        )
    if dataset.goal_dim and not method.goal_conditioned:
        raise UserError(
            f"{dataset.name} has goals and no rewards, which method {method.name} needs: use --method gc, or a "
            "single-task name"
        )
