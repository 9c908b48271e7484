"""What is measured at decisions that were played: whether critics agree there, how far guidance moved the action."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qgf.method.guides import agreements, need
from qgf.method.observations import looked
from qgf.method.policy import Policy, without_guidance
from qgf.types import Members, ability

ASKED = 256
"""Decisions of an arm at which this is measured, the first."""


def agreement_at(policy: Policy, obs: Any, actions: np.ndarray) -> float:
    """Mean cosine of the gradients that the members of the critic have at actions[n, H, A] (`guides.agreement`): near 0
    they know nothing of the direction that guidance takes. nan for a critic that is no ensemble.
    """
    if ability(policy.critic, Members) is None:
        return float("nan")
    rows = np.arange(ASKED) % len(actions)  # one program, however many there are
    known = np.asarray(policy.inward(jnp.asarray(actions[rows]))).reshape(ASKED, -1)
    found = np.asarray(_agreement(policy.critic, jax.tree.map(lambda x: x[rows], obs), known))
    return float(found[: len(actions)].mean())


@eqx.filter_jit
def _agreement(critic, obs, actions):
    critic, obs = looked(critic, obs)
    return agreements(need(critic, Members), obs, actions)


def displacement_at(policy: Policy, obs: Any, actions: np.ndarray, a0: np.ndarray) -> float:
    """Mean distance of actions[n, H, A] from the unguided ones of the same noise a0[n, d], in sigma_a
    (`harm.displacement`); nan for a policy that was not calibrated.
    """
    if policy.guide == "none" or policy.calibration is None:
        return 0.0 if policy.guide == "none" else float("nan")
    rows = np.arange(ASKED) % len(actions)  # one program, however many there are
    plain = without_guidance(policy, samples=1, calibration=None, members=None, choose=None)
    unguided, _ = _from(plain, jax.tree.map(lambda x: x[rows], obs), a0[rows])
    known = policy.inward(jnp.asarray(actions[rows]))
    far = jnp.sqrt(jnp.mean((known - policy.inward(unguided)) ** 2, axis=(1, 2))) / policy.calibration.sigma
    return float(np.asarray(far)[: len(actions)].mean())


@eqx.filter_jit
def _from(policy: Policy, obs, a0) -> tuple[jax.Array, Any]:
    return policy.act(obs, jax.random.key(0), a0)
