"""guide(policy, critic): a LeRobot flow policy steered by a critic; unguide(policy): as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.lerobot.batches import own_batch
from qgf.lerobot.best import choosing
from qgf.lerobot.calibrating import Store, measured
from qgf.lerobot.critics import learned
from qgf.lerobot.log import Log
from qgf.lerobot.policies import Shape, check_guide, shape_of
from qgf.lerobot.prefix import telling
from qgf.lerobot.seams import Seam, Undo, put, seam_of
from qgf.torch.flow import Flow, clean, clip
from qgf.torch.guidance import grad, norm, per_row
from qgf.torch.guides import agreement, find
from qgf.torch.harm import Shaping, shaped, shaping_of
from qgf.torch.members import asked
from qgf.torch.observations import plain
from qgf.torch.sampling import check_pace, turns
from qgf.torch.schedules import schedule as find_schedule
from qgf.torch.strength import raw_weight
from qgf.types import Calibration, Members, ability


class Q:
    """q(a[B, T, W]) -> [B] of the executed actions of chunks, and what the critic can do besides (`types.ability`).

    The critic is asked in single precision, whatever the policy is cast to.
    """

    def __init__(self, f, batch: Any, rows: slice, dims: int):
        self.inner, self.batch, self.rows, self.dims = f, batch, rows, dims

    def __call__(self, a: Tensor, *rest) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return self.inner(self.batch, a[:, self.rows, : self.dims].float(), *rest)

    def around(self, f) -> Q:
        return Q(f, self.batch, self.rows, self.dims)


@dataclass
class Guidance:
    """How a policy is guided, and what has happened since: `policy.guidance`."""

    critic: Callable[[Any, Tensor], Tensor]  # as it guides
    choose: Callable[[Any, Tensor], Tensor]  # as it chooses among `best_of`
    guide: Any
    weight: float | None  # None until a strength is calibrated
    strength: float | None
    best_of: int
    schedule: Callable[[Tensor], Tensor]
    low: Tensor
    high: Tensor
    shape: Shape
    seam: Seam
    store: Store
    solver: str = "euler"
    guide_steps: int | None = None
    shaping: Shaping | None = None
    log: Log = field(default_factory=Log)  # `policy.guidance_log`
    batch: Any = None  # that the policy is asked with
    chunk: Any = None  # the executed actions of the last chunk, [B, H, A] in the policy's units
    last: Tensor | None = None  # the direction asked for last, kept where the guide is asked at fewer steps
    notes: list[tuple] = field(default_factory=list)
    undo: list[Undo] = field(default_factory=list)

    def q(self, critic=None, rows: slice | None = None) -> Q:
        """Of chunks in the sampler, or of `rows` of those that leave it."""
        rows = self.shape.executed if rows is None else rows
        return Q(self.critic if critic is None else critic, self.batch, rows, self.shape.dims)

    def step(self, here: Tensor, velocity, a: Tensor, t: Tensor) -> Tensor:
        """What moves the chunks from a[B, T, W] and t[B, 1 or T, 1] in the paper's sense of time to the next time, by
        default v + w g, `here` = v(a, t).
        """
        if not self.weight:
            return here
        steps = self.shape.steps
        left = min(max(math.ceil((1 - float(t.max())) * steps - 1e-3), 1), steps)
        now = turns(steps, self.solver, steps, self.guide_steps)[steps - left]
        move, note = self._field(here, velocity, a, t, left, now[0])
        if self.solver == "midpoint":
            a, t = a + 0.5 / steps * move, t + 0.5 / steps
            move, note = self._field(velocity(a, t), velocity, a, t, left, now[1])
        self.notes.append(note)
        return move

    def _field(self, here: Tensor, velocity, a: Tensor, t: Tensor, left: int, now: bool) -> tuple[Tensor, tuple]:
        """v + w g with the direction asked for now, else with the last one, and what the log is told of it."""
        flow = Flow(velocity, self.shape.steps, self.low, self.high, at=(a, t), left=left, here=here)
        skipped = torch.zeros(len(a), dtype=torch.bool, device=a.device)
        if now or self.last is None or self.last.shape != a.shape:
            g = self._confined(find(self.guide)(flow, self.q(), a, t)).to(here.dtype)
            finite = torch.isfinite(g).flatten(1).all(dim=1)
            self.last, skipped = torch.where(per_row(finite, g), g, 0), ~finite
        w = self.weight * self.schedule(t)  # type: ignore[operator]
        push = w * (self.last if self.shaping is None else shaped(self.last, w, here, self.shaping))
        ratio = (norm(push) / norm(here).clamp(min=1e-12)).mean()
        return here + push.to(here.dtype), (ratio, skipped.sum(), flow, a, t)

    def _confined(self, g: Tensor) -> Tensor:
        """A placebo's direction among those that a critic can give: of what is executed, without padding, as long."""
        if not getattr(find(self.guide), "blind", False):
            return g
        inside = torch.zeros_like(g)
        inside[:, self.shape.executed, : self.shape.dims] = g[:, self.shape.executed, : self.shape.dims]
        return inside * norm(g) / norm(inside).clamp(min=1e-30)

    def within(self, chunks: Tensor) -> Tensor:
        """Guided chunks [B, T, W] that leave the sampler, clipped to the range as those of `qgf.torch.sample` are."""
        if not self.weight:
            return chunks
        width = chunks.shape[-1]
        return clip(chunks, self.low[:width], self.high[:width])

    def note(self) -> None:
        """A row of the log for the chunk that was denoised, if one was."""
        if not self.notes:
            return
        ratios, skipped, flows, points, times = zip(*self.notes, strict=True)
        self.notes = []
        a1_hat, q = clean(flows[-1], points[-1], times[-1]), self.q()
        members, agree = ability(q, Members), math.nan
        if members is not None and (m := members(a1_hat).shape[-1]) > 1:
            each = torch.stack([grad(lambda x, i=i: members(x)[:, i])(a1_hat) for i in range(m)])
            agree = float(agreement(each).mean())
        self.log.append(
            dict(
                chunk=len(self.log), steps=len(ratios), ratio=float(torch.stack(ratios).mean()),
                value=float(q(a1_hat).mean()), agreement=agree, skipped=int(torch.stack(skipped).sum()),
            )
        )  # fmt: skip


