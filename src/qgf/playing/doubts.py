"""What should make one doubt a run and what was played with it: its data, its training, its evaluation."""

from __future__ import annotations

from collections.abc import Iterable

from qgf.playing.rows import Row
from qgf.playing.scores import read_scores
from qgf.training.doubts import doubts as of_training
from qgf.training.run import Run
from qgf.training.validation import verdicts


def doubts(run: Run) -> list[str]:
    """A sentence each, of what the run directory holds."""
    data = run.record.get("data") or {}
    played = unpaired(read_scores(run.directory / "evaluation.csv"))
    judged = dict.fromkeys(line for seed in range(run.config.seeds) for line in verdicts(run.played(seed)))
    return [*data.get("look_at", ()), *of_training(run.metrics()), *judged, *played]


def unpaired(rows: Iterable[Row]) -> list[str]:
    """Of every environment in which the arms of the newest policies were not played on the same episodes."""
    rows = list(rows)
    newest = max((row.updates for row in rows), default=0)
    played: dict[str, dict[str, set]] = {}
    for row in rows:
        if row.updates == newest:
            mine = played.setdefault(row.env, {}).setdefault(row.arm.label, set())
            mine |= {(row.policy_seed, row.stream, row.seed, row.first + k) for k in range(row.episodes)}
    notes = []
    for env, arms in played.items():
        if any(episodes != next(iter(arms.values())) for episodes in arms.values()):
            counts = ", ".join(f"{label} {len(episodes)}" for label, episodes in arms.items())
            notes.append(
                f"the arms in {env} were not played on the same episodes ({counts}): what tells them apart may be luck"
            )
    return notes
