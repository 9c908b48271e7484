"""Q-Guided Flow: steer a flow policy at test time with a critic's gradient.

The public names. Each is imported when it is first used, so that `import qgf` is instant and a process that only
simulates never loads JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgf import guidance as guidance
    from qgf import toy as toy
    from qgf.config import TrainConfig as TrainConfig
    from qgf.data import Dataset as Dataset
    from qgf.data import load_dataset as load_dataset
    from qgf.errors import UserError as UserError
    from qgf.evaluation import evaluate as evaluate
    from qgf.sampling import Policy as Policy
    from qgf.sampling import best_of as best_of
    from qgf.sampling import calibrate as calibrate
    from qgf.sampling import guided_flow as guided_flow
    from qgf.sampling import refine as refine
    from qgf.sampling import sample as sample
    from qgf.training import Run as Run
    from qgf.training import train as train

_HOME = {
    "guidance": None,
    "toy": None,
    "TrainConfig": "config",
    "Dataset": "data",
    "load_dataset": "data",
    "UserError": "errors",
    "evaluate": "evaluation",
    "Policy": "sampling",
    "best_of": "sampling",
    "calibrate": "sampling",
    "guided_flow": "sampling",
    "refine": "sampling",
    "sample": "sampling",
    "Run": "training",
    "train": "training",
}
__all__ = tuple(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'qgf' has no attribute {name!r}")
    module = import_module(f"qgf.{_HOME[name] or name}")
    return module if _HOME[name] is None else getattr(module, name)


def __dir__():
    return sorted(__all__)
