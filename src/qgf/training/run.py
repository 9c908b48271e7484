"""A run directory, as others read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.files import read_json, read_numbers
from qgf.method.policy import Policy
from qgf.plugins import trained_with
from qgf.training.config import Record, TrainConfig, from_json
from qgf.training.trained import load_trained


@dataclass(frozen=True)
class Run:
    """A run directory: config.json, metrics.csv, checkpoints/, policy/, and what evaluate and report add."""

    directory: Path

    @property
    def config(self) -> TrainConfig:
        with trained_with(self.record.get("use")):
            return from_json(self.record["train"], self.directory / "config.json")

    @property
    def record(self) -> dict[str, Any]:
        """What config.json holds, see `config.Record`."""
        return msgspec.to_builtins(read_json(self.directory / "config.json", Record, "a run directory"))

    def policy_dirs(self) -> list[Path]:
        """One folder per seed: policy/, or policy/seed0/ ... when several were trained together.

        Raises UserError for a run that was interrupted before it had any.
        """
        policy = self.directory / "policy"
        if not policy.exists() and (self.directory / "config.json").exists():
            raise UserError(
                f"{self.directory} has no policy yet: train it to its end, or make one of its newest checkpoint with "
                f"qgf export {shlex.quote(str(self.directory))}"
            )
        return sorted(policy.glob("seed*"), key=lambda p: int(p.name[4:])) or [policy]

    def policy(self, seed: int = 0, **guidance) -> Policy:
        """The trained policy under `Policy.guided(**guidance)`: guide, strength or weight, best_of, steps."""
        folders = self.policy_dirs()
        if not 0 <= seed < len(folders):
            raise UserError(f"{self.directory}: no policy of seed {seed}, it has {len(folders)}")
        return load_trained(folders[seed]).policy().guided(**guidance)

    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv."""
        return {name: np.array(x) for name, x in read_numbers(self.directory / "metrics.csv").items()}
