"""A guide that was learned from another (`qgf distil`), and the file that it is in."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qgf.errors import Caution, UserError
from qgf.files import FINITE, check, convert, real_size
from qgf.files.sums import sha256
from qgf.torch.networks import FREQUENCIES, MLP, parameter, waves
from qgf.types import Taught

FILE = "amortised.safetensors"


class LearnedGuide(nn.Module):
    """g(obs[B, S], a[B, d], t) -> [B, d], what a guide would say."""

    def __init__(self, obs_dim: int, d: int, width: int):
        super().__init__()
        self.state = MLP(obs_dim, width, 2 * width, 2)
        shapes = ((d + 1 + 2 * FREQUENCIES, width), (width, width), (width, d))
        self.weights = nn.ParameterList(parameter(*shape) for shape in shapes)
        self.biases = nn.ParameterList((parameter(width), parameter(d)))
        self.scale = parameter()

    def forward(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        enter, within, leave = self.weights
        h = F.gelu(self.state(obs) + torch.cat([a, *waves(t, a)], dim=-1) @ enter, approximate="tanh")
        h = F.gelu(h @ within + self.biases[0], approximate="tanh")
        return self.scale * (h @ leave + self.biases[1])


class Distilled(nn.Module):
    """A critic beside which a small network learned a guide."""

    def __init__(self, critic: nn.Module, learned: nn.Module, taught: Taught):
        super().__init__()
        self.critic, self.learned, self.taught = critic, learned, taught

    @property
    def inner(self):
        return self.critic

    def around(self, f):
        return f

    def forward(self, obs: Tensor, a: Tensor) -> Tensor:
        return self.critic(obs, a)

    def amortised(self, obs: Tensor, a: Tensor, t: Tensor) -> Tensor:
        return self.learned(obs, a, t)


class Lesson(msgspec.Struct, forbid_unknown_fields=True):
    """`Taught`, as files have it."""

    teacher: str
    members: str | int | None
    width: Annotated[int, msgspec.Meta(ge=1, le=10**4)]
    error: Annotated[float, msgspec.Meta(ge=0, le=FINITE)]

    @property
    def taught(self) -> Taught:
        return Taught(self.teacher, self.members, self.width, self.error)


class Told(Lesson, forbid_unknown_fields=True):
    """And of which policy."""

    model: str  # SHA-256 of its weights


def read_lesson(model: Path) -> tuple[Lesson, Path] | None:
    """What is said of the guide learned from the policy whose weights are in the file `model`, and its own file, if
    there is one; one of networks that have been trained on since is left out, with a caution.

    Raises UserError if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = model.parent / FILE
    if not path.exists():
        return None
    real_size(path)
    check(path)
    try:
        with safe_open(path, "pt") as file:
            content: Any = json.loads((file.metadata() or {}).get("qgf", ""))
    except (SafetensorError, OSError, ValueError):
        raise UserError(f"{path}: truncated, or it does not say what it was learned from") from None
    told = convert(path, content, Told)
    if told.model != sha256(model):
        why = "learned from other networks than are there now; qgf distil again"
        warnings.warn(Caution(f"{path}: {why}"), stacklevel=5)
        return None
    return told, path
