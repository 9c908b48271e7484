"""Data formats, each told by its content and read into the arrays of one `Dataset`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from qgf.data import npz, stored
from qgf.data.layout import Arrays
from qgf.data.readers import folder, hdf5, lerobot, minari, zarr
from qgf.data.streams import stream
from qgf.errors import UserError
from qgf.registry import Registry


class Reader(Protocol):
    """A data format: a module, or a class with two static functions."""

    def reads(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by its content."""

    def read(self, path: Path, keys: Sequence[str] = ()) -> Arrays:
        """Its arrays as the file format of `qgf.data.layout` has them; `keys` says what observations are made of.

        Raises UserError for what is damaged or missing.
        """


def _check(name: str, reader: Any) -> None:
    if not all(callable(getattr(reader, function, None)) for function in ("reads", "read")):
        raise UserError(f"reader {name!r} needs two functions, reads(path) and read(path, keys)")


READERS = Registry[Any](
    "reader",
    dict(npz=npz, hdf5=hdf5, minari=minari, lerobot=lerobot, zarr=zarr, folder=folder, shards=stored),
    check=_check,
)
"""By name; those that were added last are asked first."""


def reader_of(path: str | Path) -> Reader:
    """The reader of a file or folder. Raises UserError if it is not there, or of no known format."""
    path = Path(path)
    for reader in reversed(list(READERS.values())):
        if reader.reads(path):
            return reader
    if not path.exists():
        raise UserError(f"{path}: no such file")
    raise UserError(f"{path}: no data that can be read (known formats: {', '.join(READERS)})")


def is_data(name: str | Path) -> bool:
    """Whether a name is that of a file or folder of data; one that ends in .npz is, even if it is not there."""
    path = Path(name)
    return path.suffix == ".npz" or (path.exists() and any(reader.reads(path) for reader in READERS.values()))


def read(path: str | Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a file or folder of any known format."""
    return reader_of(path).read(Path(path), keys)


def parts(path: str | Path, keys: Sequence[str] = ()) -> Iterator[Arrays]:
    """The same, some whole episodes at a time where the format allows it."""
    path, reader = Path(path), reader_of(path)
    if reader is npz:
        return stream(path, keys)
    some = getattr(reader, "parts", None)
    return iter([reader.read(path, keys)]) if some is None else some(path, keys)
