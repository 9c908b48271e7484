"""Training methods by name. A method is its networks, its losses and the two functions that guidance needs."""

from qgf.methods.cfgrl import CFGRL
from qgf.methods.iql import IQL
from qgf.methods.lab import Lab
from qgf.methods.robustq import RobustQ

METHODS = {method.name: method for method in (IQL, RobustQ, CFGRL, Lab)}
