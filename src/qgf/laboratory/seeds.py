"""How alike the gradients of critics from different training seeds are: what is noise of training is no advice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jax import Array

from qgf.errors import UserError
from qgf.laboratory.intervals import named
from qgf.method.guides import agreement
from qgf.method.policy import Policy
from qgf.playing.rows import Measured


class Alike(msgspec.Struct):
    """A row of seeds.csv: the mean over states of the cosine of two critics' gradients at the same actions."""

    first: str
    second: str
    cosine: Measured
    cosine_low: Measured
    cosine_high: Measured
    steep: Measured  # the share of states at which both have a gradient


def alike(policies: dict[str, Policy], observations: Any, episodes: np.ndarray | None, key: Array) -> list[Alike]:
    """Every two of these policies, by name, at unguided actions of the first, each critic as its policy asks it.

    The critics must know the same observations [n, S] and actions; a state where one of two has no gradient counts in
    `steep` alone. The interval is for new episodes, where it is known which [n] each state is of. Raises UserError for
    fewer than two policies, or for some of different sizes.
    """
    if len(policies) < 2:
        raise UserError("two critics are needed: a run of several seeds, or other runs of the same data")
    one = next(iter(policies.values()))
    for name, other in policies.items():
        sizes = lambda x: (x.horizon, x.action_dim, x.obs_spec)
        if sizes(other) != sizes(one):
            raise UserError(f"{name}: other observations, actions or chunks than {next(iter(policies))}")
    plain = one.guided("none", weight=0.0, best_of=1)
    a = one.inward(plain(observations, key)).reshape(len(observations), -1)
    found = {name: _gradients(policy, observations, a) for name, policy in policies.items()}
    return [Alike(x, y, **_told(found[x], found[y], episodes)) for x, y in combinations(found, 2)]


def _told(x: Array, y: Array, episodes: np.ndarray | None) -> dict[str, Any]:
    lengths = [jnp.linalg.norm(g, axis=1, keepdims=True) for g in (x, y)]
    both = np.asarray((lengths[0] > 1e-12) & (lengths[1] > 1e-12))[:, 0]
    units = jnp.stack([g / jnp.maximum(n, 1e-12) for g, n in zip((x, y), lengths, strict=True)], axis=1)
    cosine = np.where(both, np.asarray(jax.vmap(agreement)(units)), np.nan)
    return named("cosine", cosine, episodes) | dict(steep=float(both.mean()))


@eqx.filter_jit
def _gradients(policy: Policy, observations, a: Array) -> Array:
    return jax.vmap(jax.grad(policy.guiding, argnums=1))(observations, a)


def policies_of(runs: Sequence[Any], **how: Any) -> dict[str, Policy]:
    """Of runs (`training.run.Run`) the policy of every seed, by run and seed, each run once."""
    found: dict[str, Policy] = {}
    for run in {run.directory.resolve(): run for run in runs}.values():
        count = len(run.policy_dirs())
        for seed in range(count):
            found[f"{run.directory}{f' seed {seed}' if count > 1 else ''}"] = run.policy(seed, **how)
    return found
