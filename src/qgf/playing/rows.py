"""A row of results: what one arm of one policy did in a block of episodes. Every file of results holds such rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np

from qgf.files import Count, Digits, Number
from qgf.playing.arm import Arm
from qgf.playing.measure import Measure

Exact = Annotated[float, Digits(".12g")]  # 1 and 1.0 are the same strength
Mean = Annotated[float, Digits(".4f")]
Measured = Annotated[float, Digits(".6g")]

ARM = ("guide", "strength", "weight", "best_of", "steps", "schedule")
MORE = (
    "execute", "members", "choose", "robust", "fallback", "cap_step", "cap_dim", "warm", "solver", "guide_steps",
    "metric", "guided_dims",
)  # fmt: skip
"""What an arm has, and what it has since."""
VALUES = (
    "raw_weight", "successes", "success", "low", "high", "returns", "lengths", "value", "ratio", "skipped", "outcomes",
)  # fmt: skip
SHARED, OWN = 1, 2
"""Whose the episodes are: the same numbers and noise in every task and training seed (all rows of old files), or those
of one task and training seed.
"""
KEY = ("env", "train", "policy_seed", "updates", *ARM, "split", "seed", "first", "episodes")
"""What tells two rows apart, and"""
LATER = dict(execute=None, stream=SHARED, rule="", members=None, choose=None, robust=False)
LATER |= dict(fallback=None, cap_step=None, cap_dim=None, warm=None, solver=None, guide_steps=None)
LATER |= dict(metric=None, guided_dims=None)
"""what does since; files have these columns only where a row has another value."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row. A column that a file does not have keeps its default."""

    env: str
    policy_seed: Number = 0
    updates: Number = 0
    guide: str
    strength: Exact | None = None
    weight: Exact | None = None  # asked for instead of a strength
    best_of: Count
    steps: Count | None = None
    schedule: str = "constant"
    execute: Count | None = None  # actions of each chunk that were played, if not all
    members: str | None = None  # how the ensemble was asked, if not its own way
    choose: str | None = None
    robust: bool = False
    fallback: str | None = None
    cap_step: Exact | None = None
    cap_dim: Exact | None = None
    warm: Exact | None = None
    solver: str | None = None
    guide_steps: Count | None = None
    metric: str | None = None
    guided_dims: str | None = None
    stream: Count = SHARED  # whose episodes: SHARED or OWN
    seed: Number
    first: Number = 0  # number of the first episode
    episodes: Count
    raw_weight: Measured | None = None  # in force; old tables have it as `weight`
    successes: Number | None  # None where nothing says whether the task is solved, as all four
    success: Mean | None  # fraction, with Wilson's interval
    low: Mean | None
    high: Mean | None
    returns: Mean  # means over the episodes
    lengths: Mean
    value: Mean
    ratio: Mean
    skipped: Number
    outcomes: str = ""  # a digit per episode, 1 where the task was solved; old tables have none
    each: str = ""  # without successes the return of every episode
    rule: str = ""  # what success is, where that was asked for
    train: str = ""  # name of the training settings
    split: str = ""  # tuning or held-out
    task: int | None = None  # of a study, whose `env` is then without it
    method: str = ""  # of a study
    agreement: Measured | None = None  # mean cosine of the critics' gradients at what was played
    displacement: Measured | None = None  # from the unguided actions, in sigma_a (`method.harm`), means
    nats: Measured | None = None
    jerk: Measured | None = None
    fallbacks: Measured | None = None  # the share of decisions in which the fallback acted
    gflop: Measured | None = None  # per action chunk
    decision_ms: Annotated[float, Digits(".2f")] | None = None
    seconds: Annotated[float, Digits(".1f")] | None = None

    def __post_init__(self):
        if len({x is None for x in (self.successes, self.success, self.low, self.high)}) > 1:
            raise ValueError("successes, success, low and high belong together")
        if self.successes is None:
            if self.outcomes or (self.each and len(self.scores) != self.episodes):
                raise ValueError("each does not fit the count of episodes")
            return
        if self.successes > self.episodes:
            raise ValueError(f"{self.successes} successes of {self.episodes} episodes")
        counts = len(self.outcomes), self.outcomes.count("1")
        if self.outcomes and (set(self.outcomes) - {"0", "1"} or counts != (self.episodes, self.successes)):
            raise ValueError("outcomes do not fit the counts of episodes and successes")

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in (*KEY, *LATER))

    @property
    def measure(self) -> Measure:
        """By what its arm is compared with others."""
        return "return" if self.successes is None else "success"

    @property
    def scores(self) -> np.ndarray:
        """1 or 0, or the return, of each episode, [episodes]; [0] where a table has them not."""
        return self.won.astype(float) if self.measure == "success" else np.array(self.each.split(), float)

    @property
    def arm(self) -> Arm:
        return Arm(**{name: getattr(self, name) for name in (*ARM, *MORE)})

    @property
    def won(self) -> np.ndarray:
        """Success of each episode, [episodes]; [0] where a table has no outcomes."""
        return np.array([x == "1" for x in self.outcomes], bool)


def columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """What a file of these rows tells of each."""
    rows = list(rows)
    told = lambda name, usual: (name,) if any(getattr(row, name) != usual for row in rows) else ()
    later = tuple(name for known, usual in LATER.items() for name in told(known, usual))
    return KEY + later + VALUES + told("each", "")


MEASURED = ("displacement", "nats", "jerk", "fallbacks", "agreement")
"""What was measured beside success, where it was."""


def exact(x: float | None) -> float | None:
    """A strength or weight as files keep it."""
    return None if x is None else float(f"{x:.12g}")
