"""What a server asks of a policy, made of a policy of this library or of any object that is called like one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from qgf.deployment.options import Options
from qgf.errors import UserError
from qgf.method.observations import ObsSpec
from qgf.method.policy import Policy, with_fields

Acting = Callable[[Any, int, np.ndarray | None], np.ndarray]
"""act(obs[B, S], key, last[B, H, A] or None) -> actions[B, H, A]."""
PREFIX, STATE, LAST = "observation/", "state", "last_actions"
"""openpi's names of a request's parts, with the prefix or without, and ours for the rest of the last chunk."""


@dataclass(frozen=True)
class Served:
    """A policy, what it does when time runs out, and what it observes."""

    act: Acting
    unguided: Acting | None
    spec: ObsSpec
    about: dict[str, Any] = field(default_factory=dict)  # what clients are told of it

    def __post_init__(self):
        _ = self.names  # raises UserError for what no request can hold

    @property
    def names(self) -> list[str]:
        """What a request has to hold, in the order of the observation's parts."""
        structure = self.spec.structure
        if jax.tree_util.treedef_is_leaf(structure):
            return [STATE]
        example = jax.tree.unflatten(structure, range(len(self.spec.leaves)))
        if not isinstance(example, dict) or any(not isinstance(x, int) for x in example.values()):
            raise UserError("a served policy observes an array, or a dictionary of arrays")
        return sorted(example)

    def observed(self, request: Any) -> list[np.ndarray]:
        """The parts of a request's observation. Raises UserError, saying what is missing or does not fit."""
        if not isinstance(request, Mapping):
            raise UserError(f"the request is a {type(request).__name__}, expected a table with {PREFIX}{self.names[0]}")
        return [_part(request, name, leaf) for name, leaf in zip(self.names, self.spec.leaves, strict=True)]

    def stacked(self, observations: list[list[np.ndarray]], size: int) -> Any:
        """Observations as a batch of a size; the last is repeated."""
        rows = observations + observations[-1:] * (size - len(observations))
        return jax.tree.unflatten(self.spec.structure, [np.stack(parts) for parts in zip(*rows, strict=True)])

    def example(self) -> list[np.ndarray]:
        """An observation of zeros."""
        return [np.zeros(leaf.shape, leaf.dtype) for leaf in self.spec.leaves]


def _part(request: Mapping, name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    for key in (PREFIX + name, name):
        if key in request:
            return array(request[key], key, leaf.shape, leaf.dtype)
    there = ", ".join(sorted(str(key)[:30] for key in list(request)[:6])) or "nothing"
    raise UserError(f"the request lacks {PREFIX}{name}; it has {there}")


def array(x: Any, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """What a client sent as an array. Raises UserError for another shape, what is no number, and what is not finite."""
    if not isinstance(x, (np.ndarray, np.generic, list, int, float)):
        raise UserError(f"{name} is a {type(x).__name__}, expected an array {list(shape)}")
    try:
        found = np.asarray(x)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{name} is no array of numbers") from None
    if found.shape != tuple(shape):
        raise UserError(f"{name} has shape {list(found.shape)}, expected {list(shape)}")
    fits = np.can_cast(found.dtype, dtype, "same_kind" if np.issubdtype(dtype, np.floating) else "safe")
    if found.dtype.kind not in "biuf" or not fits:
        raise UserError(f"{name} has type {found.dtype}, expected {np.dtype(dtype).name}")
    with np.errstate(over="ignore"):
        found = found.astype(dtype)
    if not np.isfinite(found).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(found))), found.shape)
        raise UserError(f"{name} is not finite at {[int(i) for i in place]}")
    return found


def served(policy: Any, options: Options, obs_spec: Any = None, unguided: Any = None) -> Served:
    """What to serve of a policy: of a `qgf.Policy` itself, of any other object by its call,
    policy(obs[B, S], key) -> actions[B, H, A], with a whole number for a key and arrays of any library that NumPy can
    read; `obs_spec` then says what it observes (`ObsSpec.of`), `unguided`, called likewise, what acts when time is up.

    Raises UserError for what is missing.
    """
    if isinstance(policy, Policy):
        return _of_policy(policy, options, obs_spec)
    if obs_spec is None:
        raise UserError("say what the policy observes: obs_spec=28, or {'state': 7, 'image': (64, 64, 3)}")
    if options.warm_start is not None:
        raise UserError("only a qgf.Policy can start from the last chunk: leave warm_start out")
    if options.deadline is not None and unguided is None:
        raise UserError("a deadline needs unguided=, what acts when time runs out")
    plain = None if options.deadline is None else _called(unguided)
    return Served(_called(policy), plain, ObsSpec.of(obs_spec), dict(policy=type(policy).__name__))


def _called(policy: Any) -> Acting:
    return lambda obs, key, last: np.asarray(policy(obs, key))


def _of_policy(policy: Policy, options: Options, obs_spec: Any) -> Served:
    spec = policy.obs_spec if obs_spec is None else ObsSpec.of(obs_spec)
    if spec is None:
        raise UserError("the policy does not know what it observes: give it obs_spec=, or serve it with one")
    if options.warm_start is not None and policy.samples > 1:
        raise UserError(f"warm_start starts one sample, and this policy takes the best of {policy.samples}")
    policy = with_fields(policy, obs_spec=spec, fallback=policy.fallback or "unguided")
    plain = with_fields(policy, guide="none", weight=0.0, samples=1, fallback="unguided", shaping=None)
    about = dict(
        policy="qgf.Policy",
        guide=policy.guide if isinstance(policy.guide, str) else getattr(policy.guide, "__name__", "own"),
        weight=float(np.asarray(policy.weight)),
        horizon=policy.horizon,
        action_dim=policy.action_dim,
        warm_start=options.warm_start,
    )
    quick = None if options.deadline is None else _warm(plain, options.warm_start)
    return Served(_warm(policy, options.warm_start), quick, spec, about)


def _warm(policy: Policy, t0: float | None) -> Acting:
    """A policy that starts from the last chunk where it is given one, a0 = (1 - t0) noise + t0 inward(last)."""

    def act(obs, key, last):
        if last is None or t0 is None:
            return np.asarray(policy(obs, key))
        known, noise = np.asarray(policy.inward(last)), np.random.default_rng(key).standard_normal(last.shape)
        return np.asarray(policy(obs, key, a0=((1 - t0) * noise + t0 * known).astype(np.float32), t0=t0))

    return act
