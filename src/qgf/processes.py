"""Worker processes: how they start, and that they end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any


@contextmanager
def worker_processes() -> Iterator[str]:
    """How worker processes start: from a clean server where there is one, as forking a process with JAX can hang.

    Those that start meanwhile do not import the running program again: they need nothing of it, and JAX in every one
    of them takes ten seconds and gigabytes.
    """
    way = "spawn" if sys.platform == "win32" else "forkserver"
    if way == "forkserver":
        multiprocessing.set_forkserver_preload(["qgf.environments.vector"])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core per process; read by the workers' linear algebra
    program = vars(sys.modules["__main__"])
    kept: dict[str, Any] = {name: program[name] for name in ("__spec__", "__file__") if name in program}
    program.update(dict.fromkeys(kept))
    try:
        yield way
    finally:
        program.update(kept)


def end_with_parent() -> None:
    """Let this worker end when the process that started it is killed: nothing else would tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def stay_on(mine: list[int]) -> None:
    """Keep this process to some cores, where the system can; before JAX starts, which takes as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, mine)
