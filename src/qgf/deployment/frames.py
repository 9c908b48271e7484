"""openpi's frames: msgpack, where an array is its bytes, type and shape. No pickle, and nothing is taken on trust."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from qgf.errors import UserError

try:
    import msgpack
except ImportError:
    raise UserError("serving needs msgpack and websockets: pip install 'qgf[serve]'") from None

TYPE = re.compile(r"[<>|=]?[biufSU][1-9]\d{0,3}")
"""Numbers, truth and text; no objects, structures or complex numbers."""
PARTS = 4096
"""Tables and lists in a frame: each takes far more memory than its bytes there."""
AXES = 8


def pack(content: Any) -> bytes:
    """A frame of tables, lists, numbers, text and arrays. Raises UserError for anything else."""
    try:
        return msgpack.packb(content, default=_as_table)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"cannot be sent ({error})") from None


def _as_table(x: Any) -> dict[bytes, Any]:
    if not isinstance(x, (np.ndarray, np.generic)) or not TYPE.fullmatch(x.dtype.str):
        raise TypeError(f"a {getattr(x, 'dtype', type(x).__name__)} has no form in a frame")
    if isinstance(x, np.generic):
        return {b"__npgeneric__": True, b"data": x.item(), b"dtype": x.dtype.str}
    return {b"__ndarray__": True, b"data": x.tobytes(), b"dtype": x.dtype.str, b"shape": x.shape}


def unpack(frame: bytes) -> Any:
    """What a frame holds; arrays are read-only. Raises UserError, and nothing else, for what is no such frame."""
    left = PARTS

    def counted(x: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise UserError(f"more than {PARTS} tables and lists")
        return x

    try:
        return msgpack.unpackb(frame, object_hook=lambda x: _as_array(counted(x)), list_hook=counted)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise UserError(f"no msgpack ({str(error)[:80] or type(error).__name__})") from None


def _as_array(x: dict[Any, Any]) -> Any:
    """The array or number that a table stands for, or the table."""
    if b"__ndarray__" in x:
        data, shape = x.get(b"data"), x.get(b"shape")
        if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > AXES:
            raise UserError(f"an array without bytes for its data or a list of at most {AXES} lengths for its shape")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise UserError("an array whose shape is not made of whole numbers")
        dtype = _type(x)
        if math.prod(shape) * dtype.itemsize != len(data):
            raise UserError(f"an array {shape} of {dtype.str} with {len(data)} bytes")
        return np.frombuffer(data, dtype).reshape(shape)
    if b"__npgeneric__" in x:
        if not isinstance(x.get(b"data"), (bool, int, float, str)):
            raise UserError("a number without a value")
        with np.errstate(over="ignore"):
            return _type(x).type(x[b"data"])
    return x


def _type(x: dict[Any, Any]) -> np.dtype:
    name = x.get(b"dtype")
    if not isinstance(name, str) or not TYPE.fullmatch(name):
        raise UserError("an array whose type is not one of numbers or text, as in '<f4'")
    return np.dtype(name)
