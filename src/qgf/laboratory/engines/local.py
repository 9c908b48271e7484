"""Several tasks at a time in processes of this machine, each on cores of its own."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

from qgf.errors import UserError
from qgf.laboratory.engines.engine import Died, T, Tell, retold
from qgf.plugins import use
from qgf.processes import Worker, start, stay_on

TRIES = 3
"""How often a task is begun whose process is killed."""


class Local:
    """One process for each team of cores: a fresh interpreter that performs one task after the other, so that it
    imports and compiles once. One that is killed is replaced, and its task begun again.

    Not concurrent.futures' own processes: these import the program that is running again, which then needs a guard,
    and the death of one ends all the others.
    """

    def __init__(self, teams: Sequence[list[int]], files: Sequence[Path], tell: Tell):
        self.slots = len(teams)
        self._teams, self._files, self._tell = teams, list(files), tell
        self._free: SimpleQueue[int] = SimpleQueue()  # numbers of teams
        for number in range(self.slots):
            self._free.put(number)
        self._workers: dict[int, Worker] = {}
        self._threads = ThreadPoolExecutor(self.slots)
        self._closed, self._lock = False, threading.Lock()

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        return self._threads.submit(self._performed, task, arguments)

    def _performed(self, task: Callable[..., T], arguments: tuple) -> T:
        number = self._free.get()
        try:
            for left in reversed(range(TRIES)):
                worker = self._worker(number)
                with suppress(EOFError, OSError):
                    worker.connection.send((task, arguments))
                    while (told := worker.connection.recv())[0] == "said":
                        self._tell(*told[1])
                    return retold(told[1])
                status = self._ended(number)
                if status >= 0 or not left:
                    break
            raise Died(f"ended with status {status}; fewer --jobs need less memory")
        finally:
            self._free.put(number)

    def _worker(self, number: int) -> Worker:
        """The process of a team, started if it has none."""
        with self._lock:
            if self._closed:
                raise CancelledError
            if number not in self._workers:
                self._workers[number] = worker = start(work)
                with suppress(OSError):  # it is dead already: seen by who asks it next
                    worker.connection.send((self._teams[number], self._files))
            return self._workers[number]

    def _ended(self, number: int) -> int:
        """With which status the process of a team ended, which is forgotten."""
        with self._lock:
            if self._closed:
                raise CancelledError
            worker = self._workers.pop(number)
        status = worker.process.wait()
        worker.stop()
        return status

    def close(self) -> None:
        with self._lock:
            self._closed = True
        workers = list(self._workers.values())
        try:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.wait(seconds=60)  # for a checkpoint after the compiled call that runs
        finally:
            for worker in workers:
                worker.process.kill()
            self._threads.shutdown(cancel_futures=True)  # they see that their processes are gone
            for worker in workers:
                worker.stop()


def work(parent: Connection) -> NoReturn:
    """Perform the tasks that the other end sends, after the cores to use and the user's files that they may need."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the other end's way to stop it
    team, files = parent.recv()
    stay_on(team)
    _end_when_closed(parent)
    try:
        for file in files:
            use(file)
    except UserError as error:
        parent.send(("done", error))
    while True:
        task, arguments = parent.recv()
        answer: Any
        try:
            answer = task(*arguments, lambda *words: parent.send(("said", words)))
        except UserError as error:
            answer = error
        parent.send(("done", answer))


def _end_when_closed(connection: Connection) -> None:
    """Let this process end when the other end of the connection is closed, whatever it is at."""
    closed = select.poll()
    closed.register(connection.fileno(), 0)  # being hung up is told without being asked for

    def watch() -> None:
        closed.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
