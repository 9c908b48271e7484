"""Training methods by name. A method is its networks, its losses and the two functions that guidance needs."""

from qgf.methods.bc import BC
from qgf.methods.cfgrl import CFGRL
from qgf.methods.ddpm import DAC, IDQL, QSM
from qgf.methods.edp import EDP
from qgf.methods.fql import FQL
from qgf.methods.goals import GC
from qgf.methods.ifql import IFQL
from qgf.methods.lab import Lab
from qgf.methods.qam import QAM
from qgf.methods.robustq import RobustQ

METHODS = {method.name: method for method in (BC, RobustQ, CFGRL, Lab, IFQL, EDP, FQL, QAM, IDQL, DAC, QSM, GC)}
