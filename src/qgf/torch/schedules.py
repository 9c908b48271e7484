"""How the guidance weight changes over the denoising time; the mirror of `qgf.method.schedules`."""

from __future__ import annotations

import torch
from torch import Tensor

from qgf.registry import Registry


def constant(t: Tensor) -> Tensor:
    """w(t) = w (QGF)."""
    return torch.ones_like(t)


def score(t: Tensor) -> Tensor:
    """w(t) = w min((1 - t) / t, 10): with w = 1 / beta, what adding grad Q / beta to the score adds to the velocity."""
    return torch.clamp((1 - t) / torch.clamp(t, min=1e-6), max=10.0)


def linear(t: Tensor) -> Tensor:
    """w(t) = 2 t w: from nothing to twice the weight, as is best for classifier-free guidance (Wang et al. 2024)."""
    return 2 * t


SCHEDULES: Registry = Registry("torch schedule", dict(constant=constant, score=score, linear=linear))


def schedule(name):
    """The schedule of a name, or the function itself. Raises UserError for an unknown name."""
    return name if callable(name) else SCHEDULES.find(name)
