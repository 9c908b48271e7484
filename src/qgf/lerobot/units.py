"""From a policy's normalised units to those of the robot, as LeRobot's pre-processor says they are related."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.files import read_json

FILE = "policy_preprocessor.json"
STEP = "normalizer_processor"


@dataclass(frozen=True)
class Affine:
    """raw = centre + half * normalised, for every number of a feature: [A], or numbers."""

    centre: Any = 0.0
    half: Any = 1.0

    def outward(self, x: Tensor) -> Tensor:
        """Normalised x[..., A] in the robot's units."""
        return torch.as_tensor(self.centre).to(x) + torch.as_tensor(self.half).to(x) * x

    def inward(self, x: Tensor, at_point: float) -> Tensor:
        """x[..., A] in the robot's units, normalised; `at_point` where all that is normalised is one raw number."""
        half = torch.as_tensor(self.half).to(x)
        z = (x - torch.as_tensor(self.centre).to(x)) / torch.where(half > 0, half, 1.0)
        return torch.where(half > 0, z, at_point)


def _ends(low: str, high: str):
    return lambda s: Affine((s[low] + s[high]) / 2, (s[high] - s[low]) / 2)


MODES = dict(
    IDENTITY=lambda s: Affine(),
    MEAN_STD=lambda s: Affine(s["mean"], s["std"]),
    MIN_MAX=_ends("min", "max"),
    QUANTILES=_ends("q01", "q99"),
    QUANTILE10=_ends("q10", "q90"),
)
"""LeRobot's ways to normalise, each of the statistics of a feature."""


def units(source: Any) -> dict[str, Affine]:
    """Feature -> its units, of a folder that LeRobot saved a policy in, or of a pre-processor as it is in memory.

    Raises UserError where there is none, or where it normalises in a way that is not known.
    """
    if isinstance(source, (str, Path)):
        return _of_folder(Path(source))
    for step in getattr(source, "steps", ()):
        if hasattr(step, "norm_map") and hasattr(step, "features"):
            modes = {_word(kind): _word(mode) for kind, mode in step.norm_map.items()}
            kinds = {name: _word(feature.type) for name, feature in step.features.items()}
            return _found("this pre-processor", modes, kinds, step.state_dict())
    raise UserError("this pre-processor normalises nothing: give the one that came with the policy")


def _of_folder(folder: Path) -> dict[str, Affine]:
    from safetensors.torch import load_file

    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: has no {FILE}, which says in which units its policy acts: give preprocessor=")
    steps = read_json(path, dict[str, Any], "a pre-processor").get("steps", [])
    step = next((step for step in steps if step.get("registry_name") == STEP), None)
    if step is None:
        raise UserError(f"{path}: has no {STEP} among its steps")
    config, file = step["config"], step.get("state_file")
    kinds = {name: feature["type"] for name, feature in config["features"].items()}
    with torch.inference_mode(False):
        return _found(str(path), config["norm_map"], kinds, load_file(folder / file) if file else {})


def _found(where: str, modes: dict[str, str], kinds: dict[str, str], state: dict[str, Tensor]) -> dict[str, Affine]:
    made: dict[str, Affine] = {}
    for name, kind in kinds.items():
        stats = {key.rpartition(".")[2]: x for key, x in state.items() if key.rpartition(".")[0] == name}
        mode = modes.get(kind, "IDENTITY") if stats else "IDENTITY"  # LeRobot leaves what it has no statistics of
        if mode not in MODES:
            raise UserError(f"{where}: normalises {name} by {mode}, known are {', '.join(MODES)}")
        made[name] = MODES[mode](stats)
    return made


def _word(x: Any) -> str:
    """Of an enumeration's member its value."""
    return str(getattr(x, "value", x))
