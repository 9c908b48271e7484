"""What arms scored, and evaluation.csv, where it is kept."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from qgf.files import atomic_path
from qgf.playing.arm import Arm
from qgf.statistics import wilson


@dataclass(frozen=True)
class Score:
    """What one arm did, episode by episode; arrays are [episodes] in the order of the seeds."""

    env: str
    seed: int
    success: np.ndarray  # whether the task was solved
    returns: np.ndarray  # sum of rewards
    lengths: np.ndarray  # environment steps
    value: np.ndarray  # mean critic value of the chunks chosen
    ratio: np.ndarray  # mean |w g| / |v|
    skipped: np.ndarray  # denoising steps left unguided because the gradient was not finite
    seconds: float  # wall time of the arm
    decision_ms: float  # mean time per call of the policy, for all lanes together
    weight: float  # raw guidance weight
    gflop: float = float("nan")  # 1e9 floating-point operations per action chunk of one observation, counted
    first: int = 0  # number of the first episode
    updates: int = 0
    arm: Arm = field(default_factory=Arm)
    policy_seed: int = 0
    paths: list[np.ndarray] = field(
        default_factory=list, repr=False
    )  # per episode: observation at each decision [C, S]

    @property
    def episodes(self) -> int:
        return len(self.success)

    @property
    def rate(self) -> float:
        """Fraction of episodes in which the task was solved."""
        return float(np.mean(self.success))

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the success rate."""
        return wilson(int(self.success.sum()), self.episodes)

    def row(self) -> dict[str, object]:
        low, high = self.interval
        arm = self.arm
        return dict(
            env=self.env, policy_seed=self.policy_seed, updates=self.updates, guide=arm.guide,
            strength="" if arm.strength is None else arm.strength, weight=f"{self.weight:.6g}", best_of=arm.best_of,
            steps=arm.steps or "", schedule=arm.schedule, seed=self.seed, first=self.first, episodes=self.episodes,
            successes=int(self.success.sum()),
            success=f"{self.rate:.4f}", low=f"{low:.4f}", high=f"{high:.4f}", **{
                name: f"{np.mean(getattr(self, name)):.4f}" for name in ("returns", "lengths", "value", "ratio")
            }, skipped=int(self.skipped.sum()), gflop=f"{self.gflop:.6g}", decision_ms=f"{self.decision_ms:.2f}",
            seconds=f"{self.seconds:.1f}", outcomes="".join("01"[int(x)] for x in self.success),
        )  # fmt: skip


def pooled(scores: list[Score], env: str) -> Score:
    """The episodes of one arm in several environments as one score, under the name `env`."""
    names = ("success", "returns", "lengths", "value", "ratio", "skipped")
    joined: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in scores]) for name in names}
    seconds, decision_ms = sum(s.seconds for s in scores), float(np.mean([s.decision_ms for s in scores]))
    paths = [path for s in scores for path in s.paths]
    return replace(scores[0], env=env, seconds=seconds, decision_ms=decision_ms, paths=paths, **joined)


KEY = (
    "env", "policy_seed", "updates", "guide", "strength", "weight", "best_of", "steps", "schedule", "seed", "first",
    "episodes",
)  # fmt: skip


def read_scores(path: Path) -> list[dict[str, str]]:
    """The rows of an evaluation.csv, none if there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [dict(schedule="constant", first="0", gflop="", outcomes="") | row for row in csv.DictReader(file)]


def write_scores(path: Path, scores: list[Score]) -> None:
    """Add rows to evaluation.csv; an arm that was evaluated before on the same episodes is replaced."""
    rows = {tuple(row[k] for k in KEY): row for row in read_scores(path)}
    for score in scores:
        row = {key: str(x) for key, x in score.row().items()}
        rows[tuple(row[k] for k in KEY)] = row
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(next(iter(rows.values()))))
        table.writeheader()
        table.writerows(rows.values())
