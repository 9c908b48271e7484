"""Files that are either whole or not there, and whose content is what it should be."""

from qgf.files.strict import (
    Count,
    Finite,
    Number,
    Seed,
    convert,
    placed,
    quoted,
    read_json,
    read_text,
    read_toml,
    table_of,
)  # fmt: skip
from qgf.files.tables import Digits, as_written, read_cells, read_csv, read_numbers, write_csv, write_table
from qgf.files.whole import LOCK, atomic_path, locked, write_json, write_text

__all__ = [
    "LOCK", "Count", "Digits", "Finite", "Number", "Seed", "as_written", "atomic_path", "convert", "locked", "placed",
    "quoted", "read_cells", "read_csv", "read_json", "read_numbers", "read_text", "read_toml", "table_of", "write_csv",
    "write_json", "write_table", "write_text",
]  # fmt: skip
