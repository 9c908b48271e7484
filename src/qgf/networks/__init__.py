"""Equinox modules: velocity fields, critic ensembles and value nets, around a network of any kind; encoders."""

from qgf.networks.blocks import MLP, Network
from qgf.networks.encoders import Encoder, Impala, Nature
from qgf.registry import Registry

NETWORKS = Registry[Network]("network", dict(mlp=MLP))
"""By name, network(size_in, size_out, width, depth, key) -> a module [..., in] -> [..., out], weights in its pytree."""
ENCODERS = Registry[Encoder]("encoder", dict(impala=Impala, nature=Nature))
"""By name, encoder(shape (H, W, C), key) -> a module [..., H, W, C] -> [..., F], weights in its pytree."""
