"""NumPy's .npz files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qgf.data.dataset import KEYS, Dataset
from qgf.errors import UserError
from qgf.files import check, sealed_path


def read_npz(path: str | Path, keys: tuple[str, ...] | None = KEYS) -> dict[str, np.ndarray]:
    """The arrays called `keys` (None: all) of a file. UserError if it is missing, empty, truncated or pickled."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: cannot be read, it is truncated or no .npz")
    check(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if keys is None or key in keys}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        reason = "it holds pickled objects" if "pickle" in str(error) else "it is truncated or no .npz"
        raise UserError(f"{path}: cannot be read, {reason} ({error})") from error


def reads(path: Path) -> bool:
    """Whether the file is called .npz, or is a zip archive of arrays."""
    if path.suffix == ".npz":
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


def read(path: Path, keys: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of the file format; `keys` are those that make the observations, side by side."""
    arrays = read_npz(path)
    if not keys:
        return arrays
    named = read_npz(path, tuple(keys))
    if missing := [key for key in keys if key not in named]:
        raise UserError(f"{path}: missing key {missing[0]!r}")
    parts = [named[key].reshape(len(named[key]), -1) for key in keys]
    return arrays | dict(observations=np.concatenate(parts, axis=1))


def write_npz(path: str | Path, dataset: Dataset, overwrite: bool = False) -> None:
    """Write a dataset in the documented format, compact, and what is held out to NAME-val.npz beside it.

    Raises UserError for another suffix, and if a file is there that `overwrite` does not give up.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path}: is to be a file called .npz")
    parts = {path: dataset}
    if dataset.validation is not None:
        parts[path.with_name(f"{path.stem}-val.npz")] = dataset.validation
    if there := [str(part) for part in parts if part.exists() and not overwrite]:
        raise UserError(f"{there[0]} is there already; pass --overwrite to write it anew")
    for part, content in parts.items():
        arrays = dict(observations=content.observations, actions=content.actions, terminals=content.ends)
        arrays |= {key: x for key in ("rewards", "masks") if (x := getattr(content, key)) is not None}
        with sealed_path(part) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
