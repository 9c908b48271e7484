"""Where datasets lie."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir(directory: str | Path | None = None) -> Path:
    """The dataset folder: `directory`, else $QGF_DATA, else OGBench's own ~/.ogbench/data."""
    return Path(directory or os.environ.get("QGF_DATA") or "~/.ogbench/data").expanduser()
