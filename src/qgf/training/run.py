"""A run directory, as others read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jax import Array

from qgf.errors import UserError
from qgf.files import at_home, read_json, read_numbers
from qgf.method.observations import chunks, padded, read
from qgf.method.policy import Policy
from qgf.plugins import trained_with
from qgf.training import saved as saved  # gives every policy its `save`
from qgf.training.config import Record, TrainConfig, from_json
from qgf.training.trained import Trained, load_trained


@dataclass(frozen=True)
class Run:
    """A run directory: config.json, metrics.csv, checkpoints/, policy/, and what evaluate and report add."""

    directory: Path

    def __post_init__(self):
        object.__setattr__(self, "directory", at_home(self.directory))

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
            export = f", or make one of its newest checkpoint with qgf export {shlex.quote(str(self.directory))}"
            kept = any(self.directory.glob("checkpoints/[0-9]*"))
            raise UserError(f"{self.directory} has no policy yet: train it to its end{export if kept else ''}")
        return sorted(policy.glob("seed*"), key=lambda p: int(p.name[4:])) or [policy]

    def trained(self, seed: int = 0) -> Trained:
        """What training ended with: its networks by name, method and sizes."""
        folders = self.policy_dirs()
        if not 0 <= seed < len(folders):
            raise UserError(f"{self.directory}: no policy of seed {seed}, it has {len(folders)}")
        return load_trained(folders[seed])

    def policy(self, seed: int = 0, **guidance) -> Policy:
        """The trained policy under `Policy.guided(**guidance)`: guide, strength or weight, best_of, steps, fallback."""
        return self.trained(seed).policy().guided(**guidance)

    def q(self, obs, a, seed: int = 0) -> Array:
        """Q(obs[S], a) -> [], or Q(obs[B, S], a) -> [B], of the critic that guidance asks, for raw observations.

        a is a chunk [H, A] or [d], or one per observation [B, H, A] or [B, d], as the policy gives it. Raises UserError
        for other shapes.
        """
        trained = self._kept(seed)
        policy = trained.policy()
        obs, batch = read(obs, policy.obs_spec)
        a = policy.inward(jnp.asarray(chunks(a, "a", batch, policy.horizon, policy.action_dim)))
        return _each(policy.critic, obs, batch, a if batch is not None else a[0])

    def v(self, obs, seed: int = 0) -> Array:
        """V(obs[S]) -> [], or V(obs[B, S]) -> [B], of the value net, for raw observations.

        Raises UserError where the critic is of a kind that has none, and for other shapes.
        """
        trained = self._kept(seed)
        value = vars(trained.nets).get("value")
        if value is None:
            raise UserError(f"{self.directory}: this run's critic learns no V(s), only Q(s, a); iql is one that does")
        obs, batch = read(obs, trained.policy().obs_spec)
        return _each(trained.raw(value, trained.reward_unit), obs, batch)

    def _kept(self, seed: int) -> Trained:
        """`trained`, read once as long as its files stay the same."""
        folders = self.policy_dirs()
        files = folders[seed].glob("*") if 0 <= seed < len(folders) else ()
        return _read(self, seed, tuple(sorted((path.name, path.stat().st_mtime_ns) for path in files)))

    def played(self, seed: int = 0) -> list[dict[str, float]]:
        """What evaluations while training gave for a seed (played.csv), the first first; none if there were none."""
        path = self.directory / "played.csv"
        if not path.exists():
            return []
        columns = read_numbers(path)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [row for row in rows if row["seed"] == seed]

    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv."""
        return {name: np.array(x) for name, x in read_numbers(self.directory / "metrics.csv").items()}


@lru_cache(maxsize=4)
def _read(run: Run, seed: int, files: tuple) -> Trained:
    return run.trained(seed)


def _each(f, obs, batch: int | None, *rest) -> Array:
    """f of one observation, or of every one of a batch."""
    if batch is None:
        return _one(f, obs, *rest)
    return padded(lambda rows: _all(f, *rows), (obs, *rest), batch)


@eqx.filter_jit
def _one(f, *arguments) -> Array:
    return f(*arguments)


@eqx.filter_jit
def _all(f, *rows) -> Array:
    return jax.vmap(f)(*rows)
