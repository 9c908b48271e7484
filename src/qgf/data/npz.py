"""Reading .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from qgf.data.dataset import KEYS
from qgf.errors import UserError


def read_npz(path: str | Path, keys: tuple[str, ...] | None = KEYS) -> dict[str, np.ndarray]:
    """The arrays called `keys` (None: all) of a file. UserError if it is missing, empty, truncated or pickled."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: cannot be read, it is truncated or no .npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if keys is None or key in keys}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        reason = "it holds pickled objects" if "pickle" in str(error) else "it is truncated or no .npz"
        raise UserError(f"{path}: cannot be read, {reason} ({error})") from error
