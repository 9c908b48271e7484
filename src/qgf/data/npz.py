"""NumPy's .npz files."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from qgf.data.actions import RANGE
from qgf.data.dataset import KEYS, Dataset
from qgf.data.episodes import apart
from qgf.data.layout import REFERENCES, REQUIRED, Arrays
from qgf.data.memory import aligned
from qgf.data.names import SYNONYMS
from qgf.data.pictures import IMAGES, NEXT
from qgf.errors import UserError
from qgf.files import Room, at_home, check, real_size, sealed_path
from qgf.files.sums import read_sums, sha256

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The two ways in which NumPy keeps a member."""
DEFLATED = 1032
"""Times its size that a deflated member can have at most."""
LONGEST = 255
"""Characters of an array's name, as of a file's; what is longer would fill the message about it."""
PIECE = 2**20
"""Bytes that are read together."""
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)
"""What reading a damaged archive raises."""


class Head(NamedTuple):
    """Of an array in a file."""

    shape: tuple[int, ...]
    by_column: bool
    kind: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.kind.itemsize


def read_npz(path: str | Path, keys: tuple[str, ...] | None = KEYS) -> dict[str, np.ndarray]:
    """The arrays called `keys` (None: all) of a file.

    Raises UserError if it is missing, empty, truncated, not what was written or no plain .npz: with members that are
    pickled, encrypted, packed in a way NumPy does not or there twice, or that declare more than the file can hold.
    """
    path = Path(path)
    if (size := real_size(path)) == 0:
        raise UserError(f"{path}: the file is empty")
    room = Room(path, size)
    room.instead = f": convert it to shards, of which only a part is held (qgf data {path} --convert FOLDER)"
    try:
        with zipfile.ZipFile(path) as archive:
            members = members_of(path, archive, keys)
            for key, member in members.items():
                with archive.open(member) as file:
                    room.take(head(path, key, member, file).nbytes, f"{key!r}")
            check(path)
            return {key: _array(archive, member) for key, member in members.items()}
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> UserError:
    return UserError(f"{path}: cannot be read, it is truncated or no .npz ({str(error)[:160]})")


def members_of(path: Path, archive: zipfile.ZipFile, keys: tuple[str, ...] | None) -> dict[str, zipfile.ZipInfo]:
    """The members to read, by their arrays' names."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy")
        if keys is not None and key not in keys and not (keys is KEYS and key.startswith((IMAGES, NEXT))):
            continue
        if len(key) > LONGEST:
            raise UserError(f"{path}: cannot be read, a name in it has {len(key):,} characters")
        if key in found:
            raise UserError(f"{path}: cannot be read, {key!r} is there twice")
        if member.flag_bits & 1:
            raise UserError(f"{path}: cannot be read, {key!r} is encrypted")
        if member.compress_type not in METHODS:
            raise UserError(f"{path}: cannot be read, {key!r} is packed in a way that NumPy does not use")
        most = DEFLATED if member.compress_type == zipfile.ZIP_DEFLATED else 1
        if member.file_size > most * member.compress_size:
            raise UserError(f"{path}: cannot be read, {key!r} declares more than is in the file")
        found[key] = member
    return found


def head(path: Path, key: str, member: zipfile.ZipInfo, file: IO[bytes]) -> Head:
    """What the head of a member says, which has to agree with the archive's."""
    version = npy.read_magic(file)
    if version not in HEADS:
        raise UserError(f"{path}: cannot be read, {key!r} is of an unknown version of .npy")
    try:
        found = Head(*HEADS[version](file))
    except (SyntaxError, TypeError, RecursionError, MemoryError, OverflowError, tokenize.TokenError) as error:
        raise UserError(f"{path}: cannot be read, the head of {key!r} is damaged ({type(error).__name__})") from error
    if found.kind.hasobject:
        raise UserError(f"{path}: cannot be read, {key!r} holds pickled objects")
    if found.nbytes != member.file_size - file.tell() or min(found.shape, default=0) < 0:
        raise UserError(
            f"{path}: cannot be read, {key!r} declares {found.nbytes} bytes and has {member.file_size - file.tell()}"
        )
    return found


