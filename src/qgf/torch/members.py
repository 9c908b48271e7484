"""How an ensemble is asked: for the direction to guide in, and, apart from it, for the best of several samples."""

from __future__ import annotations

import torch

from qgf.errors import UserError, unknown
from qgf.torch.guides import need
from qgf.torch.networks import lower
from qgf.types import Calibration, Members

RHO = 0.5
"""Of the lower confidence bound, mean - rho std (QAM's published code)."""
WAYS = dict(mean=lambda q: torch.mean(q, dim=-1), min=lambda q: torch.amin(q, dim=-1), lcb=lambda q: lower(q, RHO))
"""Name -> what it makes of the members' values [B, m]. Besides, a number stands for the member of that number."""
OTHERS = "others"
"""Of what chooses: the mean of the members that do not guide."""


class Asked:
    """A critic whose members are asked another way than its own."""

    def __init__(self, critic, way: str | int, without: int | None = None):
        self.critic, self.way, self.without = critic, way, without  # without: the member that guides, for OTHERS

    def __call__(self, obs, a):
        q = need(self.critic, Members)(obs, a)
        if self.way == OTHERS:
            return (torch.sum(q, dim=-1) - q[..., self.without]) / (q.shape[-1] - 1)
        return WAYS[self.way](q) if isinstance(self.way, str) else q[..., self.way]

    @property
    def inner(self):
        return self.critic

    def around(self, f):
        return f


def asked(critic, way: str | int | None, guiding: str | int | None = None):
    """The critic, asked so; None is its own way. `guiding` is the way that guides, which "others" needs.

    Raises UserError for a way that is none, and for "others" where no single member guides.
    """
    if way is None:
        return critic
    if way == OTHERS:
        if not isinstance(guiding, int):
            raise UserError("choose='others' are those that do not guide: let one guide, members=0")
        return Asked(critic, way, guiding)
    if isinstance(way, str) and way not in WAYS:
        raise unknown("way to ask the members", way, [*WAYS, OTHERS])
    return Asked(critic, way)


def calibration_of(
    calibration: Calibration | None, members: str | int | None, robust: bool, metric: str | None = None
) -> Calibration | None:
    """The scales for an ensemble that is asked another way than its own, or their robust ones, or in a metric.

    Raises UserError where they were not measured.
    """
    if calibration is None or (members is None and not robust and metric is None):
        return calibration
    name = ("own" if members is None else str(members)) + (f" {metric}" if metric else "")
    found = dict(calibration.others or {}).get(name)
    if found is None:
        way = "robust=True" if members is None else f"members={members!r}"
        way = f"metric={metric!r}" if metric else way
        raise UserError(f"the gradient's norm was not measured for {way}: qgf export measures it, or pass weight")
    return calibration._replace(grad_norm=found[int(robust)], others=None)
