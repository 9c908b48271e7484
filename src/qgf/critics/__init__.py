"""Critics learned by temporal differences.

A kind of critic is its networks, its losses and what guidance asks of it (`CRITICS`); every training method can have
any of them.
"""

from __future__ import annotations

from qgf.critics.ensemble import Ensemble
from qgf.critics.hl_gauss import HLGauss
from qgf.critics.iql import IQL
from qgf.critics.td import TD

CRITICS: dict[str, IQL] = {"iql": IQL(), "td": TD(), "ensemble": Ensemble(), "hl-gauss": HLGauss()}
