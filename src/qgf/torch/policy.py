"""Policies of anybody's torch networks, and what can be done with any policy: calibrate it, best of several, refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.torch.actions import ActionRange
from qgf.torch.choosing import best, find_fallback, judge, replaced
from qgf.torch.choosing import unguided as only_finite
from qgf.torch.flow import STEPS, clip
from qgf.torch.guidance import grad, norm
from qgf.torch.guides import find
from qgf.torch.harm import METRICS, Shaping, displacement, jerk, metric_of, nats, shaping_of
from qgf.torch.members import OTHERS, asked, calibration_of
from qgf.torch.observations import leaves, mapped, own, plain, repeated, rows_of
from qgf.torch.sampling import At, check_pace, climb, denoise, finish
from qgf.torch.schedules import schedule as find_schedule
from qgf.torch.strength import raw_weight
from qgf.types import Calibration, Info, Trace


@dataclass(frozen=True)
class Policy:
    """A flow policy steered by a critic: policy(obs) -> actions, of one observation or a batch.

    Any pair of functions velocity(obs[B, S], a[B, d], t[]) -> [B, d] and critic(obs[B, S], a[B, d]) -> [B] makes one
    (`guided_flow`); obs may be any dict, list or tuple of tensors, too. Velocity and critic know actions between `low`
    and `high`, and so do guidance, `trace` and `a0`. With `actions` they stand for its range: what a policy returns is
    in the environment's units then.
    """

    velocity: Callable[..., Tensor]
    critic: Callable[..., Tensor]
    action_dim: int
    horizon: int = 1
    weight: float = 0.0
    low: Any = -1.0
    high: Any = 1.0
    guide: Any = "qgf"
    steps: int = STEPS
    samples: int = 1
    calibration: Calibration | None = None
    schedule: Any = "constant"
    actions: ActionRange | None = None
    obs_dim: int | None = None  # of trained networks: a single observation is known by it
    members: str | int | None = None
    choose: str | int | None = None
    solver: str = "euler"
    guide_steps: int | None = None
    fallback: Any = None
    shaping: Shaping | None = None

    def __post_init__(self):
        for name in ("steps", "samples", "horizon", "action_dim"):
            if not isinstance(n := getattr(self, name), int) or n < 1:
                raise UserError(f"{name} must be a whole number from 1 on, got {n!r}")
        find(self.guide)
        find_schedule(self.schedule)
        check_pace(self.solver, self.guide_steps)
        _ = self.guiding, self.choosing  # raise UserError for ways that are none
        if self.fallback is not None and getattr(find_fallback(self.fallback), "asks", False):
            asked(self.critic, OTHERS, self.members)

    def __call__(self, obs, a0=None, generator=None, info: bool = False, t0: float = 0.0, last=None):
        """The actions [H, A] of one observation [S], or [B, H, A] of a batch [B, S]; with info=True (actions, `Info`).

        `a0` [B, H, A] or [B, d] is where denoising starts, at time `t0`; by default a0 ~ N(0, I) at 0, drawn with the
        `generator`. Of functions that say nothing of their observations the first axis is always the batch.

        Raises UserError if obs or a0 do not fit, and unless info=True for actions that are not finite; with a
        `fallback` the unguided action from the same noise acts there or, where that is not finite either, `last`
        [B, H, A] (by default zeros), clipped to the action range.
        """
        if last is not None and self.fallback is None:
            raise UserError("last is what acts in need: give the policy fallback='unguided'")
        with plain():
            obs, single = self._observations(obs)
            actions, told = self.act(obs, self._start(obs, a0, t0), generator, t0, last)
        if not info and self.fallback is None and not bool(told.finite.all()):
            bad = int((~told.finite).sum())
            raise UserError(
                f"{bad} of {len(actions)} actions are not finite: NaN in the observation, the velocity or what the "
                "guide adds; info=True tells which"
            )
        if single:
            actions, told = actions[0], rows_of(told, 0)
        return (actions, told) if info else actions

    @property
    def guiding(self):
        """The critic as guidance asks it."""
        return asked(self.critic, self.members)

    @property
    def choosing(self):
        """The critic as it is asked for the best of several samples."""
        return asked(self.critic, self.choose, self.members)

    def act(self, obs, a0: Tensor | None = None, generator=None, t0: float = 0.0, last=None) -> tuple[Tensor, Info]:
        """(actions[B, H, A], Info) of obs[B, S]: `__call__` without its checks, for `torch.compile`."""
        a0 = self._noise(obs, generator) if a0 is None else a0
        actions, info = self._sampled(obs, a0, t0)
        if self.fallback is not None:
            actions, info = self._safe(obs, a0, t0, actions, info, last)
        return self.outward(actions), info

    def _sampled(self, obs, a0: Tensor, t0: float) -> tuple[Tensor, Info]:
        denoised = lambda obs: self._denoise(obs, a0, t0)
        return denoised(obs) if self.samples == 1 else best(denoised, self.samples, self.choosing)(obs)

    def _safe(self, obs, a0: Tensor, t0: float, actions: Tensor, info: Info, last) -> tuple[Tensor, Info]:
        """The actions, but unguided ones of the same noise where the fallback says so, as in JAX's `Policy.act`."""
        wanted = torch.zeros_like(actions) if last is None else torch.nan_to_num(torch.as_tensor(last).to(actions))
        known = (wanted if self.actions is None else self.actions.inward(wanted)).reshape(len(actions), -1)
        last = clip(known, self.low, self.high).reshape(actions.shape)
        unguided = replace(
            self, guide="none", weight=0.0, schedule="constant", fallback=None, shaping=None, guide_steps=None
        )
        doubt = find_fallback(self.fallback)
        if doubt is only_finite:
            if bool(info.finite.all()):
                return actions, info
            other = unguided._sampled(obs, a0, t0)
            return replaced(actions, info._replace(fell_back=~info.finite), *other, self.critic, obs, last)
        other, its = unguided._denoise(obs, torch.as_tensor(info.a0), t0)
        sigma = torch.nan if self.calibration is None else self.calibration.sigma
        info = info._replace(displacement=displacement(actions.flatten(1), other.flatten(1), sigma))
        others = asked(self.critic, OTHERS, self.members) if getattr(doubt, "asks", False) else None
        return judge(doubt, actions, info, other, its, self.guiding, others, self.critic, obs, last)

    def trace(self, obs, a0: Tensor, t0: float = 0.0) -> Trace:
        """The denoising paths of obs[B, S] from the noise a0[B, d], or from the points a0 at time t0."""
        v, q = At(self.velocity, obs), At(self.guiding, obs)
        with torch.no_grad():
            how = (self.guide, self.weight, self.steps, self.low, self.high, self.schedule, t0)
            return denoise(v, q, a0, *how, self.solver, self.guide_steps, self.shaping)

    def outward(self, a: Tensor) -> Tensor:
        """Chunks a[..., H, A], as velocity and critic know them, in the environment's units."""
        return a if self.actions is None else self.actions.outward(a)

    def guided(
        self,
        guide="qgf",
        strength: float | None = None,
        weight: float | None = None,
        best_of: int | None = None,
        steps: int | None = None,
        schedule="constant",
        members: str | int | None = None,
        choose: str | int | None = None,
        robust: bool = False,
        solver: str | None = None,
        guide_steps: int | None = None,
        fallback=None,
        cap_step: float | None = None,
        cap_dim: float | None = None,
        metric: str | None = None,
        guided_dims: Sequence[int] | None = None,
    ) -> Policy:
        """The same networks under another guide; best_of, steps, solver and fallback stay as they are if not given.
        Give `strength` (default 0.5) or the raw `weight`, not both. The rest as in JAX's `Policy.guided`.

        Raises UserError if both are given, or if a strength is given and the policy was never calibrated so.
        """
        if taught := getattr(self.critic, "taught", None):
            guide, members = taught.in_force(guide, members)
        calibration, told = self.calibration, (metric, guided_dims, self.action_dim, self.horizon)
        shaping = shaping_of(guide, cap_step, cap_dim, calibration, *told)
        if weight is None and guide != "none" and not getattr(find(guide), "scale_free", False):
            calibration = calibration_of(calibration, members, robust, metric)
        weight = raw_weight(strength, weight, calibration, self.horizon * self.action_dim, guide)
        own = lambda x, mine: mine if x is None else x
        fields = dict(steps=own(steps, self.steps), samples=own(best_of, self.samples), schedule=schedule)
        fields |= dict(solver=own(solver, self.solver), guide_steps=guide_steps)
        fields |= dict(fallback=own(fallback, self.fallback))
        fields |= dict(shaping=shaping)
        return replace(self, guide=guide, weight=weight, members=members, choose=choose, **fields)

    def to(self, *args) -> Policy:
        """The policy with its networks and its range elsewhere, or in another precision: as `torch.nn.Module.to`."""
        moved = lambda x: x.to(*args) if hasattr(x, "to") else x
        parts = ("velocity", "critic", "low", "high", "actions")
        return replace(self, **{name: moved(getattr(self, name)) for name in parts})

    def _noise(self, obs, generator) -> Tensor:
        """Where the samples of a batch start, [B * samples, d]."""
        like = next(leaves(obs))
        dtype = like.dtype if like.is_floating_point() else torch.get_default_dtype()
        rows = len(like) * self.samples
        return torch.randn((rows, self.horizon * self.action_dim), generator=generator, dtype=dtype, device=like.device)

    def _denoise(self, obs, a0: Tensor, t0: float) -> tuple[Tensor, Info]:
        path: Any = self.trace(obs, a0, t0)
        a = finish(At(self.guiding, obs), path, self.guide, self.weight, self.low, self.high)
        pushed, drifted = (torch.linalg.vector_norm(x, dim=-1) for x in (path.w[:, None] * path.g, path.v))
        ratio = torch.mean(pushed / torch.clamp(drifted, min=1e-12), dim=1)
        value, finite = self.critic(obs, a), torch.isfinite(a).all(dim=1)
        chunks, lost = a.reshape(-1, self.horizon, self.action_dim), (~(finite & torch.isfinite(value))).long()
        skipped, fell = path.skipped.sum(dim=1), torch.zeros_like(finite)
        return chunks, Info(value, ratio, skipped, finite, lost, a0, nats(path), jerk(chunks), fell)

    def _observations(self, obs) -> tuple[Any, bool]:
        """A batch of them, and whether a single one was given."""
        if self.obs_dim is None:
            return mapped(lambda x: own(torch.as_tensor(x)), obs), False
        scale = next(iter(self.velocity.parameters()))  # type: ignore[attr-defined]
        obs = own(torch.as_tensor(obs, dtype=scale.dtype, device=scale.device))
        if obs.shape[-1:] != (self.obs_dim,) or obs.ndim > 2:
            raise UserError(f"obs has shape {list(obs.shape)}, expected [{self.obs_dim}] or [B, {self.obs_dim}]")
        return (obs[None], True) if obs.ndim == 1 else (obs, False)

    def _start(self, obs, a0, t0: float) -> Tensor | None:
        if a0 is None:
            if t0 != 0:
                raise UserError(f"t0={t0} needs a0, the point at that time")
            return None
        if self.samples > 1:
            raise UserError(f"a0 is where one sample starts, and this policy takes the best of {self.samples}")
        like, d = next(leaves(obs)), self.horizon * self.action_dim
        a0 = own(torch.as_tensor(a0, device=like.device))
        if a0.numel() != len(like) * d:
            raise UserError(f"a0 has shape {list(a0.shape)}, expected [{len(like)}, {self.horizon}, {self.action_dim}]")
        return a0.reshape(len(like), d).to(like.dtype if like.is_floating_point() else a0.dtype)


