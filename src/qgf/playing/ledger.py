"""A tidy CSV of played episodes. What is in it is never played again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from qgf.errors import UserError
from qgf.files import Digits, Number, read_csv, turn, write_csv
from qgf.method.policy import Policy
from qgf.playing.arm import Arm
from qgf.playing.episodes import evaluate
from qgf.playing.rows import KEY, LATER, MEASURED, OWN, VALUES, Measured, Row, columns, exact


class Cost(msgspec.Struct, frozen=True):
    """What was measured while an arm was played."""

    env: str
    train: str
    policy_seed: Number
    arm: str  # its label
    gflop: Measured
    decision_ms: Annotated[float, Digits(".2f")]
    seconds: Annotated[float, Digits(".1f")]
    displacement: Measured | None = None
    nats: Measured | None = None
    jerk: Measured | None = None
    fallbacks: Measured | None = None
    agreement: Measured | None = None


def told(costs: list[Cost]) -> tuple[str, ...]:
    """The columns of costs.csv: those that files always had, and what one of these rows knows."""
    known = lambda name: name not in MEASURED or any(getattr(cost, name) is not None for cost in costs)
    return tuple(name for name in Cost.__struct_fields__ if known(name))


class Ledger:
    """One row per arm and block of episodes, kept sorted and without a clock, so that an interrupted job ends with the
    same bytes. Times go to a second file beside it, `costs.csv`.

    Raises UserError if either file is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self._read()

    def _read(self) -> None:
        self.rows = {row.key: row for row in _read(self.path, Row, KEY + VALUES)}
        self.costs = []
        left = Counter((row.env, row.train, row.policy_seed, row.arm.label) for row in self.rows.values())
        for cost in _read(self.path.with_name("costs.csv"), Cost):
            key = (cost.env, cost.train, cost.policy_seed, cost.arm)
            left[key] -= 1
            if left[key] >= 0:  # else a process was killed between the two files: its block will be played again
                self.costs.append(cost)
        self._state = self._now()

    def _now(self) -> tuple[int, ...]:
        """What changes when somebody writes the file."""
        if not self.path.exists():
            return ()
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    @property
    def stream(self) -> int:
        """Whose the episodes of this ledger are: an old one goes on with those that it has."""
        return next(iter(self.rows.values())).stream if self.rows else OWN

    def find(self, key: tuple[Any, ...]) -> Row | None:
        return self.rows.get(key)

    def costs_of(self, row: Row) -> list[Cost]:
        """What was measured while the arm of a row was played, in all its blocks."""
        mine = (row.env, row.train, row.policy_seed, row.arm.label)
        return [c for c in self.costs if (c.env, c.train, c.policy_seed, c.arm) == mine]

    def add(self, *played: Row) -> None:
        """Keep rows as they were played, with what was measured meanwhile, in one writing."""
        with turn(self.path.parent):
            if self._now() != self._state:  # another process has added rows
                self._read()
            more, costs = {}, []
            for one in played:
                row = msgspec.structs.replace(one, **dict.fromkeys(("gflop", "decision_ms", "seconds", *MEASURED)))
                if row.key not in self.rows and row.key not in more:
                    more[row.key] = row
                    costs.append(_cost(one))
            if more:
                self._write(more, costs)

    def _write(self, more: dict[tuple[Any, ...], Row], costs: list[Cost]) -> None:
        rows = self.rows | more
        # The costs first, so that no row is without its cost
        costs = [*self.costs, *costs]
        write_csv(self.path.with_name("costs.csv"), costs, told(costs))
        self.costs = costs
        rows = {key: rows[key] for key in sorted(rows, key=_natural)}
        write_csv(self.path, rows.values(), columns(rows.values()))
        self.rows, self._state = rows, self._now()


def _cost(played: Row) -> Cost:
    measured = {name: getattr(played, name) for name in ("gflop", "decision_ms", "seconds", *MEASURED)}
    return Cost(played.env, played.train, played.policy_seed, played.arm.label, **measured)


@dataclass(frozen=True)
class Player:
    """Plays the arms of one policy in its environment, unless the ledger has them."""

    policy: Callable[[], Policy]  # called when there is something to play
    env: str
    ledger: Ledger
    envs: Callable[[], Any] = field(default=lambda: None)  # environment processes, likewise
    train: str = ""  # name of the training settings
    policy_seed: int = 0
    training_seed: int | None = None  # policy_seed if not given; a run of several seeds counts its own from 0
    updates: int = 0
    rule: str = ""  # what success is, if it was asked for
    progress: Callable[[str, int, int | None, int], None] = field(default=lambda name, done, wins, total: None)

    def find(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> Row | None:
        """The row of one block of episodes, if it has been played."""
        return self.ledger.find(self._key(arm, split, seed, first, episodes))

    def play(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> Row:
        """The row of one block of episodes, played now if it never was."""
        if (row := self.find(arm, split, seed, first, episodes)) is None:
            played = self.played(arm, split, seed, first, episodes)
            self.ledger.add(played)
            row = self.ledger.rows[played.key]
        return row

    def played(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> Row:
        """The row of one block of episodes, played now, with what was measured, whatever the ledger has."""
        tell = lambda done, wins, total: self.progress(f"{split}: {arm.label}", done, wins, total)
        policy = arm.of(self.policy())
        own = self.policy_seed if self.training_seed is None else self.training_seed
        whose = own if self.ledger.stream == OWN else None
        score = evaluate(
            policy,
            self.env,
            episodes,
            seed,
            self.envs(),
            tell,
            first,
            arm.execute,
            self.rule,
            training_seed=whose,
            warm=arm.warm,
        )
        score = replace(score, arm=arm, policy_seed=self.policy_seed, updates=self.updates)
        return score.row(train=self.train, split=split)

    def _key(self, arm: Arm, split: str, seed: int, first: int, episodes: int) -> tuple[Any, ...]:
        whose = dict(env=self.env, train=self.train, policy_seed=self.policy_seed, updates=self.updates)
        block = dict(split=split, stream=self.ledger.stream, seed=seed, first=first, episodes=episodes, rule=self.rule)
        numbers = {name: exact(getattr(arm, name)) for name in ("strength", "weight", "cap_step", "cap_dim", "warm")}
        known = whose | asdict(arm) | block | numbers
        return tuple(known[name] for name in (*KEY, *LATER))


def _read(path: Path, kind, columns=()) -> list:
    """The rows of one of the two files."""
    try:
        rows = read_csv(path, kind, columns)
    except UserError as error:
        raise UserError(f"{error}; move the file away, or delete the line, to play its episodes again") from None
    if lines := [k for k, row in enumerate(rows, 2) if isinstance(row, Row) and not (row.outcomes or row.each)]:
        raise UserError(f"{path}: at line {lines[0]}: no outcomes; delete the line to play its episodes again")
    return rows


def _natural(key: tuple[Any, ...]) -> tuple:
    """Numbers by size, words by alphabet, and last what is not given."""

    def rank(x):
        if isinstance(x, str) and not x.replace(".", "", 1).isdecimal():
            return (1, 0.0, x)
        return (1, 0.0, "") if x is None else (0, float(x), str(x))

    return tuple(map(rank, key))
