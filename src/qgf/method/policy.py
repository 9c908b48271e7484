"""Guided Euler sampling: from a velocity and a critic to actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError
from qgf.method.actions import ActionRange
from qgf.method.alone import alone, each
from qgf.method.checks import check_functions
from qgf.method.choosing import Fallback, best, fall_back, find_fallback, judge
from qgf.method.choosing import unguided as only_finite
from qgf.method.flow import STEPS
from qgf.method.guides import agreements, find
from qgf.method.harm import displacement, jerk, nats
from qgf.method.members import OTHERS, asked, check_way, members_of, way
from qgf.method.observations import ObsSpec, as_key, chunks, looked, one_of, padded, per_sample, read
from qgf.method.sampling import At, Grid, check_pace, denoise, finish, grid
from qgf.method.schedules import Schedule
from qgf.method.schedules import schedule as find_schedule
from qgf.method.shaping import Shaping, shaping_of
from qgf.method.strength import calibration_of, raw_weight, strength_counts
from qgf.types import Calibration, Estimator, Info, Members, StateValue, StateVelocity, Trace, ability


class Origin:
    """How trained networks are made again (their method and sizes), and the `extent` of the actions that they were
    trained on: carried along for whoever saves a policy, or plays it.

    All are equal: it is no part of a program, and policies that differ in it alone share their programs.
    """

    def __init__(self, method, spec, extent=None):
        self.method, self.spec, self.extent = method, spec, extent

    def __eq__(self, other):
        return isinstance(other, Origin)

    def __hash__(self):
        return 0


def _numbers(calibration: Calibration | None) -> Calibration | None:
    """As arrays, so that programs do not depend on their values; in double precision, as weights are computed."""
    number: Callable[[Any], Any] = lambda x: x if isinstance(x, jax.Array) else np.float64(x)
    if not calibration:
        return calibration
    others = {name: (number(x[0]), number(x[1])) for name, x in dict(calibration.others or {}).items()} or None
    sigmas = None if calibration.sigmas is None else number(calibration.sigmas)
    return Calibration(number(calibration.sigma), number(calibration.grad_norm), others, sigmas)


class Policy(eqx.Module):
    """A flow policy steered by a critic: policy(obs, key) -> actions, of one observation or a batch.

    Any pair of functions velocity(obs[S], a[d], t[]) -> [d] and critic(obs[S], a[d]) -> [] makes one (`guided_flow`);
    if they are pytrees (Equinox modules, `jax.tree_util.Partial`) their arrays are arguments of the compiled
    function, so that swapping parameters or weights compiles nothing.

    Velocity and critic know actions between `low` and `high`, and so do guidance, `trace` and `a0`. With `actions` they
    stand for its range: what a policy returns, and what `last` takes, is in the environment's units then (`outward`).
    """

    velocity: StateVelocity
    critic: StateValue
    weight: ArrayLike = eqx.field(converter=lambda w: jnp.asarray(w, float))
    low: ArrayLike = eqx.field(converter=jnp.asarray)
    high: ArrayLike = eqx.field(converter=jnp.asarray)
    action_dim: int = eqx.field(static=True)
    horizon: int = eqx.field(static=True, default=1)
    guide: str | Estimator = eqx.field(static=True, default="qgf")
    steps: int = eqx.field(static=True, default=STEPS)
    samples: int = eqx.field(static=True, default=1)
    calibration: Calibration | None = eqx.field(default=None, converter=_numbers)
    schedule: str | Schedule = eqx.field(static=True, default="constant")
    obs_spec: ObsSpec | None = eqx.field(static=True, default=None, converter=lambda s: s and ObsSpec.of(s))
    fallback: str | Fallback | None = eqx.field(static=True, default=None)
    origin: Origin | None = eqx.field(static=True, default=None)
    actions: ActionRange | None = None
    members: str | int | None = eqx.field(static=True, default=None)
    choose: str | int | None = eqx.field(static=True, default=None)
    shaping: Shaping | None = None
    solver: str = eqx.field(static=True, default="euler")
    guide_steps: int | None = eqx.field(static=True, default=None)
    save: ClassVar[Callable[..., None]]  # set by `training.saved`, which writes and reads files
    load: ClassVar[Callable[..., Policy]]

    def __post_init__(self):
        for name in ("steps", "samples", "horizon", "action_dim"):
            if not isinstance(n := getattr(self, name), (int, np.integer)):
                raise UserError(f"{name} must be a whole number, got {n!r}")
            if n < 1:
                raise UserError(f"{name} must be at least 1, got {n}")
        self.low = _bound("low", self.low, self.horizon, self.action_dim)
        self.high = _bound("high", self.high, self.horizon, self.action_dim)

    def __check_init__(self):
        find(self.guide)
        find_schedule(self.schedule)
        check_pace(self.solver, self.guide_steps)
        _ = self.guiding, self.choosing  # raise UserError for ways that are none
        if self.fallback is not None and getattr(find_fallback(self.fallback), "asks", False):
            check_way(OTHERS, self.members)
        if any(isinstance(x, jax.core.Tracer) for x in (self.weight, self.low, self.high)):
            return
        if np.shape(self.weight) != () or not np.isfinite(self.weight):
            raise UserError(f"weight must be one finite number, got {np.asarray(self.weight)}")
        low, high = np.broadcast_arrays(np.atleast_1d(self.low), self.high)
        for i in np.flatnonzero(~(low <= high)):
            raise UserError(f"low must not be above high, got {low[i]:g} and {high[i]:g}")

    def __call__(self, obs, key, info: bool = False, a0=None, t0: float = 0.0, last=None):
        """The actions [H, A] of one observation [S], or [B, H, A] of a batch [B, S]; compiled.

        A single observation is known as such by `obs_spec`; without one the first axis of every leaf is the batch.
        `key` is a JAX key, an integer, or one key per observation. With info=True returns (actions, `Info`).
        Batches are padded to powers of two, so that few programs are compiled; inside jax.jit they are not.

        `a0` [.., H, A] or [.., d] is where denoising starts, at time `t0`; by default a0 ~ N(0, I) at 0. Warm start
        from the last chunk, shifted by what has been executed: a0 = (1 - t0) noise + t0 inward(shifted).

        Raises UserError if obs, key or a0 do not fit, and if an action is not finite and nobody would know: with
        info=True `Info.finite` says so, and with a `fallback` the unguided action from the same noise takes its
        place or, where that is not finite either, `last` [.., H, A] (by default zeros), clipped to the action range.
        """
        obs, batch = read(obs, self.obs_spec)
        rows, n, key = dict(obs=obs) | self._chunks(a0, t0, last, batch), batch or 1, as_key(key, batch or 1)
        whole, rows = (dict(key=key), rows) if key.ndim == 0 else ({}, rows | dict(key=key))
        path = grid(self.steps, t0)
        actions, told = padded(lambda rows: _acted(self, rows | whole, path, info, batch is None), rows, n)
        if info:
            return actions, told
        if not self.fallback and not isinstance(told.finite, jax.core.Tracer):
            _refuse_what_is_not_finite(np.asarray(told.finite))
        return actions

    @property
    def guiding(self) -> StateValue:
        """The critic as guidance asks it."""
        return asked(self.critic, self.members)

    @property
    def choosing(self) -> StateValue:
        """The critic as it is asked for the best of several samples."""
        return asked(self.critic, self.choose, self.members)

    def _chunks(self, a0, t0, last, batch: int | None) -> dict[str, Any]:
        """The chunks that a call gives, one a row."""
        if a0 is None and t0 != 0:
            raise UserError(f"t0={t0} needs a0, the point at that time")
        if a0 is not None and self.samples > 1:
            raise UserError(f"a0 is where one sample starts, and this policy takes the best of {self.samples}")
        if last is not None and not self.fallback:
            raise UserError("last is what acts in need: give the policy fallback='unguided'")
        given = dict(a0=a0, last=last).items()
        return {k: chunks(x, k, batch, self.horizon, self.action_dim) for k, x in given if x is not None}

    def act(
        self, obs, key: Array, a0: Array | None = None, path: Grid | None = None, last: Array | None = None,
        whole: bool = False,
    ):  # fmt: skip
        """(actions[B, H, A], Info) of obs[B, S], to be compiled by the caller (op by op it takes seconds); see
        `__call__`. a0[B, d] at the first time of `path`; last[B, d]. The `whole` info costs an unguided action more.
        """
        check_functions(self.velocity, self.critic, one_of(obs), self.horizon, self.action_dim)
        keys = per_sample(key, len(jax.tree.leaves(obs)[0]))
        acting, obs = looked(self, obs)
        actions, info = acting._sampled(obs, keys, a0, path)
        if self.fallback is None:
            return self.outward(actions), acting._told(obs, actions, info, keys, path) if whole else info
        last = self.inward(jnp.zeros(actions.shape) if last is None else jnp.nan_to_num(last, nan=0.0))
        last = jnp.clip(last.reshape(len(actions), -1), self.low, self.high).reshape(actions.shape)
        doubt = find_fallback(self.fallback)
        if doubt is only_finite:
            plain = without_guidance(acting)
            found = fall_back(actions, info, lambda: plain._sampled(obs, keys, a0, path), acting.critic, obs, last)
        else:
            other, its, info = acting._beside(obs, actions, info, keys, path)
            others = asked(acting.critic, OTHERS, self.members) if getattr(doubt, "asks", False) else None
            found = judge(doubt, actions, info, other, its, acting.guiding, others, acting.critic, obs, last)
        actions, info = found
        return self.outward(actions), acting._told(obs, actions, info, keys, path) if whole else info

    def _beside(self, obs, actions: Array, info: Info, keys, path) -> tuple[Array, Info, Info]:
        """The unguided actions from the same noise, what is told of them, and how far the actions are from them."""
        plain = without_guidance(self)
        other, its = plain._denoise(obs, keys, info.a0, path)
        sigma = jnp.nan if self.calibration is None else self.calibration.sigma
        flat = lambda a: a.reshape(len(a), -1)
        away = jax.vmap(lambda a, b: displacement(a, b, sigma))(flat(actions), flat(other))
        return other, its, info._replace(displacement=away)

    def _told(self, obs, actions: Array, info: Info, keys, path) -> Info:
        """The info with all that costs something."""
        if self.guide == "none":
            info = info._replace(displacement=jnp.zeros(len(actions)))
        elif info.displacement is None:
            info = self._beside(obs, actions, info, keys, path)[2]
        if members := ability(self.critic, Members):
            info = info._replace(agreement=agreements(members, obs, actions.reshape(len(actions), -1)))
        return info

    def outward(self, a: Array) -> Array:
        """Chunks a[..., H, A] or [..., d], as velocity and critic know them, in the environment's units."""
        if self.actions is None:
            return a
        return self.actions.outward(a.reshape(*a.shape[:-1], -1, self.action_dim)).reshape(a.shape)

    def inward(self, a: Array) -> Array:
        """The inverse: what velocity and critic know for chunks a[..., H, A] or [..., d] in the environment's units."""
        if self.actions is None:
            return a
        return self.actions.inward(a.reshape(*a.shape[:-1], -1, self.action_dim)).reshape(a.shape)

    def _sampled(self, obs, keys, a0, path) -> tuple[Array, Info]:
        if self.samples == 1:
            return self._denoise(obs, keys, a0, path)
        return best(self._denoise, self.samples, self.choosing)(obs, keys)

    def _denoise(self, obs, key: Array, a0: Array | None = None, path: Grid | None = None) -> tuple[Array, Info]:
        keys = per_sample(key, len(jax.tree.leaves(obs)[0]))
        acting = alone(self) if len(keys) == 1 else self

        def one(o, key, a0):
            a0 = jax.random.normal(key, (self.horizon * self.action_dim,)) if a0 is None else a0
            steps = acting._path(o, a0, path)
            a = finish(At(acting.guiding, o), steps, self.guide, self.weight, self.low, self.high)
            pushed, drifted = (jnp.linalg.norm(x, axis=-1) for x in (steps.w[:, None] * steps.g, steps.v))
            ratio = jnp.mean(pushed / jnp.maximum(drifted, 1e-12))
            value, finite = self.critic(o, a), jnp.all(jnp.isfinite(a))
            rough = jerk(a.reshape(self.horizon, self.action_dim))
            discarded = (~(finite & jnp.isfinite(value))).astype(int)
            return a, Info(
                value, ratio, jnp.sum(steps.skipped), finite, discarded, a0, nats(steps), rough, ~finite & False
            )

        flat, info = each(one, len(keys))(obs, keys, a0)
        return flat.reshape(len(keys), self.horizon, self.action_dim), info

    def trace(self, obs, a0: Array, t0: float = 0.0) -> Trace:
        """The denoising path of one observation obs[S] from the noise a0[d], or from the point a0 at time t0."""
        acting, obs = looked(self, obs)
        return acting._path(obs, a0, grid(self.steps, t0))

    def _path(self, obs, a0: Array, path: Grid | None) -> Trace:
        v, q = At(self.velocity, obs), At(self.guiding, obs)
        how = (self.guide, self.weight, self.steps, self.low, self.high, self.schedule, path, self.shaping)
        return denoise(v, q, a0, *how, self.solver, self.guide_steps)

    def guided(
        self,
        guide: str | Estimator = "qgf",
        strength: float | None = None,
        weight: float | None = None,
        best_of: int | None = None,
        steps: int | None = None,
        schedule: str | Schedule = "constant",
        fallback: str | Fallback | None = None,
        members: str | int | None = None,
        choose: str | int | None = None,
        robust: bool = False,
        cap_step: float | None = None,
        cap_dim: float | None = None,
        solver: str | None = None,
        guide_steps: int | None = None,
        metric: str | None = None,
        guided_dims: Sequence[int] | None = None,
    ) -> Policy:
        """The same networks under another guide; best_of, steps, solver and fallback stay as they are if not given.
        Give `strength` (default 0.5) or the raw `weight`, not both.

        `solver`, `guide_steps`: how a step is taken, and how often the guide is asked on the way (`sampling.sample`).

        `cap_step`: guidance never adds more than so many |v| in a step; `cap_dim`: it pushes no number of an action by
        more than so many sigma_a. `fallback`: when to act without guidance (`method.choosing.FALLBACKS`).

        `metric`: "sigma" pushes each number of a chunk in proportion to its variance, g <- diag(sigma_i^2) g over their
        mean, in place of all alike. `guided_dims`: the numbers of an action that are guided, the others stay as cloned.

        `members`: how an ensemble is asked for guidance, "mean", "min", "lcb" (mean - std / 2) or one by its number;
        `choose`: likewise for best_of, or "others", the mean of those that do not guide. None: the critic's own.

        w = strength * sigma_a * sqrt(d) / E|g| with the policy's calibration, g of the critic that guides; `robust`
        takes the largest tenth of the norms for its least, so that a few steep states do not set the unit. Raises
        UserError if both are given, or if a strength is given and the policy was never calibrated so.
        """
        members, choose = way(members), way(choose)
        if taught := getattr(self.critic, "taught", None):
            guide, members = taught.in_force(guide, members)
        d, calibration = self.horizon * self.action_dim, self.calibration
        told = (metric, guided_dims, self.action_dim, self.horizon)
        shaping = shaping_of(guide, cap_step, cap_dim, calibration, *told)
        if (members is not None or robust or metric is not None) and strength_counts(guide, weight):
            calibration = calibration_of(self.calibration, members, robust, metric)
        weight = raw_weight(strength, weight, calibration, d, guide)
        if self.obs_spec is not None:
            members_of(self.critic, members, self.obs_spec.one, d)
            members_of(self.critic, choose, self.obs_spec.one, d)
        own = lambda x, mine: mine if x is None else x
        fields = dict(guide=guide, steps=own(steps, self.steps), samples=own(best_of, self.samples), schedule=schedule)
        fields |= dict(members=members, choose=choose, shaping=shaping)
        fields |= dict(solver=own(solver, self.solver), guide_steps=guide_steps)
        return with_fields(self, weight=jnp.asarray(weight, float), fallback=own(fallback, self.fallback), **fields)


