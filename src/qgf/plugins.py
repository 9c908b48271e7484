"""Estimators and methods of one's own: a Python file that adds to ESTIMATORS or METHODS when it is imported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from qgf.errors import UserError
from qgf.training.methods import METHODS


def use(path: str | Path) -> None:
    """Import a file once, so that what it registers can be named everywhere (`qgf --use FILE`, `use` in a study).

    The file runs with your rights: use your own. Raises UserError if it is not there or fails.
    """
    path = Path(path).resolve()
    name = f"qgf_use {path}".replace(".", "·")  # with a dot it were a module of a package
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}: failed while it was imported ({why})") from error
    for key, method in METHODS.items():
        if (own := getattr(method, "name", None)) != key:  # what its runs are stored under, and found again
            raise UserError(f"{path}: METHODS[{key!r}] calls itself {own!r}; give it name = {key!r}")