def guide(
    policy,
    critic: str | Path | Callable[[Any, Tensor], Tensor],
    strength: float | None = None,
    weight: float | None = None,
    guide: Any = "qgf",
    best_of: int = 1,
    schedule: Any = "constant",
    members: str | int | None = None,
    choose: str | int | None = None,
    preprocessor: Any = None,
    observations: Sequence[str] | None = None,
    calibration: Calibration | str | Path | None = None,
    solver: str = "euler",
    guide_steps: int | None = None,
    cap_step: float | None = None,
    cap_dim: float | None = None,
    guided_dims: Sequence[int] | None = None,
    low: Any = None,
    high: Any = None,
    action_dim: int | None = None,
    executed: int | None = None,
):
    """The same policy, whose chunks follow `critic` from now on; guided anew if it was guided.

    `critic` is a run of `qgf train`, or a function critic(batch, a[B, H, A]) -> [B] that sees the batch that the policy
    is asked with, and those actions of a clean chunk that are executed, in the policy's own normalised units, without
    padding. Give the raw `weight`, or a `strength` (default 0.5), whose scale is measured once (`calibrate`); where it
    was not, at the first observations that the policy is asked with.

    `preprocessor`: the policy's own, or its folder, for the units in which a run's critic knows actions and states; by
    default the folder that the policy was loaded from. `observations`: the batch's columns that this critic sees, in
    their order. `low`, `high`: the data's range in the policy's units, [A] or numbers, to which one-step estimates and
    guided chunks are clipped; a run knows it. `calibration`: the scales, or the file that has them, if it is not beside
    the policy. `members`, `choose`, `schedule`, `solver`, `guide_steps`, `cap_step`, `cap_dim`,
    `guided_dims`: as in `qgf.torch`.
    `action_dim`, `executed`: see `shape_of`.

    Raises UserError for a policy that cannot be guided, and for a critic of other chunks.
    """
    unguide(policy)
    shape, seam = shape_of(policy, action_dim, executed), seam_of(policy)
    check_guide(guide)
    check_pace(solver, guide_steps)
    if not isinstance(best_of, int) or best_of < 1:
        raise UserError(f"best_of must be a whole number from 1 on, got {best_of!r}")
    if isinstance(critic, (str, Path)):
        critic = learned(critic, policy, shape, preprocessor, observations)
        with plain():
            least, most = critic.range(shape)
        low, high = least if low is None else low, most if high is None else high
    store = Store.of(policy, critic, shape, calibration)
    if guide == "none" and weight is None:
        strength = 0.0
    fixed = weight is not None or store.scales is not None or strength == 0
    w = raw_weight(strength, weight, store.scales, shape.dims * shape.count, guide) if fixed else None
    with plain():  # or the range would be of inference mode, if this is
        low, high = _padded(low, shape, -math.inf), _padded(high, shape, math.inf)
    shaping = shaping_of(guide, cap_step, cap_dim, store.scales, None, guided_dims, shape.dims)
    if shaping is not None and shaping.metric is not None:
        shaping = shaping._replace(metric=_padded(shaping.metric, shape, 0.0))
    made = Guidance(
        asked(critic, members), asked(critic, choose, members), guide, w, strength, best_of, find_schedule(schedule),
        low, high, shape, seam, store, solver=solver, guide_steps=guide_steps, shaping=shaping,
    )  # fmt: skip
    made.undo.append(seam.enter(made.step))
    made.undo += telling(seam, made) + choosing(seam, made)
    made.undo += [_acting(policy, name, made) for name in seam.asked if hasattr(policy, name)]
    policy.guidance, policy.guidance_log = made, made.log
    return policy


def unguide(policy):
    """The policy as it was before `guide`."""
    if "guidance" in vars(policy):
        for undo in reversed(policy.guidance.undo):
            undo()
        del policy.guidance, policy.guidance_log
    return policy


def _acting(policy, name: str, made: Guidance) -> Undo:
    """lerobot-eval and lerobot-rollout ask policies in inference mode, where nothing can be differentiated."""
    method = getattr(policy, name)

    def acting(*args, **kwargs):
        with plain():
            args, kwargs = own_batch(args), own_batch(kwargs)
            seen = next(x for x in (*args, *kwargs.values()) if isinstance(x, dict) or hasattr(x, "state"))
            if made.weight is None:
                measured(policy, made, [seen])
            made.batch = dict(seen) if isinstance(seen, dict) else seen  # the policy may write into its own
            made.notes, made.last = [], None
            result = method(*args, **kwargs)
            made.note()
            if name == made.seam.asked[-1]:
                result = made.within(result) if made.seam.sampler is None else result
                made.chunk = result[:, : made.shape.count, : made.shape.dims].float()
            return result

    return put(policy, name, acting)


def _padded(x, shape: Shape, end: float) -> Tensor:
    """An end of the range, [W], open where actions are padded."""
    whole = torch.full((shape.width,), end)
    if x is not None:
        whole[: shape.dims] = torch.as_tensor(x, dtype=whole.dtype)
    return whole
