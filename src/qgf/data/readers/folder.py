"""A folder of .npz files that are one dataset: NAME-000.npz, NAME-001.npz, ..., as OGBench's of 100M transitions are.

Files NAME-000-val.npz beside them are held out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from qgf.data import npz
from qgf.data.actions import RANGE
from qgf.data.layout import MADE_OF, REFERENCES, Arrays
from qgf.data.streams import stream
from qgf.errors import UserError

NUMBERED = re.compile(r"(?:(.+)[-_])?(\d{3,})\.npz")
HELD_OUT = re.compile(r"(?:(.+)[-_])?(\d{3,})-val\.npz")

ONCE = (*RANGE, *REFERENCES, MADE_OF)
"""What is no row of anything."""


def files(path: Path, pattern: re.Pattern[str] = NUMBERED) -> list[Path]:
    """The files of a folder that are called so, in the order of their numbers."""
    found = [(int(match[2]), file) for file in path.glob("*.npz") if (match := pattern.fullmatch(file.name))]
    return [file for _, file in sorted(found)]


def reads(path: Path) -> bool:
    """Whether all .npz files in a folder have one name and a number, from 0 or 1 on."""
    if not path.is_dir():
        return False
    names = [file.name for file in path.glob("*.npz")]
    found = [NUMBERED.fullmatch(name) or HELD_OUT.fullmatch(name) for name in names]
    known = [(match[1], int(match[2])) for match in found if match]
    one = len({name for name, _ in known}) == 1 and min(number for _, number in known) <= 1
    return one and len(known) == len(names) and bool(files(path))


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """All of it, joined. Raises UserError for files that do not go together."""
    parts = [npz.read(file, keys) for file in files(path)]
    if len(kinds := {tuple(sorted(part)) for part in parts}) > 1:
        raise UserError(f"{path}: its files have different arrays ({' and '.join(map(str, sorted(kinds)))})")
    return {key: x if key in ONCE else np.concatenate([part[key] for part in parts]) for key, x in parts[0].items()}


def parts(path: Path, keys: Sequence[str] = ()) -> Iterator[Arrays]:
    """The same, some whole episodes at a time."""
    for file in files(path):
        yield from stream(file, keys)
