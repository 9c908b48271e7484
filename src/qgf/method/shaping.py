"""What becomes of a direction before it is added: a metric, and caps on how hard and how far it may push."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError, unknown
from qgf.method.guides import find
from qgf.types import Calibration, Estimator

METRICS = ("sigma",)
"""Names of metrics: sigma is diag(sigma_i^2) / mean(sigma^2), of the reference policy's own actions."""


class Shaping(NamedTuple):
    """None is no cap, and the metric I."""

    step: ArrayLike | None = None  # |w g| <= step |v|
    dim: ArrayLike | None = None  # |w g_i| <= dim: all steps together push a number by no more than that
    metric: ArrayLike | None = None  # [d], g <- metric g, a diagonal one; 0 for numbers that are not guided


def shaped(g: Array, w: ArrayLike, v: Array, shaping: Shaping) -> Array:
    """The direction g[d] in its metric, then cut so that w g keeps to the caps: first each number by itself, then the
    whole to |v|.
    """
    g = g if shaping.metric is None else jnp.asarray(shaping.metric) * g
    size = jnp.abs(w)
    if shaping.dim is not None:
        most = shaping.dim / jnp.where(size > 0, size, 1.0)
        g = jnp.where(size > 0, jnp.clip(g, -most, most), g)
    if shaping.step is not None:
        pushed, most = size * jnp.linalg.norm(g), shaping.step * jnp.linalg.norm(v)
        g = g * jnp.where(pushed > most, most / jnp.where(pushed > most, pushed, 1.0), 1.0)
    return g


def metric_of(sigmas) -> np.ndarray:
    """The diagonal of the metric "sigma", [d], whose mean is 1: g <- Cov[a_1] g, where the exact tilt has the
    covariance at a_t, Cov[a_1 | a_t] (the first order of grad log E[exp Q(a_1) | a_t]), and QGF a number.
    """
    squares = np.asarray(sigmas, float) ** 2
    return squares / np.mean(squares)


def check_metric(metric: str | None) -> None:
    """Raises UserError for a metric that is none."""
    if metric is not None and metric not in METRICS:
        raise unknown("metric", metric, METRICS)


def guided_only(dims: Sequence[int], action_dim: int) -> np.ndarray:
    """1 for the numbers of an action that are guided, else 0, [A]. Raises UserError for dims that are none of them."""
    told = sorted(set(dims))
    if not told or not all(isinstance(k, (int, np.integer)) and 0 <= k < action_dim for k in told):
        raise UserError(f"guided_dims are numbers from 0 to {action_dim - 1} of an action, got {list(dims)}")
    return np.isin(np.arange(action_dim), told).astype(float)


def shaping_of(
    guide: str | Estimator,
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
    check_metric(metric)
    if guide == "none" or all(x is None for x in (step, dim, metric, dims)):
        return None
    for name, x in (("cap_step", step), ("cap_dim", dim)):
        if x is not None and not (np.isfinite(x) and x > 0):
            raise UserError(f"{name} must be a finite number above 0, got {x}")
    if getattr(find(guide), "climbs", 0):
        what = "caps hold" if metric is None and dims is None else "metric and guided_dims shape"
        raise UserError(f"{what} what a guide adds while denoising, and this one acts after it")
    if dim is not None and calibration is None:
        raise UserError("cap_dim counts in sigma_a, which only a calibrated policy knows: qgf.calibrate")
    diagonal = None if dims is None else np.tile(guided_only(dims, action_dim), horizon)
    if metric is not None:
        if calibration is None or calibration.sigmas is None or len(calibration.sigmas) != action_dim * horizon:
            raise UserError(f"metric={metric!r} needs the spread of each number, which was not measured: qgf.calibrate")
        diagonal = metric_of(calibration.sigmas) * (1.0 if diagonal is None else diagonal)
    number = lambda x: None if x is None else jnp.asarray(x, float)
    most = None if dim is None or calibration is None else dim * calibration.sigma
    return Shaping(number(step), number(most), number(diagonal))
