"""Where datasets lie."""

from __future__ import annotations

import os
from pathlib import Path

from qgf.errors import UserError
from qgf.files.real import in_folders


def data_dir(directory: str | Path | None = None) -> Path:
    """The dataset folder: `directory`, else $QGF_DATA, else OGBench's own ~/.ogbench/data. Raises UserError for a home
    folder where there is none.
    """
    place = Path(directory or os.environ.get("QGF_DATA") or "~/.ogbench/data")
    in_folders(place)
    try:
        return place.expanduser()
    except RuntimeError:
        raise UserError(
            f"{place}: this user has no home folder; say where data are with --data-dir or $QGF_DATA"
        ) from None
