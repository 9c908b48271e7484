"""CSV files of typed rows: a row is a `msgspec.Struct`, whose annotations say how a cell is read and written.

Cells without content are None. Numbers are written as `Digits` says, `Annotated[float, Digits(".4f")]`, so that what
is read and written again is the same to the byte.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from qgf.errors import UserError
from qgf.files.strict import Number, convert, read_text
from qgf.files.sums import doubt, forget, sealed_path

R = TypeVar("R", bound=msgspec.Struct)


def Digits(form: str) -> Meta:
    """How a column's numbers are written, as Python's format has it."""
    return Meta(extra=dict(digits=form))


def read_csv(path: str | Path, row: type[R], columns: Sequence[str] = ()) -> list[R]:
    """The rows of a CSV file, none if there is no such file. All `columns`, by default those that a row cannot do
    without, have to be there; columns that a row does not know are left out.

    Raises UserError naming the line and column that is wrong.
    """
    if not os.path.lexists(path):
        doubt(path)
        return []
    names, lines = read_cells(path)
    fields = {field.encode_name: field for field in msgspec.structs.fields(row)}
    needed = columns or [name for name, field in fields.items() if field.required]
    if missing := [name for name in needed if name not in names]:
        raise UserError(f"{path}: column {missing[0]} is missing")
    blank = {name: None for name, field in fields.items() if type(None) in get_args(field.type)}
    made = []
    for line, cells in lines:
        known = {name: x or blank.get(name, x) for name, x in zip(names, cells, strict=True) if name in fields}
        given = {name: x for name, x in known.items() if x or fields[name].required}
        made.append(convert(path, given, row, f"line {line}", lax=True))
    return made


def read_cells(path: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a CSV file, and number and cells of every line below it. Raises UserError if it is no table."""
    table = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    doubt(path)
    try:
        names = next(table, [])
        lines = [(table.line_num, cells) for cells in table if cells]
    except csv.Error as error:
        raise UserError(f"{path}: at line {table.line_num}: is no CSV ({error})") from None
    if len(set(names)) < len(names):
        raise UserError(f"{path}: at line 1: two columns have one name")
    for number, cells in lines:
        if len(cells) != len(names):
            raise UserError(f"{path}: at line {number}: has {len(cells)} cells, the header {len(names)}")
    return names, lines


def read_numbers(path: str | Path, whole: Collection[str] = ()) -> dict[str, list[float]]:
    """The columns of a CSV file that has nothing but numbers in it, some of them whole; {} if there is no such file or
    nothing in it.
    """
    if not os.path.lexists(path):
        doubt(path)
        return {}
    names, lines = read_cells(path)
    columns: dict[str, list[float]] = {name: [] for name in names} if lines else {}
    for line, cells in lines:
        for name, x in zip(names, cells, strict=True):
            columns[name].append(convert(path, x, Number if name in whole else float, f"line {line}, {name}", lax=True))
    return columns


def write_csv(path: Path, rows: Iterable[msgspec.Struct], columns: Sequence[str]) -> None:
    """Write these columns of rows of one kind."""
    rows = list(rows)
    forms = _forms(type(rows[0])) if rows else {}
    cell = lambda name, x: "" if x is None else format(x, forms[name]) if name in forms else x
    _write(path, columns, ([cell(name, getattr(row, name)) for name in columns] for row in rows))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of any kind, in the order of the first one's columns; a table without rows is no file."""
    if not rows:
        path.unlink(missing_ok=True)
        return forget(path)
    _write(path, list(rows[0]), ([row[name] for name in rows[0]] for row in rows))


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with sealed_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(lines)


def as_written(row: R) -> R:
    """The row with its numbers rounded as in a file, so that it equals what is read from there."""
    numbers = {name: getattr(row, name) for name in _forms(type(row))}
    written = {name: x and float(format(x, _forms(type(row))[name])) for name, x in numbers.items()}
    return msgspec.structs.replace(row, **written)


@cache
def _forms(row: type[msgspec.Struct]) -> dict[str, str]:
    """The columns that have a way to be written."""
    found = {}
    for field in msgspec.structs.fields(row):
        annotations = [field.type, *get_args(field.type)]
        metas = [x for a in annotations if get_origin(a) is not None for x in getattr(a, "__metadata__", ())]
        for x in metas:
            if isinstance(x, Meta) and x.extra:
                found[field.encode_name] = x.extra["digits"]
    return found
