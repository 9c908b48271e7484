"""A data format: whether a file is of it, and its arrays, one row per step (see qgf.data.layout).

qgf --use examples/own/reader.py train walks.csv
"""

import numpy as np

from qgf.data.readers import READERS


@READERS("csv")
class CSV:
    """Text with the columns s0, s1, ..., a0, a1, ..., reward, terminal."""

    @staticmethod
    def reads(path):
        return path.is_file() and path.read_bytes()[:3] == b"s0,"

    @staticmethod
    def read(path, keys=()):
        x = np.genfromtxt(path, delimiter=",", names=True)
        columns = lambda letter: np.stack([x[n] for n in x.dtype.names if n[0] == letter and n[1:].isdigit()], axis=1)
        return dict(observations=columns("s"), actions=columns("a"), rewards=x["reward"], terminals=x["terminal"])
