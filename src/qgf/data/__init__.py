"""Datasets: where they come from, what they must look like, and how chunks of actions are cut from them."""

from qgf.data.dataset import Dataset, read_npz
from qgf.data.sources import load_dataset

__all__ = ("Dataset", "load_dataset", "read_npz")
