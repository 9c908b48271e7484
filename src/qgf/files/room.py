"""How much memory what a file declares may take, asked before it is taken."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from qgf.errors import UserError
from qgf.files.real import real_size

FLOOR = 64 * 2**20
DENSEST = 200
"""A file may declare FLOOR bytes, or DENSEST times its own: numbers that were measured are not emptier than that."""


class Room:
    """What the arrays of one file may take, all together."""

    def __init__(self, path: str | Path, size: int):
        """`size` is what the file, or all the files of the folder, have on the disk."""
        self.path, self.size, self.taken, self.free = Path(path), size, 0, free_memory()
        self.instead = ""  # what to do where there is too little memory

    @staticmethod
    def of(path: str | Path) -> Room:
        """For a file, or a folder with all that is below it, none of which may be anything but a file.

        Raises UserError for a pipe, a device, a link that leads nowhere.
        """
        if not Path(path).is_dir():
            return Room(path, real_size(path))
        found = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)
        return Room(path, sum(map(real_size, found)))

    def __str__(self) -> str:
        return str(self.path)

    def unheld(self) -> Room:
        """The same for arrays that are read a piece at a time: what is free does not matter."""
        self.free = sys.maxsize
        return self

    def take(self, declared: int, what: str) -> None:
        """Count the bytes of one more array. Raises UserError if that is more than the file can hold, or than there is
        memory for.
        """
        self.taken += declared
        if self.taken > max(FLOOR, DENSEST * self.size):
            raise UserError(
                f"{self.path}: {what} declares {shown(declared)} in {shown(self.size)} of file, which no data are as "
                "empty as; it is not read"
            )
        if self.taken > self.free:
            raise UserError(
                f"{self.path}: {what} needs {shown(self.taken)} of memory, {shown(self.free)} are free; it is not "
                f"read{self.instead}"
            )


SPARE = 2**16
"""Bytes that a chunk may have beside its numbers, packed or not; one of fewer unpacks to no more than 64 MiB."""


def chunk_fits(size: int, most: int, packed: Callable[[], bytes] | None = None) -> bool:
    """Whether a chunk of `size` bytes in a file can be one of `most` bytes of numbers. `packed` reads it where it is
    deflated: then it is unpacked once, a piece at a time, to see that it is no more.
    """
    if size <= SPARE or packed is None:
        return size <= 2 * most + SPARE
    stream, left, piece = zlib.decompressobj(47), most + SPARE, packed()  # 47: zlib's or gzip's own head
    try:
        while piece and left >= 0 and not stream.eof:
            left -= len(stream.decompress(piece, 2**20))
            piece = stream.unconsumed_tail
    except zlib.error:
        return True  # its reader will say so
    return left >= 0


def free_memory() -> int:
    """Bytes that this process could still take, as far as the system says."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    for limit, used in _groups():
        with suppress(OSError, ValueError, StopIteration):  # a limit of "max" is no number
            lines = (limit.parent / "memory.stat").read_text().splitlines()
            free.append(int(limit.read_text()) - int(next(line.split()[1] for line in lines if line.startswith(used))))
    return max(0, min(free))


def _groups() -> Iterator[tuple[Path, str]]:
    """The files that limit this process's memory groups, a container's and its own, of both versions, and what their
    statistics call the memory that is taken.
    """
    kinds = {
        "": (Path("/sys/fs/cgroup"), "memory.max", "anon "),
        "memory": (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "rss "),
    }
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            if kind in kinds:
                root, limit, used = kinds[kind]
                yield from ((root / at / limit, used) for at in dict.fromkeys(("", path.strip("/"))))


def shown(n: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
