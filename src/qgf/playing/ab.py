"""A randomised comparison of arms, an episode at a time, that may be looked at, and stopped, after any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from qgf.errors import UserError
from qgf.files import Count, locked, read_csv, read_json, settled, write_csv, write_json
from qgf.playing.plan import Plan
from qgf.statistics import Sequential, mcnemar, sequential, wilson

Outcome = Literal["success", "failure", "abort"]
"""How an episode ended; one that was aborted says nothing of its arm, and is played again."""
OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "abort")
TRIALS, PLAN = "episodes.csv", "plan.json"


class Trial(msgspec.Struct, frozen=True):
    """A row of the file: what became of one episode."""

    number: Count  # in the order in which they were played, from 1
    block: Count
    arm: str  # its label
    outcome: Outcome
    note: str = ""


class Next(NamedTuple):
    """The episode that comes."""

    number: int
    block: int
    arm: str


class Comparison(NamedTuple):
    """The arm in question against another one, over the blocks that are whole."""

    other: str
    wins: int  # blocks in which the arm in question succeeded and the other did not
    losses: int
    mcnemar: float  # p as if nobody had looked before
    found: Sequential
    decided: str  # "better", "worse", or "" as long as it is open


class Session:
    """The episodes of a plan that were played so far, in a folder.

    Raises UserError if the folder has episodes of another plan.
    """

    def __init__(self, plan: Plan, folder: Path):
        self.plan, self.folder = plan, Path(folder)
        self.trials = read_csv(self.folder / TRIALS, Trial)
        if self.trials and read_json(self.folder / PLAN, dict[str, Any]) != plan.fixed():
            raise UserError(
                f"{self.folder}: its episodes are of another plan, and only blocks and port may change: give --out"
            )
        self._check()

    def _check(self) -> None:
        """That every row is the episode that the plan says comes next."""
        trials, self.trials = self.trials, []
        for line, trial in enumerate(trials, 2):
            if (trial.number, trial.block, trial.arm) != self._due():
                raise UserError(f"{self.folder / TRIALS}: at line {line}: is not the episode that the plan has there")
            self.trials.append(trial)

    def next(self) -> Next | None:
        """The episode that comes; None when all blocks are over, or every comparison is decided, between two blocks."""
        due = self._due()
        begins = not self.trials or due.block > self.trials[-1].block
        return None if begins and (due.block > self.plan.blocks or self.decided) else due

    def _due(self) -> Next:
        """The episode that comes, if any does."""
        block = self.trials[-1].block if self.trials else 1
        done = {trial.arm for trial in self.trials if trial.block == block and trial.outcome != "abort"}
        left = [arm for arm in self.plan.order(block) if arm not in done]
        if not left:
            block, left = block + 1, self.plan.order(block + 1)
        return Next(len(self.trials) + 1, block, left[0])

    def add(self, due: Next, outcome: Outcome, note: str = "") -> None:
        """Note how the episode that was due ended."""
        self._write([*self.trials, Trial(*due, outcome, note)])

    def undo(self) -> None:
        """Take the last episode back."""
        self._write(self.trials[:-1])

    def _write(self, trials: list[Trial]) -> None:
        if not self.trials or not settled(self.folder / PLAN):  # a kill came before it, or before its sum
            write_json(self.folder / PLAN, self.plan.fixed())
        write_csv(self.folder / TRIALS, trials, Trial.__struct_fields__)
        self.trials = trials

    def outcomes(self, arm: str) -> list[bool]:
        """Success of an arm's episodes, but for those that were aborted."""
        return [trial.outcome == "success" for trial in self.trials if trial.arm == arm and trial.outcome != "abort"]

    def aborted(self, arm: str) -> int:
        return sum(trial.arm == arm and trial.outcome == "abort" for trial in self.trials)

    def blocks(self) -> list[dict[str, bool]]:
        """The blocks that are whole: arm -> success."""
        found: dict[int, dict[str, bool]] = {}
        for trial in self.trials:
            if trial.outcome != "abort":
                found.setdefault(trial.block, {})[trial.arm] = trial.outcome == "success"
        return [block for block in found.values() if len(block) == len(self.plan.arm)]

    def comparisons(self) -> list[Comparison]:
        """The arm in question against each other one; alpha is shared among them."""
        whole, made = self.blocks(), []
        for other in self.plan.others:
            a, b = ([block[arm] for block in whole] for arm in (self.plan.asked, other))
            found = sequential(a, b, self.plan.alpha / len(self.plan.others))
            decided = "" if not found.decided else "better" if found.wins > found.losses else "worse"
            made.append(Comparison(other, found.wins, found.losses, mcnemar(a, b), found, decided))
        return made

    @property
    def decided(self) -> bool:
        return bool(self.trials) and all(one.decided for one in self.comparisons())

    def rows(self) -> list[tuple[str, int, int, int, tuple[float, float]]]:
        """Of every arm: label, successes, episodes, aborted ones, Wilson's interval."""
        found = []
        for arm in self.plan.labels:
            won = self.outcomes(arm)
            ends = wilson(sum(won), len(won)) if won else (float("nan"), float("nan"))
            found.append((arm, sum(won), len(won), self.aborted(arm), ends))
        return found


def ab(
    plan: Plan,
    folder: str | Path,
    play: Callable[[Next], Outcome],
    tell: Callable[[Session], None] = lambda session: None,
) -> Session:
    """Play a plan to its end, or on from where it stopped: `play(next)` plays one episode of the arm `next.arm` and
    says how it ended; `tell` sees the session after each. Every episode is in the folder as soon as it is over.

    In a block all arms should meet the same start, which is what `next.block` is there for. Raises UserError if the
    folder belongs to another plan, and for an outcome that is none.
    """
    with locked(folder):
        session = Session(plan, Path(folder))
        while (due := session.next()) is not None:
            outcome = play(due)
            if outcome not in OUTCOMES:
                raise UserError(f"an episode ends as one of {', '.join(OUTCOMES)}, not {outcome!r}")
            session.add(due, outcome)
            tell(session)
    return session
