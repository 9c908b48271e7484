"""What it means that a task is solved, said by the user: a key of `info`, or what it or the return must reach."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from qgf.errors import UserError

RETURN = "return"
"""What a rule calls the sum of an episode's rewards, known at its end."""
RULE = re.compile(r"\s*([^<>=\s]+)\s*(?:(>=|<=)\s*(\S+))?\s*")


@dataclass(frozen=True)
class Rule:
    """rule(info) -> whether the task is solved, None where the info of a step does not say."""

    key: str
    sign: int = 0  # 1 for key >= bound, -1 for key <= bound, 0: the key itself
    bound: float = 0.0

    @classmethod
    def of(cls, text: str) -> Rule:
        """From "goal_reached", "distance<=0.05" or "return>=-200". Raises UserError for anything else."""
        found = RULE.fullmatch(text)
        try:
            if found is None or (found[1] == RETURN and not found[2]):
                raise ValueError
            bound = float(found[3] or 0)
        except ValueError:
            raise UserError(
                f"success rule {text!r}: give a key of info, or what one or the return must reach: reached, "
                "distance<=0.05, return>=-200"
            ) from None
        return cls(found[1], {None: 0, ">=": 1, "<=": -1}[found[2]], bound)

    def __call__(self, info: dict[str, Any]) -> bool | None:
        if self.key not in info:
            return None
        x = np.asarray(info[self.key]).ravel()
        if x.size != 1 or x.dtype.kind not in "biuf" or np.isnan(x[0]):
            raise UserError(f"success rule: {self.key} is {info[self.key]!r}, no number")
        if not self.sign and x[0] not in (0, 1):
            raise UserError(
                f"success rule: {self.key} is {x[0]:g}, neither true nor false: say what it must reach, {self.key}>=1"
            )
        return bool(x[0]) if not self.sign else bool(self.sign * (x[0] - self.bound) >= 0)
