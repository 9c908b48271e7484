"""What chance does to the arrays inside a file; see `changes`."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from functools import cache

import numpy as np
from hypothesis import strategies as st
from numpy.lib import format as npy


class Evil:
    """Pickled, it is a command."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def one(x, value):
    """An array with one number in its middle replaced; itself where it cannot hold it."""
    x = np.array(x)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if x.size and x.dtype.kind in "f":
            x.flat[x.size // 2] = value
    return x


ARRAYS = {
    "a NaN": lambda x: one(x, np.nan),
    "an Inf": lambda x: one(x, -np.inf),
    "a huge number": lambda x: one(x.astype(np.float64), 1e39),
    "out of range": lambda x: one(x, 7),
    "another number": lambda x: one(x, 0.125),
    "negative": lambda x: -x if x.dtype != bool else x.astype(np.int8) * -1,
    "pickled objects": lambda x: np.array([Evil()] * max(1, len(np.atleast_1d(x))), object),
    "complex numbers": lambda x: x.astype(complex),
    "text": lambda x: x.astype(str),
    "dates": lambda x: np.atleast_1d(x).view("i1").astype("datetime64[s]"),
    "records": lambda x: np.zeros(np.shape(x), [("a", "f4"), ("b", "i8")]),
    "big endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "halves": lambda x: x.astype(np.float16),
    "doubles": lambda x: x.astype(np.float64),
    "whole numbers": lambda x: np.nan_to_num(x).astype(np.int64),
    "flags": lambda x: x.astype(bool),
    "transposed": lambda x: x.T,
    "flattened": lambda x: x.ravel(),
    "one more axis": lambda x: x[None],
    "one more axis behind": lambda x: x[..., None],
    "a row less": lambda x: x[:-1] if x.ndim else x,
    "a row more": lambda x: np.concatenate([x, x[-1:]]) if x.ndim else x,
    "no rows": lambda x: x[:0] if x.ndim else x,
    "no columns": lambda x: x[..., :0] if x.ndim else x,
    "a scalar": lambda x: x.ravel()[0] if x.size else x,
    "all zeros": np.zeros_like,
    "all ones": np.ones_like,
    "reversed": lambda x: x[::-1] if x.ndim else x,
}


def changed_array(draw, x: np.ndarray) -> tuple[str, np.ndarray]:
    word = draw(st.sampled_from(sorted(ARRAYS)))
    try:
        return word, ARRAYS[word](x)
    except (ValueError, TypeError):  # text has no negative, nothing is a date of one byte
        return "the same", x


def zipped(members: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def packed(x) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, np.asanyarray(x), allow_pickle=True)
    return file.getvalue()


def head(shape, dtype="<f4") -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, dict(shape=shape, fortran_order=False, descr=dtype))
    return file.getvalue()


