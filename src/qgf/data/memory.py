"""Arrays that begin where a device's own memory would, which a CPU takes over as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ALIGNED = 64
"""Bytes, a multiple of which is where JAX's memory begins."""


def aligned(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Room for an array."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.empty(size + ALIGNED, np.uint8)
    begin = -memory.ctypes.data % ALIGNED
    return memory[begin : begin + size].view(kind).reshape(shape)


def is_aligned(x: np.ndarray) -> bool:
    """Whether an array of one's own lies so, row by row."""
    return x.ctypes.data % ALIGNED == 0 and x.flags.c_contiguous and x.flags.writeable
