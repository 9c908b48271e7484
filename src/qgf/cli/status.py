"""`qgf status`: Say what a run or a study is, how far it is, and what should make one doubt it."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from qgf.cli.printing import closing, console, print_table
from qgf.errors import UserError

if TYPE_CHECKING:
    from qgf.training.run import Run

SHOWN = ("loss/", "val/", "critic/", "flow/", "q", "v", "target")
"""What is told of the last row of metrics.csv, by how it begins."""


def status(run: tyro.conf.Positional[Path], /, out: Path = Path("runs/studies"), every: float = 0):
    """Say what a run is, how far it is, its last losses, what was played, what to doubt, and what to do next; of a
    study which runs are done, running and where, or waiting and for which, and the time left.

    Args:
        run: The directory of a run, or of a study's results, or a study file.
        out: Where the results of a study file go, as for compare.
        every: Show the table of a study file anew after so many seconds, until it is done; by default once.
    """
    from qgf.training.run import Run

    if run.suffix == ".toml":
        return _runs(run, out, every)
    if not (run / "config.json").exists():
        return _study(run)
    one = Run(run)
    record, config = one.record, one.config
    seeds = f", {config.seeds} seeds" if config.seeds > 1 else ""
    console.print(f"{run}: {config.method.name} with critic {config.method.critic.name} on {record['dataset']}{seeds}")
    done = _updates(one)
    console.print(f"{done:,} of {config.steps:,} updates{_checkpoints(one)}")
    _print_losses(one)
    _print_played(one)
    _print_doubts(one)
    said, *following = _following(one, done)
    closing(str(said), *following)


def _updates(run: Run) -> int:
    """The last update that was logged, or of the policy where nothing was."""
    metrics = run.metrics()
    if metrics and len(metrics["step"]):
        return int(metrics["step"].max())
    return run.trained().updates if (run.directory / "policy").exists() else 0


def _checkpoints(run: Run) -> str:
    kept = sorted(int(path.name) for path in (run.directory / "checkpoints").glob("*") if path.name.isdecimal())
    return f", checkpoints at {', '.join(f'{step:,}' for step in kept)}" if kept else ""


def _print_losses(run: Run) -> None:
    metrics = run.metrics()
    if not metrics or not len(metrics["step"]):
        return
    last = metrics["step"] == metrics["step"].max()
    told = [name for name in metrics if name.startswith(SHOWN)]
    console.print(", ".join(f"{name} {metrics[name][last].mean():.4g}" for name in told))


def _print_played(run: Run) -> None:
    from qgf.pages.arms import newest
    from qgf.playing.scores import read_scores

    for env, arms in newest(read_scores(run.directory / "evaluation.csv")).items():
        shown = ", ".join(f"{x.label} {x.shown} in {x.episodes} episodes" for x in arms)
        console.print(f"played {env}: {shown}")


def _print_doubts(run: Run) -> None:
    from qgf.playing.doubts import doubts

    for note in doubts(run):
        console.print(f"doubt: {note}")


def _following(run: Run, done: int) -> tuple[object, ...]:
    """What is said last, and the command that goes on."""
    from qgf.cli.evaluate import environment_of

    if done < run.config.steps and not (run.directory / "policy").exists():
        return "it is not finished: the command that began it goes on", "export", run.directory
    if (run.directory / "evaluation.csv").exists():
        return "it was trained and played", "report", run.directory
    if environment_of(run) is None:
        return "it was trained", "evaluate", run.directory, "--env", "NAME"
    return "it was trained", "evaluate", run.directory


def _runs(file: Path, out: Path, every: float) -> None:
    from qgf.laboratory.standing import left_of_all, standing
    from qgf.laboratory.study import read_study

    study = read_study(file)
    while True:
        runs, played, blocks = standing(study, out)
        rows = [[x.run, x.state, x.where, f"{x.updates:,} of {x.steps:,}", _shown(x.left)] for x in runs]
        print_table(("run", "state", "where, or for what", "updates", "left"), rows, words=3)
        done = sum(x.state == "done" for x in runs)
        left = left_of_all(runs)
        more = "" if left is None else f"; {_shown(left)} left of all trainings, at this pace"
        console.print(
            f"{done} of {len(runs)} runs, {played} of {blocks} blocks that are played whatever is chosen{more}"
        )
        if not every or (done == len(runs) and played == blocks):
            return
        time.sleep(every)


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))


def _study(folder: Path) -> None:
    from qgf.playing.ledger import Ledger

    if not (folder / "episodes.csv").exists():
        raise UserError(f"{folder}: neither a run (config.json) nor a study's results (episodes.csv)")
    rows = list(Ledger(folder / "episodes.csv").rows.values())
    envs = sorted({row.env for row in rows})
    console.print(f"{folder}: {sum(row.episodes for row in rows):,} episodes of {len(rows):,} arms and blocks")
    for env in envs:
        mine = [row for row in rows if row.env == env]
        by = {split: sum(row.episodes for row in mine if row.split == split) for split in ("tuning", "held-out")}
        console.print(f"{env}: {by['held-out']:,} held-out episodes, {by['tuning']:,} of tuning")
    tables = "its tables are written" if (folder / "aggregate.md").exists() else "no tables yet"
    console.print(f"{tables}; qgf compare on its study file plays what is missing")
