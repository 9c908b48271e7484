"""Whether data are the data that they were."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from qgf.data.pictures import IMAGES
from qgf.data.stored import Stored

if TYPE_CHECKING:
    from qgf.data.dataset import Dataset

ARRAYS = ("observations", "actions", "ends", "rewards", "masks", "goals")


def fingerprint(dataset: Dataset | Stored) -> str:
    """The first 16 hexadecimal digits of SHA-256 over all that is trained on: names, types, shapes and numbers.

    What is held out does not count. Of record shards it is that of their files. A million rows of 40 numbers
    take a fifth of a second.
    """
    if isinstance(dataset, Stored):
        return dataset.meta.fingerprint
    digest = hashlib.sha256()
    arrays = {name: getattr(dataset, name) for name in ARRAYS}
    arrays |= {IMAGES + name: dataset.images[name] for name in sorted(dataset.images)}
    for name, x in arrays.items():
        if x is not None:
            digest.update(f"{name} {x.dtype.str} {x.shape} ".encode())
            digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()[:16]
