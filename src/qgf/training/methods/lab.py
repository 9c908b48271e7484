"""One run for every test-time method: the paper's networks, RobustQ's critic and CFGRL's flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qgf.training.methods.cfgrl import CFGRL
from qgf.training.methods.robustq import RobustQ


@dataclass(frozen=True)
class Lab(RobustQ, CFGRL):
    """All that the guides can ask for, trained side by side from the same data; `--guide all` plays every one."""

    name: ClassVar[str] = "lab"
    provides: ClassVar[tuple[type, ...]] = (*RobustQ.provides, *CFGRL.provides)
