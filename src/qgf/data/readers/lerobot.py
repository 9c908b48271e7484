"""LeRobotDataset v3: one row of a parquet table per frame, features by column. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from qgf.data.episodes import Episode, apart, arrays_of
from qgf.data.layout import Arrays
from qgf.errors import UserError
from qgf.files import Room, read_json, real_size
from qgf.words import STATES


def reads(path: Path) -> bool:
    """Whether the folder is a LeRobotDataset: meta/info.json beside data/."""
    return (path / "meta" / "info.json").is_file()


def read(path: Path, keys: Sequence[str] = ()) -> Arrays:
    """The arrays of a folder; a frame is a state and the action taken in it, and no final state is recorded.

    Rewards are `next.reward`, else they follow from `next.success` (`qgf.data.layout`), else there are none. The task
    has ended where `next.success` says so in an episode's last frame. Raises UserError for another version of the
    format, and for columns that are missing or no vectors of numbers.
    """
    features = _info(path)
    names = list(keys) or [name for name in STATES if name in features]
    if not names:
        raise UserError(
            f"{path}: none of {', '.join(STATES)} among its features; name others (found: {', '.join(features)})"
        )
    for name in (*names, "action", "episode_index"):
        if name not in features:
            raise UserError(f"{path}: no feature {name!r} (found: {', '.join(features)})")
        kind = features[name].get("dtype")
        if kind == "video":
            raise UserError(
                f"{path}: feature {name!r} is encoded video, which is not decoded here; write it as images, or as "
                "uint8 arrays [N, H, W, C] into an .npz (images/CAMERA)"
            )
        if kind == "string" or (kind == "image" and name not in names):
            raise UserError(f"{path}: feature {name!r} is {kind}, expected numbers")
    optional = [name for name in ("next.reward", "next.success") if name in features]
    table = _table(path, [*names, "action", "episode_index", "frame_index", *optional])
    return arrays_of(_episodes(table, names, path), str(path))


class Info(msgspec.Struct):
    """What is asked of meta/info.json."""

    codebase_version: str
    features: dict[str, dict[str, Any]]  # by name, each with its "dtype"


def _info(path: Path) -> dict[str, dict[str, Any]]:
    file = path / "meta" / "info.json"
    info = read_json(file, Info, "a LeRobotDataset")
    if not info.codebase_version.startswith("v3."):
        version = info.codebase_version
        raise UserError(
            f"{path}: a LeRobotDataset {version}, this version reads v3; convert it with LeRobot's own script"
        )
    return info.features


def _table(path: Path, columns: list[str]) -> dict[str, np.ndarray]:
    """The columns [N] or [N, *] of all data files, in the order of episodes and frames."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: LeRobotDatasets need pyarrow: pip install 'qgf[lerobot-data]'") from None
    files = sorted(path.glob("data/chunk-*/file-*.parquet"))
    if not files:
        raise UserError(f"{path}: no data/chunk-*/file-*.parquet")
    parts, room = [], Room(path, sum(map(real_size, files)))
    for file in files:
        try:
            with pyarrow.parquet.ParquetFile(file) as opened:
                there = opened.schema_arrow.names
                if missing := [name for name in columns if name not in there]:
                    raise UserError(f"{file}: no column {missing[0]!r} (found: {', '.join(there)})")
                batches = list(_batches(opened, columns, room, file.name))
                part = pyarrow.Table.from_batches(batches) if batches else opened.schema_arrow.empty_table()
        except (pyarrow.ArrowException, OSError, ValueError) as error:  # UnicodeDecodeError: of a column's name
            raise UserError(f"{file}: cannot be read, it is truncated or no parquet ({_first(error)})") from error
        parts.append({name: _column(part[name], f"{file}: column {name!r}", room) for name in columns})
    joined = {name: _joined([part[name] for part in parts], f"{path}: column {name!r}") for name in columns}
    for name in ("frame_index", "episode_index"):
        if joined[name].ndim > 1:
            raise UserError(f"{path}: column {name!r} holds vectors, expected numbers")
    order = np.lexsort((joined["frame_index"], joined["episode_index"]))
    return {name: x[order] for name, x in joined.items()}


