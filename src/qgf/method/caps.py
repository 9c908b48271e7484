"""Caps: how hard guidance may push in one step, and how far it may push one number of an action."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError
from qgf.method.guides import find
from qgf.types import Calibration, Estimator


class Caps(NamedTuple):
    """None is no cap."""

    step: ArrayLike | None = None  # |w g| <= step |v|
    dim: ArrayLike | None = None  # |w g_i| <= dim: all steps together push a number by no more than that


def capped(g: Array, w: ArrayLike, v: Array, caps: Caps) -> Array:
    """The direction g[d] cut so that w g keeps to the caps: first each number by itself, then the whole to |v|."""
    size = jnp.abs(w)
    if caps.dim is not None:
        most = caps.dim / jnp.where(size > 0, size, 1.0)
        g = jnp.where(size > 0, jnp.clip(g, -most, most), g)
    if caps.step is not None:
        pushed, most = size * jnp.linalg.norm(g), caps.step * jnp.linalg.norm(v)
        g = g * jnp.where(pushed > most, most / jnp.where(pushed > most, pushed, 1.0), 1.0)
    return g


def caps_of(
    guide: str | Estimator, step: float | None, dim: float | None, calibration: Calibration | None
) -> Caps | None:
    """The caps of a policy; `dim` in sigma_a. Raises UserError for some that are none, or could not hold."""
    if guide == "none" or (step is None and dim is None):
        return None
    for name, x in (("cap_step", step), ("cap_dim", dim)):
        if x is not None and not (np.isfinite(x) and x > 0):
            raise UserError(f"{name} must be a finite number above 0, got {x}")
    if getattr(find(guide), "climbs", 0):
        raise UserError("caps hold what a guide adds while denoising, and this one acts after it")
    if dim is not None and calibration is None:
        raise UserError("cap_dim counts in sigma_a, which only a calibrated policy knows: qgf.calibrate")
    number = lambda x: jnp.asarray(x, float)
    most = None if dim is None or calibration is None else number(dim * calibration.sigma)
    return Caps(None if step is None else number(step), most)
