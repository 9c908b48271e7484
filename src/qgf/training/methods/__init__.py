"""Training methods by name. A method is its networks, its losses and the two functions that guidance needs."""

from qgf.method.guides import PROVIDERS
from qgf.registry import Registry
from qgf.training.methods.bc import BC
from qgf.training.methods.cfgrl import CFGRL
from qgf.training.methods.ddpm import DAC, IDQL, QSM
from qgf.training.methods.edp import EDP
from qgf.training.methods.fql import FQL
from qgf.training.methods.goals import GC
from qgf.training.methods.ifql import IFQL
from qgf.training.methods.lab import Lab
from qgf.training.methods.qam import QAM
from qgf.training.methods.robustq import RobustQ

METHODS = Registry[type[BC]](
    "method",
    {method.name: method for method in (BC, RobustQ, CFGRL, Lab, IFQL, EDP, FQL, QAM, IDQL, DAC, QSM, GC)},
    named=True,
)
PROVIDERS.append(METHODS)
