"""Training methods by name. A method is its networks, its losses and the two functions that guidance needs."""

from qgf.methods.iql import IQL

METHODS = {method.name: method for method in (IQL,)}
