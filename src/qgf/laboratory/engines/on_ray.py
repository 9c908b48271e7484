"""Tasks of a Ray cluster, whose machines see the same folders."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from qgf.errors import UserError
from qgf.laboratory.engines.engine import Asked, Died, T, retold
from qgf.laboratory.engines.remote import MANY, TRIES, begun, package


class OnRay:
    """Ray places every task, and begins it again where its process or its machine is lost.

    Raises UserError if Ray is not installed or there is no cluster at the address.
    """

    slots = MANY

    def __init__(self, asked: Asked, files: list[Path]):
        self._ray, self._files, self._cpus = package("ray", "ray"), files, asked.cpus or 1
        self._mine = not self._ray.is_initialized()
        if self._mine:
            _check(asked)
            path = os.pathsep.join(os.path.abspath(place) for place in sys.path)
            try:
                self._ray.init(
                    address=asked.where or "local",
                    log_to_driver=False,
                    include_dashboard=False if not asked.where else None,
                    runtime_env=dict(env_vars=dict(PYTHONPATH=path)),
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(f"--engine {asked.engine}: no Ray cluster answers there ({error})") from error
        tries = dict(max_retries=TRIES - 1, retry_exceptions=False)
        self._begun = self._ray.remote(num_cpus=self._cpus, num_gpus=asked.gpus, **tries)(begun)

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        whole: Future[T] = Future()

        def answered(future: Future) -> None:
            try:
                whole.set_result(retold(future.result()))
            except UserError as error:
                whole.set_exception(error)
            except self._ray.exceptions.RayError as error:
                lines = str(error).splitlines()
                whole.set_exception(
                    Died(f"was lost {TRIES} times, or could not begin ({lines[0] if lines else error})")
                )

        self._begun.remote(task, arguments, self._files, self._cpus).future().add_done_callback(answered)
        return whole

    def close(self) -> None:
        if self._mine:
            self._ray.shutdown()


def _check(asked: Asked) -> None:
    """Raises UserError if nobody listens at the address: Ray itself would try for minutes."""
    host, _, port = asked.where.rpartition(":")
    if asked.where in ("", "auto"):
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UserError(f"--engine {asked.engine}: no Ray cluster answers there ({error}); give HOST:PORT") from None