def _bound(name: str, x, horizon: int, action_dim: int):
    """A bound as one number or [d]; per dimension [A] it holds for every action of the chunk."""
    d = horizon * action_dim
    if np.shape(x) in ((), (d,)):
        return x
    if np.shape(x) in ((action_dim,), (horizon, action_dim)):
        return jnp.broadcast_to(jnp.asarray(x), (horizon, action_dim)).reshape(d)
    wanted = f"a number, [{action_dim}], [{horizon}, {action_dim}] or [{d}]"
    raise UserError(f"{name} has shape {list(np.shape(x))}, expected {wanted}")


def _refuse_what_is_not_finite(finite: np.ndarray) -> None:
    if not finite.all():
        raise UserError(
            f"{finite.size - finite.sum()} of {finite.size} actions are not finite: NaN in the observation, the "
            "velocity or what the guide adds; info=True tells which, fallback='unguided' acts all the same"
        )


@eqx.filter_jit
def act_jit(policy: Policy, obs, key: Array) -> tuple[Array, Info]:
    """`policy.act`, compiled."""
    return policy.act(obs, key)


@eqx.filter_jit
def _acted(policy: Policy, rows: dict[str, Any], path: Grid | None, whole: bool, single: bool) -> tuple[Array, Info]:
    """`policy.act` of the rows, or of a single one; of the info only what is needed, unless the whole is asked for."""
    obs = jax.tree.map(lambda x: x[None], rows["obs"]) if single else rows["obs"]
    actions, info = policy.act(obs, rows["key"], rows.get("a0"), path, rows.get("last"), whole)
    info = info if whole else Info(None, None, None, info.finite, None)  # type: ignore[arg-type]
    return jax.tree.map(lambda x: x[0], (actions, info)) if single else (actions, info)


def with_fields(policy: Policy, **changes) -> Policy:
    """The policy with some fields replaced."""
    fields = {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}
    return type(policy)(**(fields | changes))


def without_guidance(policy: Policy, **changes) -> Policy:
    """The policy as it was cloned, nothing guides it or holds guidance back, and with these fields replaced."""
    plain = dict(guide="none", weight=0.0, schedule="constant", fallback=None, shaping=None, guide_steps=None)
    return with_fields(policy, **plain | changes)
