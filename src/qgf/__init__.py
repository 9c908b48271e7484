"""Q-Guided Flow: steer a flow policy at test time with a critic's gradient.

The public names. Each is imported when it is first used, so that `import qgf` is instant and a process that only
simulates never loads JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgf.critics import CRITICS as CRITICS
    from qgf.data import Dataset as Dataset
    from qgf.deployment.bench import bench as bench
    from qgf.deployment.server import serve as serve
    from qgf.environments.datasets import load_dataset as load_dataset
    from qgf.errors import UserError as UserError
    from qgf.method import guidance as guidance
    from qgf.method import toy as toy
    from qgf.method.guided import best_of as best_of
    from qgf.method.guided import calibrate as calibrate
    from qgf.method.guided import guided_flow as guided_flow
    from qgf.method.guided import refine as refine
    from qgf.method.policy import Policy as Policy
    from qgf.method.sampling import sample as sample
    from qgf.playing.ab import ab as ab
    from qgf.playing.episodes import evaluate as evaluate
    from qgf.playing.train import train as train
    from qgf.training.config import TrainConfig as TrainConfig
    from qgf.training.loop import Stop as Stop
    from qgf.training.methods import METHODS as METHODS
    from qgf.training.run import Run as Run

__version__ = "0.1.0"

_HOME = {
    "ab": "playing.ab",
    "CRITICS": "critics",
    "METHODS": "training.methods",
    "guidance": "method.guidance",
    "toy": "method.toy",
    "TrainConfig": "training.config",
    "Dataset": "data",
    "bench": "deployment.bench",
    "load_dataset": "environments.datasets",
    "UserError": "errors",
    "evaluate": "playing.episodes",
    "Policy": "training.saved",  # which adds Policy.save and Policy.load
    "best_of": "method.guided",
    "calibrate": "method.guided",
    "guided_flow": "training.saved",
    "refine": "method.guided",
    "sample": "method.sampling",
    "serve": "deployment.server",
    "Run": "training.run",
    "train": "playing.train",
    "Stop": "training.loop",
}
_MODULES = ("guidance", "toy")
__all__ = tuple(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'qgf' has no attribute {name!r}")
    module = import_module(f"qgf.{_HOME[name]}")
    return module if name in _MODULES else getattr(module, name)


def __dir__():
    return sorted(__all__)
