"""Environments and the data they come with, by families. Nothing here needs JAX; simulators load when first used."""

from qgf.environments.controllers import CONTROLLERS
from qgf.environments.family import FAMILIES, Family, family_of
from qgf.environments.gym import Gymnasium
from qgf.environments.ogbench.family import OGBench

FAMILIES.update(gymnasium=Gymnasium(), ogbench=OGBench())  # who comes later is asked first

__all__ = ("CONTROLLERS", "FAMILIES", "Family", "family_of")
