"""A policy's actions in the units of the environment that it plays in."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from qgf.data.actions import Range, in_units_of, middle, shown, within
from qgf.errors import Caution
from qgf.method.policy import Policy

Played = Callable[[np.ndarray], np.ndarray]


def to_environment(policy: Policy, space: Any, env_name: str) -> Played:
    """What makes of a policy's actions [..., A] those that an environment of chunks [H, A] takes.

    They are its own (`in_units_of`): nothing is done but to cut off what it would not take. Or they are in [-1, 1], and
    scaled to its range, which a caution says. Raises UserError if they are neither.
    """
    box = space.low[0], space.high[0]
    acting = extent_of(policy)
    own = in_units_of(acting, box, "the policy", env_name) or policy.actions is not None
    if own and within(acting, box):
        return (lambda a: a) if policy.actions is None else (lambda a: np.clip(a, *box))  # what is rounded is beyond
    if own:
        _say(f"{env_name} takes actions from {shown(box)}: those of the policy, {shown(acting)}, are cut off there")
        return lambda a: np.clip(a, *box)
    _say(f"{env_name} takes actions from {shown(box)}: those of the policy, in [-1, 1], are scaled to that")
    centre, half = middle(box)
    return lambda a: np.clip((centre + half * a).astype(np.float32), *box)


def _say(what: str) -> None:
    warnings.warn(what, Caution, stacklevel=4)


def extent_of(policy: Policy) -> Range:
    """Between what a policy's actions lie, [A] each, as far as it knows."""
    if policy.actions is not None:
        return np.asarray(policy.actions.low), np.asarray(policy.actions.high)
    if policy.origin is not None and policy.origin.extent is not None:
        low, high = policy.origin.extent
        return np.asarray(low), np.asarray(high)
    shape = policy.horizon, policy.action_dim
    low, high = (np.broadcast_to(np.asarray(x), shape[0] * shape[1]).reshape(shape) for x in (policy.low, policy.high))
    return low.min(axis=0), high.max(axis=0)
