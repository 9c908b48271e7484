"""The learner: one compiled call runs many updates and knows nothing of the method."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from qgf.training.device import Data
from qgf.training.devices import ONE, Devices
from qgf.training.late import late
from qgf.types import Batch, Spec


class State(NamedTuple):
    """All that an exact resume needs."""

    nets: Any
    optimiser: Any
    key: Array
    step: Array


def with_parts(nets, parts: Mapping[str, Any]):
    """`nets` with some of its fields replaced."""
    return eqx.tree_at(lambda n: [getattr(n, part) for part in parts], nets, list(parts.values()))


class Learner:
    """Adam on a method's losses. `frozen` networks keep the values given and are not trained; `precision` is that of
    the losses' matrix products (see `networks.product`), parameters and optimiser stay in float32.

    No gradient crosses between parts: each loss is differentiated in its own part alone.
    """

    def __init__(
        self,
        method,
        spec: Spec,
        learning_rate: float | optax.Schedule,
        batch_size: int,
        frozen: dict[str, Any] | None = None,
        precision: str | None = None,
        devices: Devices = ONE,
    ):
        self.method, self.spec, self.frozen = method, spec, frozen or {}
        self.program = Program(method, spec, learning_rate, batch_size, frozenset(self.frozen), precision, devices)
        self.losses = self.program.losses()
        self.update, self.loss = self.program.update, self.program.loss

    def init(self, key: Array) -> State:
        key, nets = jax.random.split(key)
        nets = self.method.start(with_parts(self.method.init(self.spec, nets), self.frozen), self.frozen)
        return State(nets, self.program.adam.init(self.program.trained(nets)), key, jnp.zeros((), jnp.int32))

    def with_frozen(self, nets, lender):
        """`nets` with the frozen parts of `lender`."""
        return self.program.with_frozen(nets, lender)

    def run(self, state: State, chunks: Data, updates: int) -> tuple[State, dict[str, Array]]:
        """`updates` updates in one compiled call; logs are their means. A leading axis on `state` is one of seeds.
        The arrays of `state` are used up."""
        return self.program.run(state, chunks, updates)

    def compile(self, state: State, chunks: Any, updates: int) -> None:
        """Compile what `run` will call; of the data their shapes are enough."""
        Program.run.lower(self.program, state, chunks, updates).compile()

    def validate(self, state: State, chunks: Data, size: int) -> dict[str, Array]:
        """The losses on one fixed draw of `size` chunks that were not trained on."""
        return self.program.validate(state, chunks, size)


@dataclass(frozen=True)
class Program:
    """What a learner's compiled functions depend on besides arrays: learners of equal settings share them, and what
    keeps them keeps no networks.
    """

    method: Any  # hashable, as all that follows
    spec: Spec
    learning_rate: float | optax.Schedule
    batch_size: int
    frozen: frozenset[str]
    precision: str | None
    devices: Devices

    @property
    def adam(self) -> optax.GradientTransformation:
        decay = getattr(self.method, "weight_decay", 0.0)
        if not decay:
            return optax.adam(self.learning_rate)
        if not getattr(self.method, "decays_late", False):
            return optax.adamw(self.learning_rate, weight_decay=decay, mask=self.method.decayed)
        decays = late(optax.add_decayed_weights(decay, self.method.decayed))
        return optax.chain(optax.scale_by_adam(), decays, optax.scale_by_learning_rate(self.learning_rate))

    def losses(self) -> dict[str, Any]:
        """The loss of every part that is trained."""
        return {part: loss for part, loss in self.method.losses().items() if part not in self.frozen}

    def trained(self, nets) -> dict[str, Any]:
        return {part: getattr(nets, part) for part in self.losses()}

    def with_frozen(self, nets, lender):
        return with_parts(nets, {part: getattr(lender, part) for part in sorted(self.frozen)})

    def loss(self, trained: dict[str, Any], nets, batch: Batch, key: Array) -> tuple[Array, dict[str, Array]]:
        """The sum of the losses, each a function of its own part only, and what they report."""
        total, logs = jnp.zeros(()), dict[str, Array]()
        for i, (part, loss) in enumerate(self.losses().items()):
            with jax.default_matmul_precision(self.precision) if self.precision else nullcontext():
                value, extra = loss(trained[part], nets, batch, jax.random.fold_in(key, i))
            total = total + value
            logs |= {f"loss/{part}": value} | extra
        return total, logs

    def update(self, state: State, chunks: Data) -> tuple[State, dict[str, Array]]:
        """Draw a batch, take one Adam step on every loss, then `method.after`."""
        draw, noise = jax.random.split(jax.random.fold_in(state.key, state.step))
        rows = jax.random.randint(draw, (self.batch_size,), 0, len(chunks.starts))
        rows = self.devices.shared(rows)
        batch = self.devices.shared(chunks.batch(rows, self.spec.horizon, jax.random.fold_in(draw, 1)))
        if self.spec.images:
            batch = self.method.augmented(batch, jax.random.fold_in(draw, 2))
        trained = self.trained(state.nets)
        grads, logs = jax.grad(self.loss, has_aux=True)(trained, state.nets, batch, noise)
        steps, optimiser = self.adam.update(grads, state.optimiser, trained)
        nets = self.method.after(with_parts(state.nets, optax.apply_updates(trained, steps)))
        nets = self.with_frozen(nets, state.nets)
        return State(nets, optimiser, state.key, state.step + 1), logs

    @partial(jax.jit, static_argnames=("self", "updates"), donate_argnames="state")
    def run(self, state: State, chunks: Data, updates: int) -> tuple[State, dict[str, Array]]:
        def many(state):
            state, logs = jax.lax.scan(lambda s, _: self.update(s, chunks), state, length=updates, unroll=2)
            return state, jax.tree.map(jnp.mean, logs)

        state, logs = jax.vmap(many)(state) if state.step.ndim else many(state)
        return self.devices.kept(state), logs

    @partial(jax.jit, static_argnames=("self", "size"))
    def validate(self, state: State, chunks: Data, size: int) -> dict[str, Array]:
        draw, noise = jax.random.split(jax.random.key(0))
        rows = jax.random.randint(draw, (size,), 0, len(chunks.starts))
        batch = chunks.batch(rows, self.spec.horizon, jax.random.fold_in(draw, 1))
        logs = lambda nets: self.loss(self.trained(nets), nets, batch, noise)[1]
        return jax.vmap(logs)(state.nets) if state.step.ndim else logs(state.nets)
