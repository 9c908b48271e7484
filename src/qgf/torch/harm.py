"""How hard guidance may push, and what it did to an action. The mirror of `qgf.method.caps` and `qgf.method.harm`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.torch.guidance import norm
from qgf.torch.guides import find
from qgf.types import Calibration, Trace


class Caps(NamedTuple):
    """None is no cap."""

    step: float | None = None  # |w g| <= step |v|
    dim: float | None = None  # |w g_i| <= dim: all steps together push a number by no more than that


def capped(g: Tensor, w: float | Tensor, v: Tensor, caps: Caps) -> Tensor:
    """Directions g[B, ...] cut so that w g keeps to the caps: first each number by itself, then the whole to |v|."""
    size = torch.as_tensor(w, dtype=g.dtype, device=g.device).abs()
    if caps.dim is not None:
        most = caps.dim / torch.where(size > 0, size, 1.0)
        g = torch.where(size > 0, torch.clamp(g, -most, most), g)
    if caps.step is not None:
        pushed, most = size * norm(g), caps.step * norm(v)
        g = g * torch.where(pushed > most, most / torch.where(pushed > most, pushed, 1.0), 1.0)
    return g


def caps_of(guide, step: float | None, dim: float | None, calibration: Calibration | None) -> Caps | None:
    """The caps of a policy; `dim` in sigma_a. Raises UserError for some that are none, or could not hold."""
    if guide == "none" or (step is None and dim is None):
        return None
    for name, x in (("cap_step", step), ("cap_dim", dim)):
        if x is not None and not (math.isfinite(x) and x > 0):
            raise UserError(f"{name} must be a finite number above 0, got {x}")
    if getattr(find(guide), "climbs", 0):
        raise UserError("caps hold what a guide adds while denoising, and this one acts after it")
    if dim is not None and calibration is None:
        raise UserError("cap_dim counts in sigma_a, which only a calibrated policy knows: calibrate it")
    return Caps(step, None if dim is None or calibration is None else dim * calibration.sigma)


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
