"""Critics learned by temporal differences, or from whole returns.

A kind of critic is its options, its networks, its losses and what guidance asks of it; every training method can have
any of them.
"""

from __future__ import annotations

from qgf.critics.base import Critic
from qgf.critics.ensemble import Ensemble
from qgf.critics.flow_iql import FlowIQL
from qgf.critics.hl_gauss import HLGauss
from qgf.critics.iql import IQL
from qgf.critics.mc import MC
from qgf.critics.td import TD
from qgf.errors import UserError
from qgf.registry import Registry


def _check(name: str, kind: type[Critic]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Critic)):
        raise UserError(f"critic {name!r} is {kind!r}, and not a class built on qgf.critics.Critic")


CRITICS = Registry[type[Critic]](
    "critic", {kind.name: kind for kind in (IQL, FlowIQL, TD, Ensemble, HLGauss, MC)}, named=True, check=_check
)


def critic_of(kind: str | Critic) -> Critic:
    """The critic of a name, with its default options, or the critic itself. Raises UserError for an unknown name."""
    return kind if isinstance(kind, Critic) else CRITICS.find(kind)()
