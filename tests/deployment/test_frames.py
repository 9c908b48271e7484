"""openpi's frames: what is packed is what is unpacked, and what is no frame is one error, whatever it is."""

import pickle
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from qgf.deployment.frames import pack, unpack
from qgf.errors import UserError


def frame(data=b"\0\0\0\0", dtype="<f4", shape=(1,), **more):
    return msgpack.packb({b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape} | more)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i8", "?", "U3", ">i4"])
def test_arrays_and_numbers_come_back_as_they_were(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    there = unpack(pack(dict(x=x, one=x[1, 2], word="a", inner=[dict(n=3, none=None)])))
    assert_array_equal(there["x"], x)
    assert there["x"].dtype == x.dtype
    assert there["one"] == x[1, 2]
    assert there["word"] == "a" and there["inner"] == [dict(n=3, none=None)]


@pytest.mark.parametrize("x", [np.array([object()]), np.array([1j]), np.zeros(2, "f4,f4"), object(), {1j: 2}])
def test_what_has_no_form_is_not_packed(x):
    with pytest.raises(UserError, match="cannot be sent"):
        pack(dict(x=x))


BAD = {
    "empty": b"",
    "truncated": pack(dict(x=np.zeros(9)))[:-1],
    "two": pack(1) + pack(2),
    "pickle": pickle.dumps(np.zeros(3)),
    "objects": frame(dtype="|O"),
    "structure": frame(dtype="<f4,<f4"),
    "a void": frame(dtype="|V4"),
    "no such type": frame(dtype="<f3"),
    "a type that is none": frame(dtype=7),
    "a code for a type": frame(dtype="f4),(__import__('os').system('true')"),
    "too few bytes": frame(data=b"\0"),
    "too many": frame(data=b"\0" * 8),
    "a negative length": frame(shape=(-1,)),
    "lengths whose product overflows": frame(shape=(2**62, 4)),
    "half a length": frame(shape=(0.5,)),
    "no lengths": frame(shape=None),
    "many axes": frame(shape=(1,) * 40),
    "no bytes": frame(data="text"),
    "a number of text": msgpack.packb({b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}),
    "a number that is too large": msgpack.packb({b"__npgeneric__": True, b"data": 2**40, b"dtype": "|i1"}),
    "a number that is a table": msgpack.packb({b"__npgeneric__": True, b"data": {}, b"dtype": "<f4"}),
    "tables without end": b"\x91" * 100_000,
    "many empty tables": msgpack.packb([{}] * 10_000),
    "a table for a key": b"\x81\x80\x01",
    "text that is none": b"\xa2\xff\xff",
    "a moment that is none": b"\xc7\x01\xff\x00",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_no_frame_is_one_error(bad):
    with pytest.raises(UserError) as caught:
        unpack(bad)
    assert 5 < len(str(caught.value)) < 200


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 255))
def test_any_bytes_are_a_value_or_one_error(noise, place, byte):
    good = bytearray(pack({"observation/state": np.zeros(3, np.float32), "n": np.float32(1), "prompt": "go"}))
    good[place % len(good)] = byte
    for bytes_ in (noise, bytes(good)):
        with suppress(UserError):
            unpack(bytes_)
