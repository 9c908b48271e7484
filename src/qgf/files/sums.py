"""SHA-256 of what is written, in the folder's SHA256SUMS, which `sha256sum --check` reads too.

What is listed there is checked whenever it is read: a bit that flipped is one clear line, in a table a caution. A file
that is not listed, of an older version or a user's own, is read as it is. A file is written first and its sum last;
while one is replaced, the sums of both are listed, so that no moment at which a process can be killed leaves a file
that is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qgf.errors import Caution, UserError
from qgf.files.real import read_bytes, real_size
from qgf.files.whole import atomic_path, is_temporary

SUMS = "SHA256SUMS"
Sums = dict[str, tuple[str, ...]]
"""Name in the folder -> its sums: one, or two while it is replaced."""

LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}


@contextmanager
def sealed_path(path: str | Path) -> Iterator[Path]:
    """As `atomic_path`, and its sum is listed beside it: for what is read again."""
    path = Path(path)
    with atomic_path(path) as temporary:
        yield temporary
        digest = sha256(temporary)
        with _changing(path.parent) as sums:
            if path.name in sums:
                sums[path.name] = (*dict.fromkeys((*sums[path.name][-1:], digest)),)
    _list(path, digest)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A table as JSON, sealed."""
    with sealed_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def seal(path: Path) -> None:
    """List the sum of a file, or of all files in a folder, as it is now: the last thing done to it."""
    if not path.is_dir():
        return _list(path, sha256(path))
    with _changing(path) as sums:
        sums.clear()
        sums.update({name: (sha256(path / name),) for name in inside(path)})


def forget(path: Path) -> None:
    """Take a file that is about to change, or is gone, off the list."""
    if path.parent.is_dir():
        with _changing(path.parent) as sums:
            sums.pop(path.name, None)


def settled(path: Path) -> bool:
    """Whether one sum of a file is listed: it was written to the end, as a process can be killed before its sum is."""
    return len(read_sums(path.parent).get(path.name, ())) == 1


def check(path: str | Path) -> None:
    """Raises UserError if a file is listed with another sum than it has."""
    path = Path(path)
    for _ in range(2):  # the second time for one that was replaced in between
        known = read_sums(path.parent).get(path.name)
        if known and not os.path.lexists(path):
            raise UserError(f"{path}: is not there, but listed in {SUMS} beside it")
        if not known or sha256(path) in known:
            return
    raise UserError(
        f"{path}: is not what was written, its SHA-256 is not the one in {SUMS} beside it; restore it, or if the "
        f"change is yours: {shlex.join(['qgf', 'verify', '--accept', str(path)])}"
    )


def doubt(path: str | Path) -> None:
    """`check` of a table, which people may change: a caution, no error."""
    try:
        check(path)
    except UserError as error:
        warnings.warn(Caution(str(error)), stacklevel=2)


def check_folder(folder: Path) -> None:
    """`check` of every file in a folder that was sealed as a whole: none is missing, none is added."""
    if sums := read_sums(folder):
        for name in sorted(sums.keys() | set(inside(folder))):
            if (state := _state(folder, name, sums)) != "good":
                raise UserError(f"{folder / name}: {state}, says {SUMS} there")


def sha256(path: Path) -> str:
    """The sum of a file, some 1 GB a second."""
    real_size(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_sums(folder: Path) -> Sums:
    """What a folder lists. Raises UserError if that is damaged."""
    path, sums = folder / SUMS, Sums()
    if not os.path.lexists(path):
        return sums
    for number, line in enumerate(os.fsdecode(read_bytes(path)).removesuffix("\n").split("\n"), 1):
        found = LINE.fullmatch(line)
        if not found:
            raise UserError(f"{path}: at line {number}: is no line of sha256sum; delete the file to go on without sums")
        escaped, digest, name = found.groups()
        if escaped:
            name = re.sub(r"\\(.)", lambda x: {v[1]: k for k, v in ESCAPES.items()}.get(x[1], x[0]), name)
        sums[name] = (*sums.get(name, ()), digest)
    return sums


def states(folder: Path) -> dict[str, str]:
    """Every file that a folder lists: "good", "changed", "missing", or why it cannot be read."""
    sums = read_sums(folder)
    return {name: _state(folder, name, sums) for name in sums}


def _state(folder: Path, name: str, sums: Sums) -> str:
    path = folder / name
    if name not in sums:
        return "not listed"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return "leads out of the folder"
    if not os.path.lexists(path):
        return "missing"
    try:
        return "good" if sha256(path) in sums[name] else "changed"
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")


def inside(folder: Path) -> list[str]:
    """The files of a folder and of those below it, but for its list and what a killed process left."""
    found = (Path(at, name).relative_to(folder) for at, _, names in os.walk(folder) for name in names)
    return sorted(name.as_posix() for name in found if name != Path(SUMS) and not is_temporary(name))


def _list(path: Path, digest: str) -> None:
    with _changing(path.parent) as sums:
        sums[path.name] = (digest,)


@contextmanager
def _changing(folder: Path) -> Iterator[Sums]:
    """What a folder lists, to be changed by one process at a time; written if it was. A damaged list starts anew."""
    with _alone(folder):
        try:
            sums = read_sums(folder)
        except UserError:
            sums = {}
        before = dict(sums)
        yield sums
        if sums != before:
            _write(folder / SUMS, sums)


def _write(path: Path, sums: Sums) -> None:
    if not sums:
        return path.unlink(missing_ok=True)
    lines = []
    for name in sorted(sums):
        shown = "".join(ESCAPES.get(x, x) for x in name)
        lines += [f"{chr(92) if shown != name else ''}{digest}  {shown}\n" for digest in sums[name]]
    with atomic_path(path) as temporary:
        temporary.write_bytes(os.fsencode("".join(lines)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the list of a folder by a lock on the folder itself, which leaves no file behind; where file systems know no
    such locks, nothing is held.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