HEADS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """A member, in memory that a device can take over."""
    with archive.open(member) as file:
        found = Head(*HEADS[npy.read_magic(file)](file))
        x = aligned(found.shape[::-1] if found.by_column else found.shape, found.kind)
        memory, done = x.reshape(-1).view(np.uint8).data, 0
        while done < len(memory):
            part = file.read(min(len(memory) - done, PIECE))
            if not part:
                raise EOFError(f"{member.filename} ends after {done} of {len(memory)} bytes")
            memory[done : done + len(part)] = part
            done += len(part)
        file.read(1)  # at its end its sum is compared
    return x.T if found.by_column else x


def reads(path: Path) -> bool:
    """Whether the file is called .npz, or is a zip archive of arrays."""
    if path.suffix == ".npz":
        return True
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read(path: Path, keys: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of the file format; `keys` are those that make the observations, side by side."""
    arrays = read_npz(path)
    for key in REQUIRED:
        if key not in {SYNONYMS.get(name, name) for name in arrays} and not (keys and key == "observations"):
            raise UserError(f"{path}: missing key {key!r} {_found(path)}")
    if not keys:
        return arrays
    return named(arrays, read_npz(path, tuple(keys)), keys, path)


def named(arrays: Arrays, parts: Arrays, keys: Sequence[str], path: Path) -> Arrays:
    """The arrays with observations made of the `parts` that are called `keys`."""
    if missing := [key for key in keys if key not in parts]:
        raise UserError(f"{path}: missing key {missing[0]!r}")
    states, images = apart({key.removeprefix(IMAGES): parts[key] for key in keys}, str(path))
    whole = {key: x for key, x in arrays.items() if not key.startswith((IMAGES, NEXT))}
    return whole | dict(observations=states) | {IMAGES + name: x for name, x in images.items()}


def _found(path: Path) -> str:
    """What there is instead of what is missing."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    done = "; of what is done, `terminals` are to say where the task ends and `timeouts` where time ran out"
    return f"(found: {', '.join(names[:20])[:300] or 'nothing'}){done if any('done' in name for name in names) else ''}"


def write_npz(path: str | Path, dataset: Dataset, overwrite: bool = False) -> None:
    """Write a dataset in the documented format, compact, and what is held out to NAME-val.npz beside it.

    Raises UserError for another suffix, and if a file is there that `overwrite` does not give up.
    """
    path = at_home(path)
    if path.suffix != ".npz":
        raise UserError(f"{path}: is to be a file called .npz")
    parts = {path: dataset}
    if dataset.validation is not None:
        parts[path.with_name(f"{path.stem}-val.npz")] = dataset.validation
    in_the_way = lambda part: UserError(f"{part} is there already; pass --overwrite to write it anew")
    if not overwrite and path.exists() and path.name in read_sums(path.parent):
        raise in_the_way(path)
    with ExitStack() as written:  # all are written before the first takes its place, the dataset's own last
        for part, content in parts.items():
            temporary = written.enter_context(sealed_path(part))
            _write(temporary, content)
            if not overwrite and part.exists() and sha256(part) != sha256(temporary):  # else it was killed at the end
                raise in_the_way(part)


def _write(path: Path, dataset: Dataset) -> None:
    arrays = dict(observations=dataset.observations, actions=dataset.actions, terminals=dataset.ends)
    arrays |= {key: x for key in ("rewards", "masks") if (x := getattr(dataset, key)) is not None}
    if dataset.action_range is not None and not dataset.scaled_by_extent:
        arrays |= dict(zip(RANGE, dataset.action_range, strict=True))
    if dataset.references is not None:
        arrays |= dict(zip(REFERENCES, map(np.array, dataset.references), strict=True))
    arrays |= {IMAGES + name: x for name, x in dataset.images.items()}
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
