"""Simulators: packages that are not always there, and that talk too much."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from qgf.errors import UserError


class Missing(UserError):
    """A package that simulates is not installed: names can be read, and nothing played."""


def simulator(module: str) -> ModuleType:
    """A package, imported when it is first needed. Raises Missing, with the command that installs it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW complains on every machine without a display
            return import_module(module)
    except ImportError as error:
        more = "" if sys.version_info < (3, 13) else " && pip install --no-deps ogbench dm_control"
        raise Missing(f"environments need {error.name or module}: pip install 'qgf[ogbench]'{more}") from error


def loaded(env: Any) -> Any:
    """The same environment without the file that its model was read from: OGBench's mazes write one for each to the
    folder of temporary files, and leave it there, and open.
    """
    path = Path(str(getattr(env.unwrapped, "fullpath", "")))
    if path.suffix == ".xml" and path.parent == Path(tempfile.gettempdir()) and path.exists():
        for handle in Path("/proc/self/fd").glob("*"):
            if os.path.realpath(handle) == str(path):
                os.close(int(handle.name))
        path.unlink()
    return env


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back meanwhile what MuJoCo says where there is no display, and gymnasium's doubts about precision."""
    logger = simulator("gymnasium").logger
    level = logger.min_level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="glfw")
        logger.min_level = logger.ERROR
        try:
            yield
        finally:
            logger.min_level = level
