"""What is one's own: a Python file (`--use`) or an installed package that adds to the registries when imported."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from qgf.errors import Unknown, UserError

GROUP = "qgf.plugins"
OWN = "qgf_use "
"""How the modules of the user's own files are called."""

FILES: list[Path] = []
"""The files used, as they were given: what worker processes have to use, too."""
USED: list[dict[str, str]] = []
"""What was imported, in this order: file and sha256 of a file, package and version of a package."""
_asked: list[bool] = []


BROUGHT: set[str] = set()
"""The modules that they imported: their user's, which a run or a study may name, too."""


def use(path: str | Path) -> None:
    """Import a file once, so that what it registers can be named everywhere (`qgf --use FILE`).

    The file runs with your rights: use your own. Raises UserError if it is not there or fails.
    """
    given, path = Path(path), Path(path).resolve()
    name = _module_of(path)
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        _imported(str(path), lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    except UserError:
        del sys.modules[name]
        raise
    FILES.append(given)
    USED.append(dict(file=_shown(given), sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def is_used(path: str | Path) -> bool:
    """Whether a file was imported by `use`."""
    return _module_of(Path(path).resolve()) in sys.modules


def _module_of(path: Path) -> str:
    return f"{OWN}{path}".replace(".", "·")  # a name with a dot would be looked for inside a package


def installed() -> None:
    """Import what installed packages name under the entry point group `qgf.plugins`, once: a module, or a function to
    call. One that fails is a warning.
    """
    if _asked:
        return
    _asked.append(True)
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.value
        try:
            found = _imported(f"plug-in {point.name} of {package}", point.load)
            if callable(found):
                _imported(f"plug-in {point.name} of {package}", found)
        except UserError as error:
            warnings.warn(str(error), stacklevel=2)
        else:
            USED.append(dict(package=package, version=point.dist.version if point.dist else ""))


def _imported(where: str, run: Callable):
    """What `run` returns. Raises UserError for whatever the user's own code raises."""
    known = set(sys.modules)
    try:
        found = run()
        BROUGHT.update(sys.modules.keys() - known)
        return found
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{where}: failed while it was imported ({why})") from error


def _shown(path: Path) -> str:
    """As it was given, but from here where it lies below: a run may be read on another machine."""
    whole, here = path.resolve(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else path).as_posix()


@contextmanager
def trained_with(used: Sequence[dict[str, str]] | None) -> Iterator[None]:
    """Where a name is unknown, say what it was trained with: `used` is `USED` as a run remembers it."""
    try:
        yield
    except Unknown as error:
        files = [f"--use {one['file']}" for one in used or () if "file" in one]
        packages = [f"package {one['package']} {one['version']}" for one in used or () if "package" in one]
        if not files + packages:
            raise
        raise Unknown(f"{error}; it was trained with {', '.join(files + packages)}: add it") from None
