"""A plan of a randomised comparison of arms: which arms, in which order, and when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from qgf.errors import UserError, unknown
from qgf.files import FINITE, Count, Finite, Seed, convert, placed, read_toml
from qgf.playing.arm import Arm

CONTROLS = ("none", "zero", "placebo")


class Way(msgspec.Struct, forbid_unknown_fields=True):
    """[[arm]]: a name, which stands for itself where somebody else acts, and how the run's policy acts."""

    name: str = ""
    guide: str = "none"
    strength: Annotated[float, Meta(ge=0, le=FINITE)] | None = None
    weight: Finite | None = None
    best_of: Count = 1
    steps: Count | None = None
    schedule: str = "constant"
    execute: Count | None = None

    @property
    def arm(self) -> Arm:
        return Arm(**{name: x for name, x in msgspec.structs.asdict(self).items() if name != "name"})

    @property
    def label(self) -> str:
        return self.name or self.arm.label


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """The file. A block is one episode of every arm, in random order."""

    arm: Annotated[list[Way], Meta(min_length=2, max_length=26)]
    ask: str = ""  # the arm that is compared with each of the others; by default the first that is no control
    blocks: Count = 25  # at most
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    seed: Seed = 0
    run: str = ""  # whose policy acts
    policy_seed: Annotated[int, Meta(ge=0)] = 0
    env: str = ""  # the simulator that plays; without one a person says how an episode ended
    success: str = ""  # what success is there, if it does not say
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None  # where the run's policy is served, to a robot

    @property
    def labels(self) -> list[str]:
        return [way.label for way in self.arm]

    @property
    def asked(self) -> str:
        free = [way.label for way in self.arm if way.guide.partition(":")[0] not in CONTROLS]
        return self.ask or (free or self.labels)[0]

    @property
    def others(self) -> list[str]:
        """What the arm in question is compared with."""
        return [label for label in self.labels if label != self.asked]

    def order(self, block: int) -> list[str]:
        """The arms of a block, in an order of its own that nobody can foresee, or change by what came before."""
        shuffled = np.random.default_rng((self.seed, block)).permutation(len(self.arm))
        return [self.labels[i] for i in shuffled]

    def find(self, label: str) -> Way:
        return self.arm[self.labels.index(label)]

    def fixed(self) -> dict[str, Any]:
        """What may not change once episodes were played: all but how many there may be."""
        return {name: x for name, x in msgspec.to_builtins(self).items() if name not in ("blocks", "port")}


def read_plan(path: Path) -> Plan:
    """The plan of a TOML file. Raises UserError, saying where, for one that makes no sense."""
    plan = convert(path, read_toml(path, dict[str, Any]), Plan)
    with placed(path, "arm"):
        if twice := next((x for x in plan.labels if plan.labels.count(x) > 1), None):
            raise UserError(f"two arms are called {twice!r}; give them names")
    with placed(path, "ask"):
        if plan.asked not in plan.labels:
            raise unknown("arm", plan.asked, plan.labels)
    if (plan.env or plan.port is not None) and not plan.run:
        raise UserError(f"{path}: env and port need run, whose policy acts")
    if plan.env and plan.port is not None:
        raise UserError(f"{path}: give env, a simulator, or port, for a robot, not both")
    return plan
