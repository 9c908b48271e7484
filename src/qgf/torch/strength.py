"""How hard to push: the scale-free strength and the paper's raw weight; the mirror of `qgf.method.strength`."""

from __future__ import annotations

import math

from qgf.errors import UserError
from qgf.torch.guides import find
from qgf.types import Calibration

DEFAULT_STRENGTH = 0.5
"""Standard deviations of the reference policy's own actions (docs/results.md, "Fresh data, nothing tuned")."""


def default_strength(guide) -> float:
    """DEFAULT_STRENGTH, and 1 of a guide whose weight has no scale: CFGRL's own of the better actions."""
    return 1.0 if getattr(find(guide), "scale_free", False) else DEFAULT_STRENGTH


def raw_weight(strength, weight, calibration: Calibration | None, d: int, guide="qgf") -> float:
    """The raw guidance weight of a strength, w = strength * sigma_a * sqrt(d) / E|g|, or `weight` as given.

    A guide whose weight has no scale (CFGRL's) takes the strength as its weight. Raises UserError if both are given, if
    one is not finite, and for a strength where the calibration is missing or not finite.
    """
    if strength is not None and weight is not None:
        raise UserError(f"give strength or weight, not both (got strength={strength} and weight={weight})")
    for name, x in (("strength", strength), ("weight", weight)):
        if x is not None and not math.isfinite(x):
            raise UserError(f"{name} must be finite, got {x}")
    if weight is not None:
        return float(weight)
    strength = default_strength(guide) if strength is None else float(strength)
    if getattr(find(guide), "scale_free", False):
        return strength
    if calibration is None:
        if strength == 0:
            return 0.0
        raise UserError("strength needs a calibrated policy: pass weight, or calibrate it with qgf.torch.calibrate")
    w = strength * calibration.sigma * d**0.5 / max(calibration.grad_norm, 1e-12)
    if not math.isfinite(w) and guide != "none":
        scales = f"sigma {calibration.sigma:g}, |grad Q| {calibration.grad_norm:g}"
        raise UserError(f"this policy's calibration is not finite ({scales}): its flow or its critic has diverged")
    return w if math.isfinite(w) else 0.0
