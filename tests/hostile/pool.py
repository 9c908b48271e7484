"""Processes that try inputs, started again where one dies, and the table of what came of all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import qgf

PATIENCE = 90
"""Seconds without a word after which a process is taken to hang in a library, where no signal reaches it."""
GOOD = ("clear", "same", "legal", "caution")
BAD = ("silent", "traceback", "hang", "crash", "memory", "written", "executed")


@dataclass
class Report:
    """What came of all inputs."""

    outcomes: dict[str, Counter] = field(default_factory=dict)  # by kind
    accepted: Counter = field(default_factory=Counter)  # (kind, what was done, why it was accepted)
    bad: list[dict] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)  # kinds that are done
    seconds: dict[str, float] = field(default_factory=dict)  # of CPU, by kind

    def add(self, kind: str, outcome: str, line: str, word: str, **more) -> None:
        self.outcomes.setdefault(kind, Counter())[outcome] += 1
        if outcome in ("legal", "caution", "same"):
            self.accepted[kind, word, dict(caution="a caution says that it changed").get(outcome, line)] += 1
        elif outcome in BAD:
            self.bad.append(dict(kind=kind, outcome=outcome, line=line, word=word) | more)

    @property
    def tried(self) -> int:
        return sum(map(sum, (counts.values() for counts in self.outcomes.values())))

    def table(self) -> str:
        head = ("kind", "tried", *GOOD, *BAD)
        rows = [
            (kind, str(sum(c.values())), *(str(c[name]) for name in GOOD + BAD)) for kind, c in self.outcomes.items()
        ]
        total = sum(self.outcomes.values(), Counter())
        rows.append(("all", str(self.tried), *(str(total[name]) for name in GOOD + BAD)))
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
        return "\n".join(
            "  ".join(x.ljust(n) if k == 0 else x.rjust(n) for k, (x, n) in enumerate(zip(row, widths, strict=True)))
            for row in (head, *rows)
        )

    def reasons(self) -> str:
        """Every way in which something that was changed was accepted, and why."""
        return "\n".join(f"{n:6}  {kind}: {word}: {why}" for (kind, word, why), n in sorted(self.accepted.items()))


def run(base: Path, inputs: int, processes: int = 1, only: str = "") -> Report:
    """Try `inputs` changes of every kind of artefact below `base` whose name begins with `only`."""
    from hostile.kinds import KINDS

    report, lock = Report(), threading.Lock()
    named = [kind.name for kind in KINDS if kind.name.startswith(only)]
    shares = [named[k::processes] for k in range(processes)]
    with ThreadPoolExecutor(processes) as threads:
        for done in [threads.submit(_drive, base, inputs, share, report, lock) for share in shares]:
            done.result()
    report.outcomes = {kind.name: report.outcomes[kind.name] for kind in KINDS if kind.name in report.outcomes}
    return report


def _drive(base: Path, inputs: int, share: list[str], report: Report, lock: threading.Lock) -> None:
    """One process after another, until all kinds of the share are done."""
    done, skip = 0, 0
    while done < len(share):
        begun: dict = {}
        code = _follow(base, inputs, share[done:], skip, begun, report, lock)
        if code == 0:
            return
        if code == 1 or not begun.get("number"):
            raise RuntimeError(f"the process that tries inputs is wrong itself: it ended with {code} ({begun})")
        with lock:
            outcome = "hang" if code is None else "crash"
            report.add(
                begun["begins"],
                outcome,
                f"the process ended with {code}" if code else f"silent for {PATIENCE} s",
                begun["word"],
                file=begun["file"],
            )
            done, skip = sum(name in report.ended for name in share), begun["number"]


def _follow(base, inputs, names, skip, begun: dict, report: Report, lock) -> int | None:
    """Start a process and keep what it says; its status, None if it said nothing for too long."""
    source, tests = Path(qgf.__file__).parents[1], Path(__file__).parents[1]
    path = os.pathsep.join([str(source), str(tests)])
    env = {name: x for name, x in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}  # others hold its lock
    command = [sys.executable, "-W", "ignore", "-m", "hostile.worker", str(base), str(inputs), str(skip), *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env | dict(PYTHONPATH=path))
    lines: Queue[str | None] = Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda: [*map(lines.put, process.stdout), lines.put(None)], daemon=True).start()
    patience = 2 * PATIENCE  # it begins with its imports
    while True:
        try:
            line = lines.get(timeout=patience)
        except Empty:
            process.kill()
            process.wait()
            return None
        if line is None:
            return process.wait()
        patience, told = PATIENCE, json.loads(line)
        with lock:
            if "begins" in told:
                begun.update(told)
            elif "ends" in told:
                report.seconds[told["ends"]] = report.seconds.get(told["ends"], 0) + told["seconds"]
                report.ended.add(told["ends"])
                print(f"{told['ends']}: {dict(report.outcomes[told['ends']])}", file=sys.stderr, flush=True)
            else:
                report.add(**told)
