"""Whether data are the data that they were."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qgf.data.dataset import Dataset

ARRAYS = ("observations", "actions", "ends", "rewards", "masks", "goals")


def fingerprint(dataset: Dataset) -> str:
    """The first 16 hexadecimal digits of SHA-256 over all that is trained on: names, types, shapes and numbers.

    What is held out does not count. A million rows of 40 numbers take a fifth of a second.
    """
    digest = hashlib.sha256()
    for name in ARRAYS:
        if (x := getattr(dataset, name)) is not None:
            digest.update(f"{name} {x.dtype.str} {x.shape} ".encode())
            digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()[:16]
