"""Policies that are tried while they train: what each evaluation gave, the best so far, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qgf.errors import UserError
from qgf.files import read_numbers, write_table
from qgf.method.policy import Policy
from qgf.training.config import TrainConfig
from qgf.training.setup import policy_folders
from qgf.training.trained import Trained, save_trained

Evaluate = Callable[[Policy], "Mapping[str, float] | float"]
"""evaluate(policy) -> numbers by name, of which the first decides which policy is best, the next if those are equal,
and so on; or one number. More is better. The policy is what `Run.policy()` would return."""


@dataclass(frozen=True)
class Trial:
    """How often to evaluate, and how long to wait."""

    evaluate: Evaluate
    every: int  # updates
    patience: int | None = None  # evaluations in a row, none of which is better than what was before, that end training

    def check(self, config: TrainConfig) -> None:
        """Raises UserError for numbers that make no sense."""
        if self.every < 1 or self.every % config.log_every:
            raise UserError(f"eval_every ({self.every}) must be a multiple of log_every ({config.log_every})")
        if self.patience is not None and self.patience < 1:
            raise UserError(f"patience must be at least 1, got {self.patience}")


class Watch:
    """Evaluations of one run: a row of played.csv for each and each seed, and in best/ the best policy of every seed.

    Nothing of it enters training. Opening it drops what a killed run wrote after its checkpoint, which it will write
    again.
    """

    def __init__(self, trial: Trial, directory: Path, seeds: int, keep: int):
        self.trial, self.path, self.folders = trial, directory / "played.csv", policy_folders(directory / "best", seeds)
        self.rows = [row for row in _read(self.path) if row["step"] <= keep]
        write_table(self.path, self.rows)

    def due(self, step: int, config: TrainConfig) -> bool:
        return step % self.trial.every == 0 or step == config.steps

    def has(self, step: int) -> bool:
        return any(row["step"] == step for row in self.rows)

    def play(self, step: int, policies: Sequence[Trained]) -> dict[str, float]:
        """Evaluate the policy of every seed after `step` updates; returns the means over the seeds."""
        found = [_named(self.trial.evaluate(trained.policy().guided())) for trained in policies]
        there = list(self.rows[0])[2:] if self.rows else list(found[0])
        if there != list(found[0]):
            now = ", ".join(found[0])
            raise UserError(
                f"{self.path} has {', '.join(there)}, evaluate now gives {now}; move the file away to go on"
            )
        for seed, (scores, trained) in enumerate(zip(found, policies, strict=True)):
            best = self.best(seed)
            self.rows.append(dict(step=step, seed=seed) | scores)
            if best is None or _rank(self.rows[-1]) > _rank(best):
                save_trained(trained, self.folders[seed])
        write_table(self.path, self.rows)
        return {f"played/{name}": sum(scores[name] for scores in found) / len(found) for name in found[0]}

    def best(self, seed: int) -> dict[str, float] | None:
        """The first of the best rows of a seed, None if it has none."""
        mine = [row for row in self.rows if row["seed"] == seed]
        return max(mine, key=_rank, default=None)

    @property
    def patient(self) -> bool:
        """Whether one of the seeds may still get better."""
        if self.trial.patience is None or not self.rows:
            return True
        steps = sorted({row["step"] for row in self.rows})
        newest = max(row["step"] for seed in range(len(self.folders)) if (row := self.best(seed)))
        return sum(step > newest for step in steps) < self.trial.patience


def _named(scores: Mapping[str, float] | float) -> dict[str, float]:
    named = scores if isinstance(scores, Mapping) else dict(score=scores)
    return {name: float(x) for name, x in named.items()}


def _rank(row: Mapping[str, float]) -> tuple[float, ...]:
    """What orders rows: their scores; one that is no number is less than all others."""
    return tuple(x if x == x else float("-inf") for name, x in row.items() if name not in ("step", "seed"))


def _read(path: Path) -> list[dict[str, float]]:
    try:
        columns = read_numbers(path, whole=("step", "seed"))
        if columns and list(columns)[:2] != ["step", "seed"]:
            raise UserError(f"{path}: does not begin with the columns step and seed")
    except UserError as error:
        raise UserError(f"{error}; move the file away to go on without it") from None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
