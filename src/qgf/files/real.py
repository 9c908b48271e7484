"""Files that are asked what they are before they are read: no folder, no pipe, no device, and not too large."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from qgf.errors import UserError

LARGEST = 16 * 2**20
"""Bytes of a file of text; what is larger is no table or configuration of ours."""


URL = re.compile(r"[A-Za-z][\w+.-]+:/")
"""How an address of the web or of an object store begins, as a path has it, too."""


def at_home(path: str | Path) -> Path:
    """The path, a leading `~` replaced by the home folder, as shells do. Raises UserError where that is not known, and
    for a URL.
    """
    in_folders(path)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such user, or no home folder") from None


def in_folders(path: str | Path) -> None:
    """Raise UserError for what is no path but a URL, which would become a folder `s3:`."""
    if URL.match(str(path)):
        raise UserError(
            f"{path}: runs and data lie in folders, whose locks and renames an object store does not have; mount it as "
            "a file system, or copy them"
        )


def real_size(path: str | Path) -> int:
    """The bytes of a file. Raises UserError if it is not there, or if it is a folder, a pipe or a device, which could
    take for ever, or a link to itself.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: cannot be read (it is a folder, a pipe or a device)")
    return found.st_size


def small(path: str | Path, most: int = LARGEST) -> None:
    """Raises UserError for a file of more than `most` bytes, as `real_size` does for what is none."""
    if (size := real_size(path)) > most:
        raise UserError(f"{path}: cannot be read ({size >> 20} MiB, more than {most >> 20})")


def read_bytes(path: str | Path, most: int = LARGEST) -> bytes:
    """What a file holds. Raises UserError if that is no file, or more than `most` bytes."""
    small(path, most)
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
