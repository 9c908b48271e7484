"""How a run's observations and rewards are scaled: settled when it begins, kept in scales.json, not measured again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from qgf.data import Dataset
from qgf.data.scaling import TINY
from qgf.data.stored import Stored
from qgf.errors import UserError
from qgf.files import Finite, read_json, seal, settled, write_json
from qgf.training.trained import Scale, Trained, Unit


class Scales(NamedTuple):
    """What `Trained` has of them."""

    mean: np.ndarray  # [S] of the observations
    std: np.ndarray  # [S]
    limits: np.ndarray | None  # [S] of the normalised observations, beyond which they are clipped; None: nowhere
    reward_unit: float  # what rewards are divided by

    @classmethod
    def of(cls, dataset: Dataset | Stored, reward_unit: float) -> Scales:
        return cls(*dataset.scales(), reward_unit)

    @classmethod
    def lent(cls, trained: Trained) -> Scales:
        limits = None if trained.limits is None else np.array(trained.limits, np.float32)
        return cls(np.asarray(trained.mean), np.asarray(trained.std), limits, trained.reward_unit)


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """scales.json."""

    mean: list[Finite]
    std: list[Unit]
    limits: list[Scale] | None
    reward_unit: Unit


def keep(directory: Path, scales: Scales) -> None:
    """Write scales.json, if it is not there; list its sum where a kill came before that."""
    path = directory / "scales.json"
    if not path.exists():
        write_json(path, {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in scales._asdict().items()})
    elif not settled(path):
        seal(path)


def kept(directory: Path, dataset: Dataset | Stored) -> Scales | None:
    """The scales of a run that has begun; None where none has, or one of other data. Raises UserError if the file is
    damaged.
    """
    path, kind = directory / "scales.json", dataset.kind
    if not path.exists():
        return (
            _former(dataset)
            if isinstance(dataset, Dataset) and any((directory / "checkpoints").glob("[0-9]*"))
            else None
        )
    found = read_json(path, Kept, "a run directory")
    mean, std = np.array(found.mean, kind), np.array(found.std, kind)
    limits = None if found.limits is None else np.array(found.limits, kind)
    sizes = {len(x) for x in (mean, std, limits) if x is not None}
    if len(sizes) > 1:
        raise UserError(f"{path}: mean, std and limits are of different lengths")
    return Scales(mean, std, limits, found.reward_unit) if sizes == {dataset.obs_dim + dataset.goal_dim} else None


def _former(dataset: Dataset) -> Scales:
    """As of runs that began before there was such a file."""
    parts = [dataset.observations] if dataset.goals is None else [dataset.observations, dataset.goals]
    mean, std = (np.concatenate([f(x, 0, dtype=np.float64) for x in parts]) for f in (np.mean, np.std))
    return Scales(mean.astype(np.float32), np.where(std < TINY, 1.0, std).astype(np.float32), None, 1.0)
