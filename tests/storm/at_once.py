"""Evaluate, tune, report and compare on one run from several processes at once: every row that was asked for is there
once, in every file of results.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from qgf.files import read_csv
from qgf.files.whole import is_temporary
from qgf.laboratory.verify import verify
from qgf.playing.ledger import Cost
from qgf.playing.rows import Row
from storm.commands import ENV, TINY, alone, call

PROCESSES = 4
WAIT = 600.0
"""Seconds for a round, in which the four wait for each other."""
BUSY = "is being written by another process; try again"
STUDY = f"""
episodes = 1
seed = {{seed}}
{TINY}
steps = 20
[method.flow]
guide = "none"
[method.qgf]
strength = 1
"""
RUN = f"out/runs/{ENV}-task1-tiny-seed0"
CALLS = {
    "evaluate": f"evaluate {RUN} --guide none qgf --strength 1 --episodes 1 --seed {{seed}}",
    "tune": f"tune {RUN} --strength 1 2 --rungs 1 --episodes 1 --seed {{seed}} --tuning-seed {{other}}",
    "report": f"report {RUN}",
    "compare": "compare {mine}/study.toml --out out --data-dir . --jobs 1",
}
EVALUATED, TUNED, STUDIED = f"{RUN}/evaluation.csv", f"{RUN}/tuning/episodes.csv", "out/study/episodes.csv"
FIRST, APART = 0, 100_000
"""Seed of the study that trains the run; how far seeds of tuning are from those of its report."""


def task(mine: int, number: int) -> tuple[str, list[int]]:
    """What a process does in a round, and with which seeds: every other round each process another command, and in
    those between all the same, with episodes of their own and then with some that all of them play.
    """
    names, own = list(CALLS), 1000 * (1 + mine) + number
    half, together = divmod(number, 2)
    return (names[half % len(names)], [own, 9000 + number]) if together else (names[(half + mine) % len(names)], [own])


def prepare(folder: Path) -> None:
    """Train the run, with the study that shares it."""
    ask(folder, "compare", 0, FIRST)


def ask(folder: Path, name: str, mine: int, seed: int) -> int:
    """Call it until it is not told that another process writes there, as its user would; how often it was told."""
    where = folder / str(mine)
    where.mkdir(exist_ok=True)
    (where / "study.toml").write_text(STUDY.format(seed=seed))
    told = 0
    while True:
        status, said = call(CALLS[name].format(seed=seed, other=APART + seed, mine=mine), folder)
        if status == 0:
            return told
        assert status == 2 and BUSY in said and "\n" not in said, (status, said)
        told += 1
        time.sleep(0.2)


def work(folder: Path, mine: int, rounds: int, together: Any, told: Any) -> None:
    """What one process does, in step with the others."""
    busy = 0
    try:
        with alone():
            for number in range(rounds):
                together.wait(WAIT)
                name, seeds = task(mine, number)
                busy += sum(ask(folder, name, mine, seed) for seed in seeds)
    except BaseException:
        together.abort()  # nobody waits for this one any more
        raise
    told.put(busy)


def at_once(folder: Path, rounds: int) -> tuple[list[str], str]:
    """Run them below a folder that holds a maze dataset: what is wrong, and what was done in a line."""
    with alone():
        prepare(folder)
    spawn = get_context("spawn")
    together, told = spawn.Barrier(PROCESSES), spawn.Queue()
    processes = [spawn.Process(target=work, args=(folder, k, rounds, together, told)) for k in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    wrong = [f"process {k} ended with status {x.exitcode}" for k, x in enumerate(processes) if x.exitcode]
    busy = sum(told.get() for process in processes if not process.exitcode)
    wrong += judged(folder, rounds)
    calls = sum(len(task(mine, number)[1]) for mine in range(PROCESSES) for number in range(rounds))
    rows = sum(len(read_csv(folder / name, Row)) for name in wanted(rounds))
    done = f"{rounds} rounds, {calls} commands from {PROCESSES} processes, {busy} times told to try again"
    return wrong, f"{done}; {rows} rows, {len(wrong)} wrong"


def wanted(rounds: int) -> dict[str, list[tuple]]:
    """Every row (guide, strength, split, seed) that has to be there, by file; of what tuning reports the control, as
    the others depend on what it chose.
    """
    seeds: dict[str, set[int]] = {name: set() for name in CALLS}
    for mine, number in product(range(PROCESSES), range(rounds)):
        name, mine_now = task(mine, number)
        seeds[name] |= set(mine_now)
    none, one, two = ("none", None), ("qgf", 1.0), ("qgf", 2.0)
    tuning = [(*arm, "tuning", APART + x) for x in seeds["tune"] for arm in (one, two)]
    return {
        EVALUATED: [(*arm, "", x) for x in seeds["evaluate"] for arm in (none, one)],
        TUNED: tuning + [(*none, "held-out", x) for x in seeds["tune"]],
        STUDIED: [(*arm, "held-out", x) for x in (FIRST, *seeds["compare"]) for arm in (none, one)],
    }


def judged(folder: Path, rounds: int) -> list[str]:
    """What is wrong with the results: rows that are not there, or twice, or that nobody asked for; damage; what is left
    over.
    """
    wrong = []
    for name, want in wanted(rounds).items():
        rows = read_csv(folder / name, Row)
        found = Counter((row.guide, row.strength, row.split, row.seed) for row in rows)
        wrong += [f"{name}: {row} is there {found[row]} times" for row in want if found[row] != 1]
        reported = {row for row in found if name == TUNED and row[2] == "held-out"}
        wrong += [f"{name}: {row} is there {found[row]} times" for row in reported if found[row] != 1]
        wrong += [f"{name}: nobody asked for {row}" for row in found.keys() - reported - set(want)]
        if name != EVALUATED and len(costs := read_csv((folder / name).with_name("costs.csv"), Cost)) != len(rows):
            wrong.append(f"{name}: {len(costs)} costs of {len(rows)} rows")
    wrong += [f"{found.path}: {line}" for found in verify([folder / "out"]) for line in found.damage]
    return wrong + [f"{path} is left over" for path in (folder / "out").rglob("*") if is_temporary(path)]
