"""What arms scored, and evaluation.csv, where it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from qgf.files import as_written, read_csv, write_csv
from qgf.playing.arm import Arm
from qgf.playing.measure import Measure, interval
from qgf.playing.rows import MEASURED, SHARED, Row, columns


@dataclass(frozen=True)
class Score:
    """What one arm did, episode by episode; arrays are [episodes] in the order of the seeds."""

    env: str
    seed: int
    success: np.ndarray | None  # whether the task was solved; None where nothing says what that is
    returns: np.ndarray  # sum of rewards
    lengths: np.ndarray  # environment steps
    value: np.ndarray  # mean critic value of the chunks chosen
    ratio: np.ndarray  # mean |w g| / |v|
    skipped: np.ndarray  # denoising steps left unguided because the gradient was not finite
    seconds: float  # wall time of the arm
    decision_ms: float  # mean time per call of the policy, for all lanes together
    weight: float  # raw guidance weight
    agreement: float = float("nan")  # mean cosine of the critics' gradients at what was played; nan: a single critic
    gflop: float = float("nan")  # 1e9 floating-point operations per action chunk of one observation, counted
    displacement: float = nan  # from the unguided actions at the same decisions, in sigma_a
    nats: float = nan  # divergence of the guided from the unguided paths, mean over decisions
    jerk: float = nan
    fallbacks: float = nan  # share of decisions in which the fallback acted; nan where there is none
    first: int = 0  # number of the first episode
    stream: int = SHARED  # whose the episodes are
    updates: int = 0
    arm: Arm = field(default_factory=Arm)
    policy_seed: int = 0
    rule: str = ""  # what success is, where that was asked for
    paths: list[np.ndarray] = field(
        default_factory=list, repr=False
    )  # per episode: observation at each decision [C, S]

    @property
    def episodes(self) -> int:
        return len(self.returns)

    @property
    def measure(self) -> Measure:
        """By what the arm is compared with others."""
        return "return" if self.success is None else "success"

    @property
    def scores(self) -> np.ndarray:
        """1 or 0 for success, or the return, of each episode."""
        return self.returns if self.success is None else self.success.astype(float)

    @property
    def rate(self) -> float:
        """Fraction of episodes in which the task was solved; nan where nothing says what that is."""
        return nan if self.success is None else float(np.mean(self.success))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the success rate (Wilson's), or of the mean return (the bootstrap's)."""
        return interval(self.scores, self.measure)

    def row(self, **more) -> Row:
        """The row of this score, with further columns (train, split)."""
        told: dict[str, Any] = dict(each=" ".join(f"{x:.8g}" for x in self.returns))
        told |= dict.fromkeys(("successes", "success", "low", "high"))
        if self.success is not None:
            low, high = self.interval
            told = dict(successes=int(self.success.sum()), success=self.rate, low=low, high=high)
            told["outcomes"] = "".join("01"[int(x)] for x in self.success)
        means: dict[str, Any] = {
            name: float(np.mean(getattr(self, name))) for name in ("returns", "lengths", "value", "ratio")
        }
        measured: dict[str, Any] = {name: None if np.isnan(x := getattr(self, name)) else x for name in MEASURED}
        row = Row(
            env=self.env, policy_seed=self.policy_seed, updates=self.updates, seed=self.seed, first=self.first,
            stream=self.stream, episodes=self.episodes, raw_weight=self.weight, skipped=int(self.skipped.sum()),
            rule=self.rule, gflop=self.gflop,
            decision_ms=self.decision_ms, seconds=self.seconds, **asdict(self.arm), **means, **told, **more,
            **measured,
        )  # fmt: skip
        return as_written(row)


def pooled(scores: list[Score], env: str) -> Score:
    """The episodes of one arm in several environments as one score, under the name `env`."""
    names = (
        *(("success",) if scores[0].success is not None else ()),
        "returns",
        "lengths",
        "value",
        "ratio",
        "skipped",
    )
    joined: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in scores]) for name in names}
    seconds, decision_ms = sum(s.seconds for s in scores), float(np.mean([s.decision_ms for s in scores]))
    paths = [path for s in scores for path in s.paths]
    joined |= {name: float(np.mean([getattr(s, name) for s in scores])) for name in MEASURED}
    return replace(scores[0], env=env, seconds=seconds, decision_ms=decision_ms, paths=paths, **joined)


def read_scores(path: Path) -> list[Row]:
    """The rows of an evaluation.csv, none if there is no such file. Old ones have the raw weight alone, as `weight`."""
    rows = read_csv(path, Row)
    return [row if row.raw_weight is not None else _of_old(row) for row in rows]


def _of_old(row: Row) -> Row:
    asked = row.guide != "none" and row.strength is None
    return msgspec.structs.replace(row, raw_weight=row.weight, weight=row.weight if asked else None)


def write_scores(path: Path, scores: list[Score]) -> None:
    """Add rows to evaluation.csv; an arm that was evaluated before on the same episodes is replaced."""
    rows = {row.key: row for row in [*read_scores(path), *(score.row() for score in scores)]}
    names = tuple(name for name in columns(rows.values()) if name not in ("train", "split"))
    known = tuple(x for x in MEASURED if x == "agreement" or any(getattr(row, x) is not None for row in rows.values()))
    write_csv(path, rows.values(), (*names, *known, "gflop", "decision_ms", "seconds"))