def _joined(parts: list[np.ndarray], where: str) -> np.ndarray:
    """The rows of all files. Raises UserError if their vectors are of several sizes."""
    if len(shapes := {part.shape[1:] for part in parts}) > 1:
        raise UserError(f"{where} has other shapes in other files ({', '.join(str(list(x)) for x in sorted(shapes))})")
    return np.concatenate(parts)


def _batches(opened: Any, columns: list[str], room: Room, what: str) -> Iterator[Any]:
    """Some rows at a time, each counted. What a file says of its columns one by one is not asked: pyarrow ends the
    process where that is damaged.
    """
    room.take(8 * opened.metadata.num_rows * len(columns), what)
    for batch in opened.iter_batches(columns=columns):
        room.take(batch.nbytes, what)
        yield batch


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _column(column: Any, where: str, room: Room) -> np.ndarray:
    rows = column.to_numpy()
    if rows.dtype == object and len(rows) and isinstance(rows[0], dict):
        return _pictures(rows, where, room)
    if rows.dtype == object:
        lengths = {np.size(row) for row in rows}
        if len(lengths) > 1 or None in lengths:
            raise UserError(f"{where} holds vectors of different lengths ({', '.join(map(str, sorted(lengths)))})")
        rows = np.stack(rows) if len(rows) else np.zeros((0, 1))
    if not (np.issubdtype(rows.dtype, np.number) or rows.dtype == bool):
        raise UserError(f"{where} has type {rows.dtype}, expected numbers")
    return rows


def _pictures(rows: np.ndarray, where: str, room: Room) -> np.ndarray:
    """[N, H, W, C] of images as LeRobot stores them in its tables, {"bytes": an encoded file, "path": ...} each."""
    from PIL import Image, UnidentifiedImageError

    decoded = []
    for row in rows:
        if not isinstance(row, dict) or not row.get("bytes"):
            raise UserError(f"{where}: an image without bytes: only images that are in the table are read")
        try:
            with Image.open(BytesIO(row["bytes"])) as image:
                room.take(image.width * image.height * 3, where)
                decoded.append(np.atleast_3d(np.asarray(image if image.mode == "L" else image.convert("RGB"))))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{where}: an image that cannot be decoded ({_first(error)})") from error
    if len(shapes := {x.shape for x in decoded}) > 1:
        raise UserError(f"{where}: images of different sizes ({', '.join(map(str, sorted(shapes)))})")
    return np.stack(decoded)


def _episodes(table: dict[str, np.ndarray], names: list[str], path: Path) -> Iterator[Episode]:
    vectors = lambda x: x.reshape(len(x), -1)
    states, images = apart({name: table[name] for name in names}, str(path))
    episode, frame = (table[name].astype(np.int64) for name in ("episode_index", "frame_index"))
    odd = np.flatnonzero((np.diff(episode) == 0) & (np.diff(frame) != 1))
    if odd.size:
        k = odd[0]
        raise UserError(
            f"{path}: in episode {episode[k]} frame {frame[k + 1]} comes after {frame[k]}: some are missing or there "
            "twice"
        )
    first = np.flatnonzero(np.diff(table["episode_index"], prepend=-1))
    for rows in map(slice, first, [*first[1:], len(states)]):
        success = table["next.success"][rows].astype(bool).ravel() if "next.success" in table else None
        rewards = table["next.reward"][rows].ravel() if "next.reward" in table else None
        ended = success is not None and bool(success[-1])
        seen = {name: x[rows] for name, x in images.items()}
        yield Episode(states[rows], vectors(table["action"][rows]), rewards, ended, success, seen)
