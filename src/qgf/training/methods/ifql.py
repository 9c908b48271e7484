"""IFQL: the cloned flow, of whose samples the best is played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qgf.training.methods.bc import BC


@dataclass(frozen=True)
class IFQL(BC):
    """Implicit flow Q-learning: the cloned flow, of whose samples the best by IQL's critic is played (Park et al. 2025,
    FQL, baselines; IDQL, Hansen-Estruch et al. 2023, with a flow). A policy of its own needs no training.
    """

    name: ClassVar[str] = "ifql"
    best_of: ClassVar[int] = 32  # FQL's published code
