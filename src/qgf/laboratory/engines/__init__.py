"""Engines: where the tasks of a study are performed. Here, in other processes of this machine, or on other machines."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from qgf.laboratory.engines.engine import Asked, Engine
from qgf.registry import Registry

MadeOf = Callable[[Asked, list[Path], Path], Engine]
"""An engine as it was asked for, whose processes use the user's files; and a folder for what it logs."""


def _on_ray(asked: Asked, files: list[Path], folder: Path) -> Engine:
    """Tasks of a Ray cluster: `ray` on this machine, `ray:ADDRESS` on one that is there."""
    return import_module("qgf.laboratory.engines.on_ray").OnRay(asked, files)


def _on_slurm(asked: Asked, files: list[Path], folder: Path) -> Engine:
    """Jobs under SLURM, by submitit: `slurm` or `slurm:PARTITION`."""
    return import_module("qgf.laboratory.engines.on_slurm").OnSlurm(asked, files, folder)


ENGINES: Registry[MadeOf] = Registry("engine", {"ray": _on_ray, "slurm": _on_slurm})
"""Those that go beyond this machine."""
