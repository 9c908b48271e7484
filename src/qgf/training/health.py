"""Whether what is being trained can be relied on: is the critic worth following, does the flow stay where it should?"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.errors import UserError
from qgf.method.guides import agreements
from qgf.method.observations import looked
from qgf.training.device import Data
from qgf.training.learner import Program, State
from qgf.types import Batch, Members, ability

EVERY = 200
"""Updates in a log interval below which measuring would cost too large a part of it."""
STATES = 256
WIDE = 1.5
"""An action's number beyond that, in [-1, 1], has left the range; a good flow ends a little outside of it."""


def bounds(rewards: np.ndarray | None, discount: float) -> np.ndarray:
    """What Q cannot be below and above, [min r, max r] / (1 - gamma) with 0, which an end is worth, in it, [2], by the
    rewards of steps.
    """
    rewards = np.array([-1.0, 0.0]) if rewards is None else rewards
    least, most = min(float(rewards.min()), 0.0), max(float(rewards.max()), 0.0)
    return np.array([least, most if most > least else least + 1.0], np.float32) / (1 - discount)


@partial(jax.jit, static_argnames="program")
def health(program: Program, state: State, data: Data, bounds: Array) -> dict[str, Array]:
    """Four numbers of one fixed draw of chunks, for each seed where `state` is of several:

    critic/explained: how much of what they learn the mean of the members explains (`explained`);
    critic/agreement: the members' gradients at the data's actions, their mean cosine (`guides.agreement`);
    critic/beyond: how far Q lies outside of `bounds`, in parts of their distance;
    flow/outside: the share of its actions' numbers that are beyond 1.5 before they are clipped.
    """
    draw, noise = jax.random.split(jax.random.key(0))
    rows = jax.random.randint(draw, (STATES,), 0, len(data.starts))
    batch = data.batch(rows, program.spec.horizon, jax.random.fold_in(draw, 1))
    one = lambda nets: _critic(program, nets, batch, noise, bounds) | _flow(program, nets, batch, noise)
    return jax.vmap(one)(state.nets) if state.step.ndim else one(state.nets)


def explained(q: Array, y: Array) -> Array:
    """1 - Var(y - Q) / Var y of values Q and their targets y [n]: 1 where Q is right but for a constant, which no
    gradient sees, 0 where it tells nothing apart; whatever the unit of rewards.
    """
    return 1 - jnp.var(y - q) / jnp.maximum(jnp.var(y), 1e-12)


def _critic(program: Program, nets, batch: Batch, key: Array, bounds: Array) -> dict[str, Array]:
    method, found = program.method, {}
    critic = method.guide_critic(nets)
    members = ability(critic, Members)
    if members:
        q = members(batch.obs, batch.actions)  # networks take whole batches
        told, seen = looked(members, batch.obs)
        found["critic/agreement"] = jnp.mean(agreements(told, seen, batch.actions))
    else:
        q = critic(batch.obs, batch.actions)[:, None]
    try:
        value = method.critic.next_value(method, nets, batch.next_obs, batch.actions.shape[-1], key)
    except UserError:  # a kind of critic with a loss of its own need not say it
        pass
    else:
        target = batch.returns + batch.bootstrap * value
        found["critic/explained"] = explained(jnp.mean(q, axis=-1), target)
    beyond = jnp.maximum(jnp.max(q) - bounds[1], bounds[0] - jnp.min(q))
    found["critic/beyond"] = jnp.maximum(beyond, 0.0) / (bounds[1] - bounds[0])
    return found


def _flow(program: Program, nets, batch: Batch, key: Array) -> dict[str, Array]:
    (velocity, obs), steps = looked(program.method.velocity(nets), batch.obs), program.method.steps
    step = lambda a, k: (a + velocity(obs, a, jnp.full(len(a), k / steps)) / steps, None)
    a = jax.lax.scan(step, jax.random.normal(key, batch.actions.shape), jnp.arange(steps))[0]
    return {"flow/outside": jnp.mean(jnp.abs(a) > WIDE)}
