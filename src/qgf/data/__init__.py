"""Datasets: what they must look like, and how chunks of actions are cut from them. Nothing here needs JAX."""

from qgf.data.dataset import Dataset
from qgf.data.npz import read_npz

__all__ = ("Dataset", "read_npz")
