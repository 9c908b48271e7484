"""Jobs under SLURM, on a cluster whose machines see the same folders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from qgf.errors import UserError
from qgf.laboratory.engines.engine import Asked, Died, T, retold
from qgf.laboratory.engines.remote import MANY, TRIES, begun, package

HOURS = 24
"""What a job asks for; one that needs more goes on in the next."""
EVERY = 2.0
"""Seconds between two looks at the jobs."""


class OnSlurm:
    """A job for every task, submitted from this machine, which waits for them all; what they say goes to `folder`.
    `slurm:local` runs the same jobs as processes of this machine.

    Raises UserError if submitit is not installed or SLURM is not there.
    """

    slots = MANY

    def __init__(self, asked: Asked, files: list[Path], folder: Path, every: float = EVERY):
        submitit = package("submitit", "slurm")
        self._files, self._cpus, self._every = files, asked.cpus or 1, every
        cluster = asked.where if asked.where in ("local", "debug") else "slurm"
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
        except RuntimeError as error:
            raise UserError(f"--engine {asked.engine}: {error}; submit from a machine that has sbatch") from error
        self._executor.update_parameters(name="qgf", timeout_min=60 * HOURS)
        if cluster == "slurm":
            more = dict(slurm_partition=asked.where) if asked.where else {}
            self._executor.update_parameters(cpus_per_task=self._cpus, slurm_gres=_gres(asked.gpus), **more)
        self._lost = submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError
        self._jobs: dict[Future, tuple[Any, tuple, int]] = {}  # job, task and arguments, how often
        self._closed, self._lock = threading.Event(), threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        future: Future[T] = Future()
        self._submit(future, (task, arguments), 1)
        return future

    def _submit(self, future: Future, what: tuple, time: int) -> None:
        job = self._executor.submit(begun, *what, self._files, self._cpus)
        with self._lock:
            self._jobs[future] = job, what, time

    def _watch(self) -> None:
        while not self._closed.wait(self._every):
            with self._lock:
                ended = {future: found for future, found in self._jobs.items() if found[0].done()}
                for future in ended:
                    del self._jobs[future]
            for future, (job, what, time) in ended.items():
                self._answer(future, job, what, time)

    def _answer(self, future: Future, job: Any, what: tuple, time: int) -> None:
        """Hand on what a job that ended has left, or submit it again if that is nothing."""
        try:
            future.set_result(retold(job.result()))
        except UserError as error:
            future.set_exception(error)
        except self._lost as error:
            if time < TRIES and not isinstance(error, self._lost[1]):
                return self._submit(future, what, time + 1)
            future.set_exception(Died(f"was lost {time} times, or failed: see {job.paths.stderr}"))

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            for job, *_ in self._jobs.values():
                job.cancel()


def _gres(gpus: float) -> str | None:
    return f"gpu:{max(1, round(gpus))}" if gpus else None