def guided_flow(
    velocity: Callable[..., Tensor],
    critic: Callable[..., Tensor],
    action_dim: int,
    guide="qgf",
    weight: float | None = None,
    strength: float | None = None,
    steps: int = STEPS,
    best_of: int = 1,
    horizon: int = 1,
    low=-1.0,
    high=1.0,
    calibration: Calibration | None = None,
    schedule="constant",
) -> Policy:
    """Guide anybody's flow with anybody's critic: two functions of a batch are enough, see `Policy`.

    Give the raw `weight`, or a `strength` with a `calibration` (see `calibrate`). `low`, `high`: numbers or [d].
    """
    weight = raw_weight(strength, weight, calibration, horizon * action_dim, guide)
    return Policy(
        velocity, critic, action_dim, horizon, weight, low, high, guide, steps, best_of, calibration, schedule
    )


def calibrate(policy: Policy, observations, generator=None, actions: int = 32, guide: bool = False) -> Policy:
    """The policy with its strength scale measured over `observations` [N, S] (a few hundred of the data).

    sigma_a is the mean over states and dimensions of the standard deviation of `actions` unguided samples, and
    E|g| the mean norm of grad Q at those samples, the critic asked its own way; with `guide` that of the policy's own
    guide, an estimator of yours included, over the steps of unguided paths.
    """
    with plain():
        obs, single = policy._observations(observations)
        if single:
            raise UserError("calibrate takes a batch of observations [N, S], got one")
        many = repeated(obs, actions)
        alone = replace(
            policy, guide="none", members=None, choose=None, guide_steps=None, samples=1, fallback=None, shaping=None
        )
        a0 = alone._noise(many, generator)
        a = alone._denoise(many, a0, 0.0)[0].flatten(1)
        spread = torch.std(a.reshape(-1, actions, a.shape[1]), dim=1, correction=0).mean(dim=0).double()
        if guide:
            straight = replace(policy, samples=1, weight=0.0, schedule="constant", fallback=None, shaping=None)
            slope = torch.linalg.vector_norm(torch.as_tensor(straight.trace(many, a0).g), dim=-1).mean()
            others = None
        else:
            g = grad(At(policy.critic, many))(a)
            slope = norm(g).mean()
            others = {f"own {name}": _norms(metric_of(spread).to(g) * g) for name in METRICS}
    scales = Calibration(float(spread.mean()), float(slope), others, tuple(spread.tolist()))
    return replace(policy, calibration=scales)


