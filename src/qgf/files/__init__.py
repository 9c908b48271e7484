"""Files that are either whole or not there, and whose content is what it should be."""

from qgf.files.locks import BOOKKEEPING, LOCK, holder, locked, turn
from qgf.files.real import at_home, read_bytes, real_size, small
from qgf.files.room import FLOOR, Room, chunk_fits
from qgf.files.strict import (
    FINITE,
    SCALES,
    Count,
    Few,
    Finite,
    Many,
    Number,
    Seed,
    check_scale,
    convert,
    placed,
    quoted,
    read_json,
    read_text,
    read_toml,
    table_of,
)  # fmt: skip
from qgf.files.sums import SUMS, check, check_folder, doubt, forget, read_sums, seal, sealed_path, settled, write_json
from qgf.files.tables import Digits, as_written, read_cells, read_csv, read_numbers, write_csv, write_table
from qgf.files.whole import atomic_path, is_temporary, stays_inside, sweep, write_text

__all__ = [
    "BOOKKEEPING", "FINITE", "FLOOR", "LOCK", "SCALES", "SUMS", "Count", "Digits", "Few", "Finite", "Many", "Number",
    "Room", "Seed", "as_written", "at_home", "atomic_path", "check", "check_folder", "check_scale", "chunk_fits",
    "convert", "doubt", "forget", "holder", "is_temporary", "locked", "placed", "quoted", "read_bytes", "read_cells",
    "read_csv", "read_json", "read_numbers", "read_sums", "read_text", "read_toml", "real_size", "seal",
    "sealed_path", "settled", "small", "stays_inside", "sweep", "table_of", "turn", "write_csv", "write_json",
    "write_table", "write_text",
]  # fmt: skip
