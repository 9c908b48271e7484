"""Folders that one process writes at a time, on one machine or several that share a file system."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, SoftFileLease, Timeout

from qgf.errors import UserError
from qgf.files.real import in_folders

LOCK, TURN = ".lock", ".turn"
OWNER = re.compile(r", process (\d+) on (\S+) since ")
"""Of what a lock file tells."""
BOOKKEEPING = frozenset(name + end for name in (LOCK, TURN) for end in ("", ".lease"))
"""Files of a folder that only say who writes it."""
PATIENCE = 120.0
"""Seconds to wait for a turn; what is done in one takes parts of a second."""
LEASE = 30.0
"""Seconds without a sign of life after which a process of another machine is taken for dead."""
SHARED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p", "orangefs")
)
"""File systems that several machines may see, where the locks of one are not always known to the others."""


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Hold a directory, made if need be, for this process, and say in its .lock who does and since when. What holds it
    is let go of when the process ends, however it does.

    Raises UserError, which says who, if another process holds it.
    """
    with _held(Path(directory), LOCK, 0):
        yield


@contextmanager
def turn(directory: str | Path) -> Iterator[None]:
    """Wait for one's turn to read, change and write files of a directory that several processes may write. Take it for
    moments only, and not twice. Raises UserError if there is none in two minutes.
    """
    with _held(Path(directory), TURN, PATIENCE):
        yield


@contextmanager
def _held(directory: Path, name: str, wait: float) -> Iterator[None]:
    in_folders(directory)
    path = directory / name
    with ExitStack() as held:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for take in (_by_system, _by_lease):
                if free := take(path, wait):
                    held.callback(free)
        except Timeout:
            raise UserError(
                f"{directory} is being written by another process; try again when that has ended{_whose(path)}"
            ) from None
        except OSError as error:
            raise UserError(f"{directory}: cannot be written ({error.strerror or error})") from error
        _tell(path, f"{_command()}, process {os.getpid()} on {socket.gethostname()} since {time.ctime()}")
        held.callback(_tell, path, "")
        yield


def _by_system(path: Path, wait: float) -> Callable[[], None] | None:
    """The operating system's lock, which it takes back itself; none where the file system has none."""
    lock = FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise
    except (OSError, NotImplementedError):
        if not os.access(path.parent, os.W_OK):
            raise
        return None
    return lock.release


def _by_lease(path: Path, wait: float) -> Callable[[], None] | None:
    """Where other machines may not see the system's lock, or nobody does: a file with process, host and start time,
    which is touched as long as its owner lives.
    """
    if not shared(path.parent) and _works(path):
        return None
    lease = SoftFileLease(f"{path}.lease", lease_duration=LEASE, timeout=max(wait, 1.5 * LEASE))
    lease.acquire()
    return lease.release


def _works(path: Path) -> bool:
    """Whether the system's lock on a file, which is held, keeps a second one out."""
    second = FileLock(path, timeout=0)
    try:
        second.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    second.release()
    return False


def shared(directory: Path) -> bool:
    """Whether other machines may write a directory."""
    device = directory.stat().st_dev
    kind = _kinds().get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind in SHARED or (kind.startswith("fuse.") and kind != "fuse.overlayfs")


@cache
def _kinds() -> dict[str, str]:
    """The kind of every mounted file system by its device, where the system tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    halves = (line.split(" - ") for line in lines)
    return {place.split()[2]: kind.split()[0] for place, kind in halves}


def _tell(path: Path, who: str) -> None:
    """Put into a lock file who holds it; not its only content that counts, so that a full disk is no matter."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        os.write(handle, who.encode(errors="replace"))
    except OSError:
        pass
    finally:
        os.close(handle)


def holder(directory: str | Path) -> str:
    """Which process on which machine writes a directory; nothing if none does, or if it is known to be dead."""
    found = OWNER.search(_told(Path(directory) / LOCK))
    if not found:
        return ""
    number, machine = int(found[1]), found[2]
    if machine == socket.gethostname():
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
    return f"{machine}, process {number}"


def _whose(path: Path) -> str:
    told = _told(path, 300)
    return f" ({told})" if told else ""


def _told(path: Path, most: int = 4096) -> str:
    """The first bytes of a lock file."""
    try:
        return path.read_bytes()[:most].decode(errors="replace").strip()
    except OSError:
        return ""


def _command() -> str:
    """What this process was called as: "qgf train"."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv and sys.argv[0] not in ("", "-c") else ["python"]
    return shlex.join(words)
