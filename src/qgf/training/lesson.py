"""A learned guide as a file beside the policy that it was learned from: amortised.safetensors."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import msgspec

from qgf.errors import Caution, UserError
from qgf.files import FINITE, convert
from qgf.files.sums import sha256
from qgf.networks.learned import LearnedGuide
from qgf.training.weights import WEIGHTS, read_weights, told_of, write_weights
from qgf.types import Spec, Taught

FILE = "amortised.safetensors"


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

    model: str  # SHA-256 of its model.safetensors


def skeleton(taught: Taught, spec: Spec) -> LearnedGuide:
    """The network of a learned guide, shapes in the place of arrays."""
    return eqx.filter_eval_shape(LearnedGuide, spec.obs_dim, spec.d, taught.width, jax.random.key(0))


def write_lesson(directory: Path, guide: LearnedGuide, taught: Taught) -> Path:
    """Write a policy's learned guide, in one file, so that no kill leaves half of it. Returns the file."""
    told = json.dumps(taught._asdict() | dict(model=sha256(directory / WEIGHTS)))
    write_weights(directory / FILE, guide, told)
    return directory / FILE


def read_lesson(directory: Path, spec: Spec) -> tuple[LearnedGuide, Taught] | None:
    """The guide learned from a policy, if there is one; one of networks that have been trained on since is left out,
    with a caution. Raises UserError if the file is damaged.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        content: Any = json.loads(told_of(path))
    except ValueError:
        raise UserError(f"{path}: does not say what it was learned from") from None
    told = convert(path, content, Told)
    if told.model != sha256(directory / WEIGHTS):
        why = "learned from other networks than are there now; qgf distil again"
        warnings.warn(Caution(f"{path}: {why}"), stacklevel=4)
        return None
    return read_weights(skeleton(told.taught, spec), path), told.taught
