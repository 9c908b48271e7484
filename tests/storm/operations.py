"""The file operations of this process below a folder: counted, and stopped at the n-th as a kill would."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHANGES = {"os.rename": 2, "os.link": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.chmod": 1, "os.truncate": 1}
"""Events of Python's audit that change a file system, and how many paths come first in their arguments."""
WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killed(BaseException):
    """In the place of a kill."""


class Operations:
    """An audit hook, which there can only be one of, as none can be removed.

    From the n-th operation on every one raises, in whatever thread: what a process does while it unwinds changes
    nothing any more, which is all that tells an exception from SIGKILL. Files that are open by then hold their
    locks until they are closed (`close`).
    """

    def __init__(self) -> None:
        self.root: str | None = None
        self.seen: list[str] = []
        self.last, self.act = 0, _raise
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None or (event != "open" and event not in CHANGES):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITE):
            return
        paths = [arguments[0]] if event == "open" else _paths(event, arguments)
        below = [path for path in map(str, paths) if path.startswith(self.root)]
        if below:
            self.seen.append(f"{event.removeprefix('os.')} {below[-1].removeprefix(self.root)}")
            if self.last and len(self.seen) >= self.last:
                self.act()

    @contextmanager
    def below(self, root: Path, last: int = 0, act: Callable[[], None] | None = None) -> Iterator[list[str]]:
        """Count operations below `root`; at number `last`, and all that follow, `act`."""
        self.seen, self.last, self.act, self.root = [], last, act or _raise, f"{root}{os.sep}"
        try:
            yield self.seen
        finally:
            self.root = None


def close(root: Path) -> None:
    """Close what a stopped command left open below a folder, which nobody knows any more."""
    gc.collect()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it is closed already
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(root)):
                os.close(int(name))


def _raise() -> None:
    raise Killed


def kill() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def _paths(event: str, arguments: tuple[Any, ...]) -> list[Any]:
    """The paths of an event; those that are relative to an open folder made whole."""
    number = CHANGES[event]
    paths, folders = arguments[:number], [x for x in arguments[number:] if isinstance(x, int)]
    if event == "os.chmod" or event == "os.mkdir":
        folders = folders[1:]
    made = []
    for k, path in enumerate(paths):
        folder = folders[k] if k < len(folders) else -1
        if isinstance(path, (str, bytes, os.PathLike)) and folder >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
        made.append(os.fsdecode(path) if isinstance(path, (bytes, os.PathLike)) else path)
    return made
