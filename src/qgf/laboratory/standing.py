"""How far a study is, from its files alone: whatever engine runs it, and wherever."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qgf.data.folder import data_dir
from qgf.files import LOCK, holder
from qgf.laboratory.compare import to_begin, to_report
from qgf.laboratory.study import Study
from qgf.laboratory.workshop import Job, Workshop
from qgf.training.run import Run


class Standing(NamedTuple):
    """One run of a study."""

    run: str
    state: str  # done, running, waiting or to do
    updates: int
    steps: int
    where: str = ""  # the process and machine that trains it, or the runs that it waits for
    left: float | None = None  # seconds, while it runs


def standing(study: Study, out: str | Path) -> tuple[list[Standing], int, int]:
    """Its runs that are known by now, with those that they borrow from; and how many of the blocks of episodes that are
    played whatever is chosen have been, and how many there are.
    """
    shop = Workshop(study, Path(out), data_dir(None), lambda *_: None)
    blocks = list(dict.fromkeys(to_begin(shop)))
    wanted = [block.job for block in blocks]
    wanted += [job for env in study.environments for job in to_report(shop, env, {})]
    jobs = dict.fromkeys(job for one in wanted for job in _with_lenders(shop, one))
    return [_of(shop, job) for job in jobs], sum(shop.found(block) is not None for block in blocks), len(blocks)


def left_of_all(runs: Sequence[Standing]) -> float | None:
    """Seconds that all their updates take at the pace of those that run, as many at a time; None where none runs."""
    pace = sum((run.steps - run.updates) / run.left for run in runs if run.left)
    return sum(run.steps - run.updates for run in runs) / pace if pace else None


def _with_lenders(shop: Workshop, job: Job) -> Iterator[Job]:
    for lender in filter(None, shop.lenders(job)):
        yield from _with_lenders(shop, lender)
    yield job


def _of(shop: Workshop, job: Job) -> Standing:
    directory, steps = shop.directory(job), shop.config(job).steps
    if shop.finished(job):
        return Standing(directory.name, "done", steps, steps)
    metrics = Run(directory).metrics() if (directory / "config.json").exists() else None
    done = int(metrics["step"].max()) if metrics and len(metrics["step"]) else 0
    if where := holder(directory):
        return Standing(directory.name, "running", done, steps, where, _left(directory, done, steps))
    waits = [shop.directory(x).name for x in shop.lenders(job) if x and not shop.finished(x)]
    return Standing(directory.name, "waiting" if waits else "to do", done, steps, ", ".join(dict.fromkeys(waits)))


def _left(directory: Path, done: int, steps: int) -> float | None:
    """Seconds that the rest takes at the pace since the oldest checkpoint that is kept, or since training began."""
    since, before = (directory / LOCK).stat().st_mtime, 0
    for kept in (directory / "checkpoints").glob("*"):
        if kept.name.isdecimal() and (not before or int(kept.name) < before):
            since, before = kept.stat().st_mtime, int(kept.name)
    pace = (done - before) / max(time.time() - since, 1e-9)
    return (steps - done) / pace if pace > 0 else None