def _norms(g: Tensor) -> tuple[float, float]:
    """The mean norm of g[B, d], and the robust one (JAX's `members.robust_mean`)."""
    norms = norm(g).flatten()
    return float(norms.mean()), float(torch.clamp(norms, max=torch.quantile(norms, 0.9)).mean())


def best_of(policy, n: int, critic=None):
    """Sample n actions per observation and keep the one the critic values highest, never one that is not finite.

    `policy` is a `Policy`, or any act(obs[B, S]) -> (actions[B, H, A], Info) together with its `critic`; what else is
    given, such as a generator, is given on.
    """
    act, critic, outward = _parts(policy, critic)
    chosen = best(act, n, critic)

    def acting(obs, **more):
        with plain():
            actions, info = chosen(mapped(own, obs), **more)
            return outward(actions), info

    return acting


def refine(policy, steps: int, step_size: float, critic=None, low=-1.0, high=1.0):
    """Climb Q from the finished action, a <- clip(a + step_size grad Q(a), low, high), `steps` times (GradStep).

    Around any act function; the guide "gradstep" is the same climb, at the end of a policy's own path.
    """
    act, critic, outward = _parts(policy, critic)

    def refined(obs, **more):
        with plain():
            obs = mapped(own, obs)
            actions, info = act(obs, **more)
            flat = climb(At(critic, obs), actions.flatten(1), steps, step_size, low, high)
            told = info._replace(value=critic(obs, flat), finite=torch.isfinite(flat).all(dim=1))
            return outward(flat.reshape(actions.shape)), told

    return refined


def _parts(policy, critic):
    """What acts, in the critic's units, the critic, and what makes actions of the environment's of it."""
    if isinstance(policy, Policy):
        return replace(policy, actions=None).act, critic or policy.critic, policy.outward
    if critic is None:
        raise UserError("a plain act function has no critic of its own: pass critic=")
    return policy, critic, lambda a: a