@cache
def bomb() -> bytes:
    """A member of 400 MB of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("observations.npy", "w") as inside:
            inside.write(head((100 << 20,)))
            for _ in range(400):
                inside.write(bytes(1 << 20))
        for name, x in dict(actions=np.zeros((9, 1)), terminals=np.ones(9)).items():
            archive.writestr(f"{name}.npy", packed(x))
    return file.getvalue()


@st.composite
def of_npz(draw, content: bytes) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    way = draw(
        st.sampled_from(("array",) * 6 + ("left out", "renamed", "added", "head", "packed", "locked", "twice", "bomb"))
    )
    if way == "array":
        word, x = changed_array(draw, npy.read_array(io.BytesIO(members[name]), allow_pickle=False))
        return f"an array: {word}", zipped(members | {name: packed(x)})
    if way == "bomb":
        return "an archive: a bomb", bomb()
    if way == "packed":
        return "an archive: packed otherwise", zipped(members, compression=draw(st.sampled_from((12, 14))))
    if way == "locked":
        locked = bytearray(content)
        for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            at = locked.find(signature)
            while at >= 0:
                locked[at + flags] |= 1
                at = locked.find(signature, at + 4)
        return "an archive: encrypted", bytes(locked)
    if way == "twice":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(content)
            with zipfile.ZipFile(file, "a") as archive:
                archive.writestr(name, members[name])
        return "an archive: a member twice", file.getvalue()
    if way == "head":
        shape = draw(st.sampled_from(((10**10,), (2**62, 3), (-1,), (0, 4), (1, 2, 3), ())))
        return "an array: its head lies", zipped(members | {name: head(shape) + bytes(48)})
    if way == "added":
        more = draw(
            st.sampled_from(
                ("rewards.npy", "masks.npy", "timeouts.npy", "next_observations.npy", "../x.npy", "note.txt")
            )
        )
        return "a member added", zipped({more: packed(np.zeros(14))} | members)
    value = members.pop(name)
    return f"a member {way}", zipped(members | ({f"x{name}": value} if way == "renamed" else {}))


@st.composite
def of_safetensors(draw, content: bytes) -> tuple[str, bytes]:
    from safetensors.numpy import load, save

    if draw(st.booleans()):
        arrays = load(content)
        name = draw(st.sampled_from(sorted(arrays)))
        word = draw(
            st.sampled_from(sorted(set(ARRAYS) - {"pickled objects", "text", "dates", "records", "complex numbers"}))
        )
        way = draw(st.sampled_from(("array",) * 4 + ("left out", "renamed", "added")))
        if way == "array":
            new = np.asarray(ARRAYS[word](arrays[name]))
            return f"a tensor: {word}", save(
                arrays | {name: np.ascontiguousarray(new).astype(new.dtype.newbyteorder("="))}
            )
        value = arrays.pop(name)
        return f"a tensor {way}", save(
            arrays | dict(renamed={f"{name}x": value}, added={name: value, "more": value}).get(way, {})
        )
    size = int.from_bytes(content[:8], "little")
    tree, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = draw(st.sampled_from(sorted(tree)))
    key = draw(st.sampled_from(("dtype", "shape", "data_offsets")))
    tree[name][key] = draw(
        st.sampled_from(
            ("F64", "BF16", "I32", "BOOL", "F8_E4M3", "X", [2**62, 2], [-1], [], [0], [0, 2**60], [4], None, "F32")
        )
    )
    new = json.dumps(tree).encode()
    return "a tensor: its head lies", len(new).to_bytes(8, "little") + new + body


def of_hdf5(content: bytes):
    return hdf5(content)


@st.composite
def hdf5(draw, content: bytes) -> tuple[str, bytes]:
    import h5py

    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        name = draw(st.sampled_from(names))
        found = opened[name]
        way = draw(
            st.sampled_from(
                ("array",) * 6 + ("left out", "renamed", "link", "external", "empty", "group", "huge", "soft link")
            )
        )
        x = found[()] if isinstance(found, h5py.Dataset) else np.zeros(3)
        del opened[name]
        word = f"an item {way}"
        if way == "array":
            word, x = changed_array(draw, np.asarray(x))
            x = x.astype("S") if x.dtype.kind in "UOM" else x
            opened[name], word = x, f"an array: {word}"
        elif way == "renamed":
            opened[f"{name}x"] = x
        elif way == "link":
            opened[name] = h5py.ExternalLink("/etc/passwd", "/")
        elif way == "external":
            opened.create_dataset(name, (100,), "f4", external=[("/dev/zero", 0, 400)])
        elif way == "empty":
            opened[name] = h5py.Empty("f4")
        elif way == "group":
            opened.create_group(name)
        elif way == "huge":
            opened.create_dataset(name, (10**10, 2), "f4", chunks=(100, 2))
        elif way == "soft link":
            opened[name] = h5py.SoftLink(f"/{name}")
    return word, file.getvalue()


@st.composite
def of_parquet(draw, content: bytes) -> tuple[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    k = draw(st.integers(0, table.num_columns - 1))
    name, n = table.column_names[k], table.num_rows
    new = {
        "left out": None,
        "text": pa.array(["x"] * n),
        "nulls": pa.nulls(n),
        "some nulls": pa.array([None, *[1.0] * (n - 1)]),
        "a NaN": pa.array([float("nan")] * n),
        "lists of several lengths": pa.array([[1.0] * (i % 3) for i in range(n)]),
        "lists with nulls": pa.array([[None, 1.0]] * n),
        "lists of lists": pa.array([[[1.0], [2.0]]] * n),
        "records": pa.array([dict(a=1)] * n),
        "negative": pa.array([-1] * n),
        "huge": pa.array([2**62] * n),
        "out of range": pa.array([[7.0, 7.0]] * n),
        "dates": pa.array([0] * n, pa.timestamp("s")),
        "flags": pa.array([True] * n),
        "one number": pa.array(np.arange(n, dtype=np.float32)),
    }
    word = draw(st.sampled_from(sorted(new)))
    table = table.remove_column(k) if new[word] is None else table.set_column(k, name, new[word])
    file = io.BytesIO()
    pq.write_table(table, file)
    return f"a column: {word}", file.getvalue()
