"""One input at a time in this process, within limits: what reading it did."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hostile.changes import Content
from hostile.kinds import Kind, print_of
from qgf.errors import Caution, UserError
from qgf.files import SUMS, seal

SECONDS, WAIT = 5, 30
"""Of CPU, and by the clock, that reading may take: a machine that does other things as well is no hang."""
SPARE = 96 * 2**20
"""Bytes beside 1.5 times the input that a reader may take for itself."""
WHOLE = 3 * 2**30
"""Bytes more than at its start that the process may have at all."""
RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "socket.connect"}


class Hang(BaseException):
    """It took too long."""


class Watch:
    """Sees what the process does while it reads: code that runs, files that are opened to be written."""

    def __init__(self):
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in RUNS:
            self.seen.append(f"executed: {event}")
        elif event == "open" and isinstance(arguments[2], int):
            wants = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if wants and str(arguments[0]) != os.devnull:
                self.seen.append(f"written: {arguments[0]}")

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        self.seen.clear()
        self.on = True
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        try:
            yield self.seen
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.on = False


def limited() -> None:
    """Set the limits of this process."""

    def late(*_):
        raise Hang

    signal.signal(signal.SIGPROF, late)
    signal.signal(signal.SIGALRM, late)
    now = 1024 * _status("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (now + WHOLE, resource.RLIM_INFINITY))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


class Bench:
    """A copy of one kind's artefact, changed for one trial and mended after it."""

    def __init__(self, kind: Kind, base: Path, scratch: Path, watch: Watch):
        self.kind, self.watch, self.folder = kind, watch, scratch / kind.name.replace(" ", "-").replace(",", "")
        self.base = base / kind.place
        shutil.copytree(self.base, self.folder, symlinks=True)
        found = {path for pattern in kind.files for path in self.folder.glob(pattern)}
        named = lambda path: path.name in kind.files or path.name != SUMS
        self.files = sorted(path for path in found if path.is_file() and named(path))
        self.content = {path: path.read_bytes() for path in self.files}
        self.print = print_of(kind.read(self.folder))

    def try_(self, path: Path, content: Content, sums: str) -> tuple[str, str]:
        """Reading the artefact with this in the place of one file: an outcome, and a line about it. `sums` are left "as
        written", are "right" for the change as a stranger's would be, or are not there ("none").
        """
        path.unlink()
        content(path) if callable(content) else path.write_bytes(content)
        lists = self._sums(path, sums)
        before = self._state()
        try:
            outcome, line = self._read(len(content) if isinstance(content, bytes) else 0)
            if self._state() != before:
                outcome, line = "written", f"the folder is not as it was; {line}"
        finally:
            self._mend(path, lists)
        return outcome, line

    def _read(self, size: int) -> tuple[str, str]:
        _reset_peak()
        before = _status("VmRSS")
        with warnings.catch_warnings(record=True) as cautions:
            warnings.simplefilter("always")
            try:
                with self.watch.watching() as seen:
                    found = self.kind.read(self.folder)
                outcome, line = self._accepted(found)
                if outcome != "same" and any(
                    issubclass(w.category, Caution) and SUMS in str(w.message) for w in cautions
                ):
                    outcome = "caution"
            except UserError as error:
                outcome, line = self._refused(str(error))
            except Hang:
                outcome, line = "hang", f"more than {SECONDS} s of CPU, or {WAIT} s"
            except MemoryError:
                outcome, line = "memory", "no memory left"
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                outcome, line = (
                    "traceback",
                    f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})",
                )
        if seen:
            outcome, line = seen[0].split(":")[0], seen[0]
        if (taken := 1024 * (_status("VmHWM") - before)) > 1.5 * size + SPARE:
            outcome, line = "memory", f"{taken >> 20} MiB for {size} bytes"
        return outcome, " ".join(line.split())[:300]

    def _accepted(self, found) -> tuple[str, str]:
        if print_of(found) == self.print:
            return "same", "reads the same"
        return ("legal", "another legal value") if self.kind.holds(found) else ("silent", "what was read is not sound")

    def _refused(self, line: str) -> tuple[str, str]:
        if "\n" in line or len(line) > 2000 or str(self.folder) not in line:
            return "traceback", f"not one clear line that names the file: {line}"
        return "clear", line

    def _state(self) -> dict[str, tuple]:
        found = {}
        for at, folders, names in os.walk(self.folder):
            for name in (*folders, *names):
                x = os.lstat(os.path.join(at, name))
                found[os.path.join(at, name)] = (x.st_size, x.st_mtime_ns if stat.S_ISREG(x.st_mode) else 0, x.st_mode)
        return found

    def _sums(self, path: Path, sums: str) -> dict[Path, bytes]:
        """Every list of sums above the file as it was, before it is made to fit."""
        places = [at / SUMS for at in path.parents if at.is_relative_to(self.folder) and (at / SUMS) != path]
        lists = {at: at.read_bytes() for at in places if at.is_file()}
        if self.kind.sealed and sums != "as written":
            for at in lists:
                at.unlink()
                if sums == "right" and path.is_file() and not path.is_symlink() and path.stat().st_size < 2**30:
                    seal(at.parent if self.kind.name == "checkpoint" else path)
        return lists

    def _mend(self, path: Path, lists: dict[Path, bytes]) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.write_bytes(self.content[path])
        for at, content in lists.items():
            at.write_bytes(content)


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def seconds() -> float:
    """Of CPU that this process has had."""
    return time.process_time()
