"""Critics learned by temporal differences.

A kind of critic is its options, its networks, its losses and what guidance asks of it; every training method can have
any of them.
"""

from __future__ import annotations

from qgf.critics.base import Critic
from qgf.critics.ensemble import Ensemble
from qgf.critics.hl_gauss import HLGauss
from qgf.critics.iql import IQL
from qgf.critics.td import TD
from qgf.errors import unknown

CRITICS: dict[str, type[Critic]] = {kind.name: kind for kind in (IQL, TD, Ensemble, HLGauss)}


def critic_of(kind: str | Critic) -> Critic:
    """The critic of a name, with its default options, or the critic itself. Raises UserError for an unknown name."""
    if isinstance(kind, Critic):
        return kind
    if kind not in CRITICS:
        raise unknown("critic", kind, CRITICS)
    return CRITICS[kind]()
