"""How hard to push: the scale-free strength and the paper's raw weight."""

from __future__ import annotations

import jax
import numpy as np

from qgf.errors import UserError
from qgf.method.guides import find
from qgf.types import Calibration, Estimator

OWN = "own"
"""The name of the critic's own way among a calibration's."""
DEFAULT_STRENGTH = 0.5
"""Standard deviations of the reference policy's own actions (docs/results.md, "Fresh data, nothing tuned")."""


def strength_counts(guide: str | Estimator, weight: float | None) -> bool:
    """Whether the calibration decides how hard a guide pushes."""
    return weight is None and guide != "none" and not getattr(find(guide), "scale_free", False)


def scales_name(members: str | int | None, metric: str | None = None) -> str:
    """Under which of a calibration's `others` the norms are that were measured so."""
    return (OWN if members is None else str(members)) + (f" {metric}" if metric else "")


def told(calibration: Calibration, d: int) -> str:
    """In one line what the default strength is for a policy of chunks of d numbers, and of what it is made."""
    w = raw_weight(None, None, calibration, d)
    robust = dict(calibration.others or {}).get(OWN)
    steep = "" if robust is None else f", {robust[1]:.3g} without its steepest tenth"
    return (
        f"guidance at strength {DEFAULT_STRENGTH:g}, the default for every task, is w = {w:.3g}: the flow's actions "
        f"spread by {calibration.sigma:.3g} in each of {d} numbers, |grad Q| is {calibration.grad_norm:.3g} on average"
        f"{steep}"
    )


def calibration_of(
    calibration: Calibration | None, members: str | int | None, robust: bool, metric: str | None = None
) -> Calibration | None:
    """The scales for an ensemble that is asked another way than its own, or their robust ones, or in a metric.

    Raises UserError where they were not measured.
    """
    if calibration is None:
        return None
    found = dict(calibration.others or {}).get(scales_name(members, metric))
    if found is None:
        way = "robust=True" if members is None else f"members={members!r}"
        way = f"metric={metric!r}" if metric else way
        raise UserError(
            f"the gradient's norm was not measured for {way}: calibrate with ways=True (of a run: qgf export), or pass "
            "weight"
        )
    return calibration._replace(grad_norm=found[int(robust)], others=None)


def default_strength(guide: str | Estimator) -> float:
    """DEFAULT_STRENGTH, and 1 of a guide whose weight has no scale: CFGRL's own of the better actions."""
    return 1.0 if getattr(find(guide), "scale_free", False) else DEFAULT_STRENGTH


def raw_weight(
    strength: float | None,
    weight: float | None,
    calibration: Calibration | None,
    d: int,
    guide: str | Estimator = "qgf",
) -> float:
    """The raw guidance weight of a strength, w = strength * sigma_a * sqrt(d) / E|g|, or `weight` as given.

    A guide whose weight has no scale (CFGRL's) takes the strength as its weight. Raises UserError if both are given, if
    one is not finite, and for a strength where the calibration is missing or not finite.
    """
    if strength is not None and weight is not None:
        raise UserError(f"give strength or weight, not both (got strength={strength} and weight={weight})")
    for name, x in (("strength", strength), ("weight", weight)):
        if x is not None and not isinstance(x, jax.core.Tracer) and not np.all(np.isfinite(x)):
            raise UserError(f"{name} must be finite, got {x}")
    if weight is not None:
        return weight
    strength = default_strength(guide) if strength is None else strength
    if getattr(find(guide), "scale_free", False):
        return strength
    if calibration is None:
        if strength == 0:
            return 0.0
        raise UserError("strength needs a calibrated policy: pass weight, or calibrate it with qgf.calibrate first")
    w = strength * calibration.sigma * d**0.5 / max(calibration.grad_norm, 1e-12)
    if not isinstance(w, jax.core.Tracer) and not np.isfinite(w):
        if guide == "none":
            return 0.0
        scales = f"sigma {calibration.sigma:g}, |grad Q| {calibration.grad_norm:g}"
        raise UserError(f"this policy's calibration is not finite ({scales}): its flow or its critic has diverged")
    return w
