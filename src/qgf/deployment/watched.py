"""A run's policy, read again when another one is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from qgf.deployment.served import Served
from qgf.errors import UserError
from qgf.files import check_folder, turn
from qgf.files.sums import SUMS, read_sums


class Watched:
    """Called again and again: `load()` when the files of `folder` are others than those it was made with, once they
    have stayed the same from one call to the next; else None. A policy without SHA256SUMS, or with others than it has,
    raises UserError, once.
    """

    def __init__(self, folder: Path, load: Callable[[], Served]):
        self.folder, self.load = folder, load
        self._loaded = self._seen = self._files()

    def __call__(self) -> Served | None:
        now = self._files()
        if now == self._loaded or now != self._seen:
            self._seen = now
            return None
        run = self.folder.parent  # whoever writes a policy waits for a turn there
        with turn(run) if os.access(run, os.W_OK) and (run / "config.json").exists() else nullcontext():
            if self._files() != now:
                return None
            self._loaded = now
            if not read_sums(self.folder):
                raise UserError(f"{self.folder}: has no {SUMS} to check it by")
            check_folder(self.folder)
            return self.load()

    def _files(self) -> tuple:
        """What changes when somebody writes a file there."""
        try:
            found = [(entry.name, entry.stat()) for entry in os.scandir(self.folder)]
        except OSError:  # it is being replaced
            return ()
        return tuple(sorted((name, x.st_ino, x.st_mtime_ns, x.st_size) for name, x in found))
