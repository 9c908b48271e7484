"""Guided Euler sampling: a batch of actions, from noise to their end. The mirror of `qgf.method.sampling`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.torch.flow import STEPS, Flow, clean, clip
from qgf.torch.guidance import grad, per_row
from qgf.torch.guides import find, need
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
) -> Tensor | Trace:
    """Denoise actions with guidance (paper, algorithm 1): a <- a + (v(a, t) + w g) / T, t = 0, 1/T, ..., 1 - 1/T.

    v(a[B, d], t[]) -> [B, d], q(a[B, d]) -> [B], a0[B, d] ~ N(0, I). Returns clip(a_T, low, high), [B, d], or the whole
    `Trace`, with an axis for the batch in front of every array but t and w. A direction that is not finite leaves its
    row's step unguided. With `t0` the path starts at that time, from the points a0 = a_t0.
    """
    path = denoise(v, q, a0, guide, weight, steps, low, high, schedule, t0)
    return path if trace else finish(q, path, guide, weight, low, high)


def denoise(v, q, a0: Tensor, guide, weight, steps: int, low, high, schedule="constant", t0: float = 0.0) -> Trace:
    """The path of `sample`."""
    ask, factor = find(guide), find_schedule(schedule)
    v = need(v, ask.reference) if hasattr(ask, "reference") else v
    a, path = a0, grid(steps, t0)
    rows: list[Any] = []
    for k, (start, length) in enumerate(zip(*path, strict=True)):
        t = torch.full((), start, dtype=a.dtype, device=a.device)
        flow = Flow(v, steps, low, high, at=(a, t), left=len(path.starts) - k)
        g = ask(flow, q, a, t)
        if g.shape != a.shape:
            name = getattr(ask, "__name__", ask)
            raise UserError(f"guide {name} returns {list(g.shape)}, expected directions {list(a.shape)}")
        finite = torch.isfinite(g).flatten(1).all(dim=1)
        g = torch.where(per_row(finite, g), g, 0)
        drift, w = flow(a, t), weight * factor(t)
        rows.append(Trace(t, a, drift, clean(flow, a, t), g, ~finite, w))
        a = a + (drift + w * g) * length
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
