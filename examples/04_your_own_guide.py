"""An estimator and a training method of your own, for evaluate, tune, analyse and compare.

qgf --use examples/04_your_own_guide.py evaluate runs/demo --guide none qgf late
qgf --use examples/04_your_own_guide.py train DATASET --method careful
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from qgf.critics import IQL
from qgf.method.guidance import ESTIMATORS, qgf
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC


def late(v, q, a, t):
    """QGF in the second half of denoising only."""
    return jnp.where(t < 0.5, 0.0, qgf(v, q, a, t))


@dataclass(frozen=True)
class Careful(BC):
    name = "careful"
    critic: Any = IQL(expectile=0.7)


ESTIMATORS["late"], METHODS["careful"] = late, Careful
