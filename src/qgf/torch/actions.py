"""Actions in an environment's own units, around a sampler that knows [-1, 1] alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ActionRange:
    """What -1 and 1 mean: low and high, [A] each, in the environment's units."""

    low: Tensor
    high: Tensor

    def outward(self, a: Tensor) -> Tensor:
        """low + (a + 1) (high - low) / 2 for a[..., A] in [-1, 1]."""
        centre, half = self._middle
        return centre + half * a

    def inward(self, a: Tensor) -> Tensor:
        """The inverse, for a[..., A] in the environment's units; 0 where the range is a point."""
        centre, half = self._middle
        return torch.where(half > 0, (a - centre) / torch.where(half > 0, half, 1.0), 0.0)

    @property
    def _middle(self) -> tuple[Tensor, Tensor]:
        return (self.low + self.high) / 2, (self.high - self.low) / 2

    def to(self, *args) -> ActionRange:
        return ActionRange(self.low.to(*args), self.high.to(*args))
