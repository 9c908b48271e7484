"""A strength chosen from data alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.errors import UserError
from qgf.method.guides import need
from qgf.method.members import way
from qgf.method.policy import Policy, act_jit, with_fields
from qgf.playing.arm import Arm
from qgf.playing.tune import STRENGTHS
from qgf.types import Members, ability


class Half(eqx.Module):
    """The lowest of some members of an ensemble critic, q(obs, a) -> []."""

    critic: Any
    chosen: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, obs, a: Array) -> Array:
        return jnp.min(self.members(obs, a), axis=-1)

    def members(self, obs, a: Array) -> Array:
        return need(self.critic, Members)(obs, a)[..., jnp.array(self.chosen)]

    @property
    def inner(self) -> Any:
        return self.critic

    def around(self, f):
        """All else that the critic can do (`types.ability`) it does as a whole."""
        return f


class Offline(NamedTuple):
    """What the data alone say about the strength; arrays are [strengths], means over states."""

    strength: float
    strengths: tuple[float, ...]
    claimed: np.ndarray  # gain in Q over the unguided action according to the half of the critics that guides
    confirmed: np.ndarray  # the same actions, judged by the half that does not


def offline(
    policy: Policy, observations, key: Array, arm: Arm = Arm(), strengths: Sequence[float] = STRENGTHS
) -> Offline:
    """The strength for `arm` with the largest gain in Q that an independent half of the ensemble confirms, among those
    before the two part (confirmed is less than half of claimed). Each half guides in turn. Needs no environment.

    Raises UserError if the critic is no ensemble of two or more, or if there is no strength to choose from.
    """
    members = ability(policy.critic, Members)
    count = jax.eval_shape(members, *_one(policy, observations)).shape[-1] if members else 1
    if count < 2:
        raise UserError(f"choosing without an environment needs two critics that can disagree; this policy has {count}")
    if isinstance(way(arm.members), int):
        raise UserError(f"halves of the {count} critics guide and judge, not member {arm.members}: leave members out")
    if not strengths or arm.guide == "none":
        raise UserError(f"nothing to choose from: {arm.guide} has no strengths")
    strengths = sorted(strengths)
    halves = [Half(policy.critic, tuple(range(k, count, 2))) for k in (0, 1)]
    claimed, confirmed = np.zeros((2, len(strengths)))
    for own, other in (halves, halves[::-1]):
        guided = lambda s, own=own: with_fields(replace(arm, strength=s, weight=None).of(policy), critic=own)
        plain = _values(guided(0.0), own, other, observations, key)
        gains = np.array([_values(guided(s), own, other, observations, key) - plain for s in strengths])
        claimed, confirmed = claimed + gains[:, 0] / 2, confirmed + gains[:, 1] / 2
    parted = np.append(np.flatnonzero(claimed - confirmed > np.abs(claimed) / 2), len(strengths))[0]
    best = int(np.argmax(confirmed[: max(parted, 1)]))
    return Offline(float(strengths[best]), tuple(strengths), claimed, confirmed)


def _one(policy: Policy, observations):
    shape = jax.ShapeDtypeStruct((policy.horizon * policy.action_dim,), jnp.float32)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), observations), shape


def _values(policy: Policy, own, other, observations, key) -> np.ndarray:
    """Mean value of the policy's actions by the two critics, [2]."""
    actions = act_jit(policy, observations, key)[0]
    flat = policy.inward(actions).reshape(len(actions), -1)
    return np.array([float(_mean(critic, observations, flat)) for critic in (own, other)])


@eqx.filter_jit
def _mean(critic, observations, actions):
    return jnp.mean(jax.vmap(critic)(observations, actions))
