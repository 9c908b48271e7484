"""Worker processes: a function in an interpreter of its own, which ends with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from qgf import signals

FORK = "fork" if sys.platform == "linux" else "forkserver"
"""How a worker multiplies: by forking, as nothing has started threads in it, where the system's libraries allow it."""


class Worker(NamedTuple):
    """A process and this end of the connection to it, which is at its end (EOFError) when the process is."""

    process: subprocess.Popen
    connection: Connection

    def wait(self, seconds: float) -> None:
        """Wait so long for the process to end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def stop(self, seconds: float = 0) -> None:
        """Close the connection and wait so long for the process to end; then it is killed."""
        self.connection.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(function: Callable[[Any], None]) -> Worker:
    """Call a module's function with a connection to this process, in a fresh interpreter.

    Fresh, as forking a process with JAX can hang, and as multiprocessing would import the running program again in
    every worker: JAX costs seconds and gigabytes in each. Nothing of this process changes; its module search path goes
    along, and one thread for linear algebra unless OMP_NUM_THREADS says otherwise. Works where there are POSIX pipes.
    """
    ours, theirs = Pipe()
    path = [os.path.abspath(place) for place in sys.path]  # "" is the current directory
    code = (
        f"import sys; sys.path[:] = {path!r}; from qgf.processes import _run; "
        f"_run({theirs.fileno()}, {function.__module__!r}, {function.__qualname__!r})"
    )
    with signals.blocked():  # until it ignores them: Ctrl-C in a terminal reaches all that runs in it
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=dict(OMP_NUM_THREADS="1") | os.environ,
        )
    theirs.close()
    return Worker(process, ours)


def _run(handle: int, module: str, name: str) -> None:
    """What a worker does. Being told to stop is its parent's matter: it ends when the connection does."""
    signals.ignore()
    with Connection(handle) as connection:
        try:
            getattr(import_module(module), name)(connection)
        except (EOFError, ConnectionError):
            if _open(connection):
                raise
            os._exit(1)  # nobody is there any more to be told


def _open(connection: Connection) -> bool:
    try:
        if connection.poll():
            connection.recv()
    except (EOFError, OSError):
        return False
    return True


def end_with(sentinel: Any) -> None:
    """Let this process end when a connection that nothing more comes from is closed, or another process has ended."""

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_parent() -> None:
    """Let this forked process end when the one that forked it is killed, as nothing else would tell it, and when that
    one terminates it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if (parent := parent_process()) is not None:
        end_with(parent.sentinel)


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def stay_on(mine: list[int]) -> None:
    """Keep this process to some cores, where the system can; before JAX starts, which takes as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, mine)
