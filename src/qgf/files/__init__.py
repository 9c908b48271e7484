"""Files that are either whole or not there, and whose content is what it should be."""

from qgf.files.strict import Count, Finite, Seed, convert, quoted, read_json, read_toml
from qgf.files.tables import Digits, as_written, read_csv, write_csv, write_table
from qgf.files.whole import LOCK, atomic_path, locked, write_json, write_text

__all__ = [
    "LOCK", "Count", "Digits", "Finite", "Seed", "as_written", "atomic_path", "convert", "locked", "quoted", "read_csv",
    "read_json", "read_toml", "write_csv", "write_json", "write_table", "write_text",
]  # fmt: skip
