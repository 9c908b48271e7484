"""Guided sampling: a batch of actions, from noise to their end. The mirror of `qgf.method.sampling`."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qgf.errors import UserError, unknown
from qgf.torch.flow import STEPS, Flow, clean, clip
from qgf.torch.guidance import grad, per_row
from qgf.torch.guides import find, need
from qgf.torch.harm import Shaping, shaped
from qgf.torch.schedules import schedule as find_schedule
from qgf.types import Trace


class At:
    """f at the states of a batch, At(f, obs)(x) = f(obs, x), and what it can do besides (`types.ability`) there."""

    def __init__(self, f, obs):
        self.inner, self.obs = f, obs

    def __call__(self, *args):
        return self.inner(self.obs, *args)

    def around(self, f) -> At:
        return At(f, self.obs)


class Grid(NamedTuple):
    """The Euler steps of a path."""

    starts: list[float]  # [n] t_0, then the grid's own points k / T behind it
    lengths: list[float]  # [n]


def grid(steps: int, t0: float = 0.0) -> Grid:
    """From t0 to the next of the points k / T, then from point to point.

    A t0 less than a thousandth of a step before a point counts as being there. Raises UserError unless 0 <= t0 < 1.
    """
    if not isinstance(steps, int) or steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    if not 0 <= t0 < 1:
        raise UserError(f"t0 must lie in [0, 1), where 0 is noise and 1 an action; got {t0}")
    n = max(math.ceil((1 - t0) * steps - 1e-3), 1)
    starts = [t0, *(k / steps for k in range(steps - n + 1, steps))]
    return Grid(starts, [end - start for start, end in zip(starts, [*starts[1:], 1.0], strict=True)])


SOLVERS = dict(euler=1, midpoint=2)
"""Ways to take a step, and how often each asks for the velocity."""


def check_pace(solver: str, guide_steps: int | None) -> None:
    """Raises UserError for a solver that is none, and unless guide_steps is a whole number from 1 on, or None."""
    if solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS)
    if guide_steps is not None and not (isinstance(guide_steps, int) and guide_steps >= 1):
        raise UserError(f"guide_steps must be a whole number from 1 on, got {guide_steps!r}")


def turns(points: int, solver: str, steps: int, guide_steps: int | None) -> list[list[bool]]:
    """At which of the points where a path asks for the velocity it asks the guide, too, [points, per step]: evenly
    spread, the first among them, `guide_steps` of a whole path's `steps`; by default at all.
    """
    each = SOLVERS[solver]
    share = min(guide_steps or steps * each, steps * each)
    asked = [k * share // (steps * each) for k in range(-1, points * each)]
    new = [b > a for a, b in pairwise(asked)]
    return [new[k * each : (k + 1) * each] for k in range(points)]


def sample(
    v,
    q,
    a0: Tensor,
    guide="qgf",
    weight: float | Tensor = 0.05,
    steps: int = STEPS,
    low=-1.0,
    high=1.0,
    schedule="constant",
    trace: bool = False,
    t0: float = 0.0,
    solver: str = "euler",
    guide_steps: int | None = None,
    shaping: Shaping | None = None,
) -> Tensor | Trace:
    """Denoise actions with guidance (paper, algorithm 1): a <- a + (v(a, t) + w g) / T, t = 0, 1/T, ..., 1 - 1/T.

    v(a[B, d], t[]) -> [B, d], q(a[B, d]) -> [B], a0[B, d] ~ N(0, I). Returns clip(a_T, low, high), [B, d], or the whole
    `Trace`, with an axis for the batch in front of every array but t and w. A direction that is not finite leaves its
    row's step unguided. With `t0` the path starts at that time, from the points a0 = a_t0. `solver`,
    `guide_steps` and `shaping` as in JAX's `sample`.
    """
    path = denoise(v, q, a0, guide, weight, steps, low, high, schedule, t0, solver, guide_steps, shaping)
    return path if trace else finish(q, path, guide, weight, low, high)


def denoise(
    v, q, a0: Tensor, guide, weight, steps: int, low, high, schedule="constant", t0: float = 0.0, solver="euler",
    guide_steps: int | None = None, shaping: Shaping | None = None,
) -> Trace:  # fmt: skip
    """The path of `sample`."""
    check_pace(solver, guide_steps)
    ask, factor = find(guide), find_schedule(schedule)
    v = need(v, ask.reference) if hasattr(ask, "reference") else v
    a, path, last = a0, grid(steps, t0), torch.zeros_like(a0)

    def direction(flow, a, t):
        g = ask(flow, q, a, t)
        if g.shape != a.shape:
            name = getattr(ask, "__name__", ask)
            raise UserError(f"guide {name} returns {list(g.shape)}, expected directions {list(a.shape)}")
        finite = torch.isfinite(g).flatten(1).all(dim=1)
        return torch.where(per_row(finite, g), g, 0), ~finite

    def field(a, time, left, last, now):
        """What moves the actions, the directions asked for now, else the `last`, and what the trace tells of them."""
        t = torch.full((), time, dtype=a.dtype, device=a.device)
        flow = Flow(v, steps, low, high, at=(a, t), left=left)
        g, skipped = direction(flow, a, t) if now else (last, torch.zeros(len(a), dtype=torch.bool, device=a.device))
        drift, w = flow(a, t), weight * factor(t)
        cut = g if shaping is None else shaped(g, w, drift, shaping)
        return drift + w * cut, g, t, (drift, clean(flow, a, t), cut, skipped, w)

    rows: list[Any] = []
    now = turns(len(path.starts), solver, steps, guide_steps)
    for k, (start, length) in enumerate(zip(*path, strict=True)):
        left = len(path.starts) - k
        move, last, t, told = field(a, start, left, last, now[k][0])
        if solver == "midpoint":
            move, last, _, told = field(a + length / 2 * move, start + length / 2, left, last, now[k][1])
        rows.append(Trace(t, a, *told))
        a = a + move * length
    steps_of: Any = Trace._make(zip(*rows, strict=True))
    along = {name: torch.stack(getattr(steps_of, name), dim=1) for name in ("v", "a1_hat", "g", "skipped")}
    points = torch.stack([*steps_of.a, a], dim=1)
    return Trace(t=torch.stack(steps_of.t), a=points, w=torch.stack(steps_of.w), **along)


def finish(q, path: Trace, guide, weight, low, high) -> Tensor:
    """The actions at the end of paths, clip(a_T), after the gradient steps of a guide that takes its own then."""
    a, k = clip(path.a[:, -1], low, high), getattr(find(guide), "climbs", 0)
    return climb(q, a, k, weight / k, low, high) if k else a


def climb(q, a: Tensor, steps: int, step_size, low, high) -> Tensor:
    """`steps` times a <- clip(a + step_size grad Q(a), low, high); a gradient that is not finite is no step."""
    for _ in range(steps):
        g = grad(q)(a)
        a = clip(a + step_size * torch.where(per_row(torch.isfinite(g).flatten(1).all(dim=1), g), g, 0), low, high)
    return a
