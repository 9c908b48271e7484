"""A tidy CSV of played episodes. What is in it is never played again."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from qgf.errors import UserError
from qgf.files import atomic_path
from qgf.method.policy import Policy
from qgf.playing.arm import Arm
from qgf.playing.episodes import evaluate
from qgf.playing.scores import Score

KEY = (
    "env", "train", "policy_seed", "updates", "guide", "strength", "weight", "best_of", "steps", "schedule", "split",
    "seed", "first", "episodes",
)  # fmt: skip
VALUES = (
    "raw_weight", "successes", "success", "low", "high", "returns", "lengths", "value", "ratio", "skipped", "outcomes",
)  # fmt: skip
NUMBERS = ("strength", "weight", "best_of", "steps", "seed", "first", "ratio", "gflop", "decision_ms")
COSTS = ("env", "train", "policy_seed", "arm", "gflop", "decision_ms", "seconds")
Row = dict[str, str]


class Ledger:
    """One row per arm and block of episodes, kept sorted and without a clock, so that an interrupted job ends with the
    same bytes. Times go to a second file beside it, `costs.csv`.

    Raises UserError if either file is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows = {_key(row): row for row in _read(path, KEY + VALUES)}
        self.costs = _read(path.with_name("costs.csv"), COSTS)

    def find(self, identity: Mapping[str, Any]) -> Row | None:
        return self.rows.get(_key(identity))

    def add(self, identity: Mapping[str, Any], score: Score) -> Row:
        scored = score.row() | dict(raw_weight=f"{score.weight:.6g}") | dict(identity)
        row = {name: str(scored[name]) for name in KEY + VALUES}
        rows = self.rows | {_key(row): row}
        self.costs.append(
            {name: row[name] for name in ("env", "train", "policy_seed")}
            | dict(arm=score.arm.label, gflop=f"{score.gflop:.6g}")
            | dict(decision_ms=f"{score.decision_ms:.2f}", seconds=f"{score.seconds:.1f}")
        )
        _write(self.path.with_name("costs.csv"), COSTS, self.costs)  # first, so that no row is without its cost
        rows = {key: rows[key] for key in sorted(rows, key=_natural)}
        _write(self.path, KEY + VALUES, rows.values())
        self.rows = rows
        return row


def outcomes(row: Row) -> np.ndarray:
    """Success of each episode of a row, [episodes]."""
    return np.array([x == "1" for x in row["outcomes"]])


@dataclass(frozen=True)
class Player:
    """Plays the arms of one policy in its environment, unless the ledger has them."""

    policy: Callable[[], Policy]  # called when there is something to play
    env: str
    ledger: Ledger
    envs: Callable[[], Any] = field(default=lambda: None)  # environment processes, likewise
    train: str = ""  # name of the training settings
    policy_seed: int = 0
    updates: int = 0
    progress: Callable[[str, int, int, int], None] = field(default=lambda name, done, wins, total: None)

    def find(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> Row | None:
        """The row of one block of episodes, if it has been played."""
        return self.ledger.find(self._identity(arm, split, seed, first, episodes))

    def play(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> Row:
        """The row of one block of episodes, played now if it never was."""
        row = self.find(arm, split, seed, first, episodes)
        if row is None:
            tell = lambda done, wins, total: self.progress(f"{split}: {arm.label}", done, wins, total)
            policy = arm.of(self.policy())
            score = evaluate(policy, self.env, episodes, seed, self.envs(), tell, first)
            row = self.ledger.add(self._identity(arm, split, seed, first, episodes), replace(score, arm=arm))
        return row

    def _identity(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> dict[str, Any]:
        number = lambda x: "" if x is None else f"{x:.12g}"  # 1 and 1.0 are the same strength
        return dict(
            env=self.env, train=self.train, policy_seed=self.policy_seed, updates=self.updates, guide=arm.guide,
            strength=number(arm.strength), weight=number(arm.weight), best_of=arm.best_of, steps=number(arm.steps),
            schedule=arm.schedule, split=split, seed=seed, first=first, episodes=episodes,
        )  # fmt: skip


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def _read(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV file, none if there is no such file; other columns are left out."""
    if not path.exists():
        return []
    try:
        with open(path, newline="") as file:
            table = csv.DictReader(file)
            names, rows = table.fieldnames or (), list(table)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); move the file away to start again") from error
    if missing := [name for name in columns if name not in names]:
        raise UserError(f"{path}: column {missing[0]} is missing; move the file away to start again")
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values() or not _sound(row):
            raise UserError(f"{path}: line {line} is damaged; delete it to play its episodes again")
    return [{name: row[name] for name in columns} for row in rows]


def _sound(row: Row) -> bool:
    """Whether numbers are numbers, and the outcomes of a row of episodes fit its counts."""
    won = row.get("outcomes", "")
    counts = (row.get("episodes", "0"), row.get("successes", "0"))
    try:
        [float(row[name]) for name in NUMBERS if row.get(name)]
    except ValueError:
        return False
    return set(won) <= {"0", "1"} and (str(len(won)), str(won.count("1"))) == counts


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _natural(key: tuple[str, ...]) -> tuple:
    """Numbers by size, words by alphabet."""
    return tuple((0, float(x), x) if x.replace(".", "", 1).isdecimal() else (1, 0.0, x) for x in key)
