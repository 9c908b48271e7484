"""Files that are either whole or not there, whatever kills the process that writes them."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qgf.errors import UserError

PART = ".part"
"""How temporary files end: .NAME.HOST.RANDOM.part. Their writer holds a lock on them as long as it lives."""
OLD = 24 * 3600
"""Seconds after which another host's temporary file is taken for left over."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well; on any error nothing changes. What
    a killed process left of its temporary files in the folder goes first.

    Raises UserError, naming the file, if there is no space or no permission.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        handle, temporary = _temporary(path)
        try:
            yield temporary
            os.fsync(handle)
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _temporary(path: Path) -> tuple[int, Path]:
    """A new temporary file for `path`, open and held."""
    short = path.name.encode(errors="surrogateescape")[:100].decode(errors="ignore")  # a name has at most 255 bytes
    while True:
        handle, name = tempfile.mkstemp(PART, f".{short}.{_host()}.", path.parent)
        with suppress(OSError):  # a file system without locks: then nobody takes it for left over, either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else somebody swept it before it was held
            return handle, Path(name)
        os.close(handle)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that only exists while another is written."""
    return path.name.startswith(".") and path.name.endswith(PART)


def sweep(directory: Path) -> None:
    """Delete the temporary files in a folder whose writers are gone: what nobody of this host holds, or is older than
    a day.
    """
    with os.scandir(directory) as entries:
        parts = [path for entry in entries if is_temporary(path := Path(entry.path))]
    for path in parts:
        if f".{_host()}." not in path.name and time.time() - path.lstat().st_mtime < OLD:
            continue
        with suppress(OSError):  # another process was faster, holds it, or has other rights
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname())[:40] or "host"


def stays_inside(directory: str | Path) -> None:
    """Raises UserError if a folder below `directory` is a link out of it: nothing is to be written there."""
    directory = Path(directory)
    root = directory.resolve()
    for folder, names, _ in os.walk(directory):
        for path in (Path(folder) / name for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise UserError(
                    f"{path} is a link to {path.resolve()}, and nothing is written out of {directory}: put a folder in "
                    "its place"
                )


def write_text(path: str | Path, text: str) -> None:
    """Text in UTF-8, whatever the machine's own encoding, as a file that is whole or not there; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
