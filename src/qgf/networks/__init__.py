"""Equinox modules: velocity fields, critic ensembles and value nets, around a network of any kind."""

from qgf.networks.blocks import MLP, Network
from qgf.registry import Registry

NETWORKS = Registry[Network]("network", dict(mlp=MLP))
"""By name, network(size_in, size_out, width, depth, key) -> a module [..., in] -> [..., out], weights in its pytree."""
