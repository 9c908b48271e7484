"""A control: guided by what the critic says of another state."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError
from qgf.method.guidance import key_of
from qgf.method.observations import read
from qgf.method.policy import Policy, with_fields
from qgf.types import StateValue


class Elsewhere(eqx.Module):
    """Q'(o, a) = Q(o', a), o' one of `states` [N, S], each as likely as another: which one follows from the bits of o
    and from nothing else, so that it is the same whenever it is asked at o.
    """

    critic: StateValue
    states: Any

    def __call__(self, obs, a: Array) -> Array:
        return self.critic(self.other(obs), a)

    def other(self, obs):
        """o' for one observation o [S]."""
        n = len(jax.tree.leaves(self.states)[0])
        numbers = jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(obs)])
        k = jax.random.randint(key_of(numbers), (), 0, n)
        return jax.tree.map(lambda x: x[k], self.states)


def shuffled(policy: Policy, states) -> Policy:
    """The policy whose guide asks the critic at another state, a random one of `states` [N, S] for each that it is
    asked at: the control that tells what guidance knows of the state from what it knows of good actions in general.

    Its gradients are the critic's own, as long as they are and as alike from step to step; its strength has the unit of
    the policy itself. Guides that ask for more than Q are refused when they are called, and so is a best of several,
    which would choose by another state, too: UserError.
    """
    if policy.samples > 1:
        raise UserError(
            f"a shuffled critic guides and must not choose, and this policy takes the best of {policy.samples}"
        )
    observations, n = read(states, policy.obs_spec)
    if n is None:
        raise UserError("shuffled takes a batch of states [N, S], got one")
    return with_fields(policy, critic=Elsewhere(policy.guiding, jax.tree.map(jnp.asarray, observations)), members=None)
