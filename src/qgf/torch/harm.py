"""What becomes of a direction, and what it did to an action: as in `qgf.method.shaping` and `qgf.method.harm`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qgf.errors import UserError, unknown
from qgf.torch.guidance import norm
from qgf.torch.guides import find
from qgf.types import Calibration, Trace

METRICS = ("sigma",)
"""Names of metrics: sigma is diag(sigma_i^2) / mean(sigma^2), of the reference policy's own actions."""


class Shaping(NamedTuple):
    """None is no cap, and the metric I."""

    step: float | None = None  # |w g| <= step |v|
    dim: float | None = None  # |w g_i| <= dim: all steps together push a number by no more than that
    metric: Tensor | None = None  # [d] or [A], g <- metric g, a diagonal one; 0 for numbers that are not guided


def shaped(g: Tensor, w: float | Tensor, v: Tensor, shaping: Shaping) -> Tensor:
    """Directions g[B, ...] in their metric, then cut so that w g keeps to the caps: first each number by itself, then
    the whole to |v|.
    """
    g = g if shaping.metric is None else shaping.metric.to(g) * g
    size = torch.as_tensor(w, dtype=g.dtype, device=g.device).abs()
    if shaping.dim is not None:
        most = shaping.dim / torch.where(size > 0, size, 1.0)
        g = torch.where(size > 0, torch.clamp(g, -most, most), g)
    if shaping.step is not None:
        pushed, most = size * norm(g), shaping.step * norm(v)
        g = g * torch.where(pushed > most, most / torch.where(pushed > most, pushed, 1.0), 1.0)
    return g


def metric_of(sigmas) -> Tensor:
    """The diagonal of the metric "sigma", [d], whose mean is 1, in double precision as all that is computed once."""
    squares = torch.as_tensor(sigmas, dtype=torch.float64) ** 2
    return squares / squares.mean()


def guided_only(dims: Sequence[int], action_dim: int) -> Tensor:
    """1 for the numbers of an action that are guided, else 0, [A]. Raises UserError for dims that are none of them."""
    told = sorted(set(dims))
    if not told or not all(isinstance(k, int) and 0 <= k < action_dim for k in told):
        raise UserError(f"guided_dims are numbers from 0 to {action_dim - 1} of an action, got {list(dims)}")
    return torch.tensor([float(k in told) for k in range(action_dim)], dtype=torch.float64)


def shaping_of(
    guide,
    step: float | None,
    dim: float | None,
    calibration: Calibration | None,
    metric: str | None = None,
    dims: Sequence[int] | None = None,
    action_dim: int = 1,
    horizon: int = 1,
) -> Shaping | None:
    """The shaping of a policy; `dim` in sigma_a, the metric by its name, `dims` the numbers of an action that are
    guided. Raises UserError for some that are none, or could not hold.
    """
    if metric is not None and metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if guide == "none" or all(x is None for x in (step, dim, metric, dims)):
        return None
    for name, x in (("cap_step", step), ("cap_dim", dim)):
        if x is not None and not (math.isfinite(x) and x > 0):
            raise UserError(f"{name} must be a finite number above 0, got {x}")
    if getattr(find(guide), "climbs", 0):
        what = "caps hold" if metric is None and dims is None else "metric and guided_dims shape"
        raise UserError(f"{what} what a guide adds while denoising, and this one acts after it")
    if dim is not None and calibration is None:
        raise UserError("cap_dim counts in sigma_a, which only a calibrated policy knows: calibrate it")
    diagonal = None if dims is None else guided_only(dims, action_dim).repeat(horizon)
    if metric is not None:
        if calibration is None or calibration.sigmas is None or len(calibration.sigmas) != action_dim * horizon:
            raise UserError(f"metric={metric!r} needs the spread of each number, which was not measured: calibrate it")
        spread = metric_of(calibration.sigmas)
        diagonal = spread if diagonal is None else spread * diagonal
    return Shaping(step, None if dim is None or calibration is None else dim * calibration.sigma, diagonal)


def nats(path: Trace) -> Tensor:
    """The divergence of guided paths from unguided ones, sum_k dt t_k / (1 - t_k) |w g_k|^2, [B]."""
    t: Any = path.t
    dt = torch.diff(t, append=t.new_ones(1))
    return torch.sum(dt * t / (1 - t) * torch.sum((path.w[:, None] * path.g) ** 2, dim=-1), dim=-1)


def jerk(a: Tensor) -> Tensor:
    """Root mean square of a_{h+1} - 2 a_h + a_{h-1} over chunks a[B, H, A], [B]; nan below three actions."""
    if a.shape[1] < 3:
        return a.new_full((len(a),), torch.nan)
    return torch.sqrt(torch.mean(torch.diff(a, n=2, dim=1) ** 2, dim=(1, 2)))


def displacement(a: Tensor, plain: Tensor, sigma: float) -> Tensor:
    """|a - a'| / (sigma sqrt(d)) of actions [B, d]: in standard deviations of the reference policy's own, [B]."""
    return torch.linalg.vector_norm(a - plain, dim=1) / (sigma * a.shape[1] ** 0.5)
