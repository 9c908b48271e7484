"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from qgf.errors import UserError

LOCK = ".lock"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well; on any error nothing changes.

    Raises UserError, naming the file, if there is no space or no permission.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_text(path: str | Path, text: str) -> None:
    """Text in UTF-8, whatever the machine's own encoding, as a file that is whole or not there; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Hold a directory, made if need be, for this process. The operating system lets go of it when the process ends.

    Raises UserError if another process holds it.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK, blocking=False)
        lock.acquire()
    except Timeout:
        raise UserError(f"{directory} is being written by another process; try again when that has ended") from None
    except OSError as error:
        raise UserError(f"{directory}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()
