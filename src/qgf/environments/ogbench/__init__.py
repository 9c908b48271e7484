"""OGBench: its names, its goals, and the scripted oracles that collect its data."""

from qgf.environments.ogbench import goals, names

__all__ = ("goals", "names")
