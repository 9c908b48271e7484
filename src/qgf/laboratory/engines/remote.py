"""What a task does on another machine, and how its answer comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from qgf.errors import UserError
from qgf.plugins import use

MANY = 1000
"""Tasks that are handed over at a time; the cluster lets them wait."""
TRIES = 5
"""How often a task is begun whose process or machine is lost, is pre-empted or runs out of time."""


def package(name: str, extra: str) -> ModuleType:
    """A package that an engine needs. Raises UserError, with the command that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"this engine needs {error.name or name}: pip install 'qgf[{extra}]'") from error


def begun(task: Callable[..., Any], arguments: Sequence[Any], files: Sequence[Path], cpus: int) -> Any:
    """What a task returns, or a user's mistake, as a value: it is no reason to try again.

    Told to stop (SIGTERM; SIGUSR2, by which SLURM says that time is up) a training writes a checkpoint after the
    compiled call that runs. Then the process ends by the signal, for which engines begin a task again.
    """
    os.environ.setdefault("NPROC", str(cpus))  # threads of XLA, as it finds it before its first program
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        for file in files:
            use(file)
        return task(*arguments, lambda *words: None)
    except UserError as error:
        return error
