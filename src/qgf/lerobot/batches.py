"""What a policy is asked with: dictionaries, lists and records of tensors, of words and of whatever else."""

from __future__ import annotations

import copy
from typing import Any

import torch

from qgf.torch.observations import own


def own_batch(x: Any) -> Any:
    """The same, with tensors that may be differentiated, whatever mode they were made in."""
    return changed(own, x)


def repeat(x: Any, rows: int, n: int) -> Any:
    """Every row n times in a row, of tensors and lists of words that have so many rows."""
    if isinstance(x, list) and len(x) == rows and all(isinstance(word, str) for word in x):
        return [word for word in x for _ in range(n)]
    if isinstance(x, (dict, list, tuple)):
        parts = {key: repeat(y, rows, n) for key, y in x.items()} if isinstance(x, dict) else None
        return type(x)(repeat(y, rows, n) for y in x) if parts is None else parts
    return changed(lambda y: y.repeat_interleave(n, dim=0) if y.ndim and len(y) == rows else y, x)


def rows_of(x: Any) -> int | None:
    """How many rows the first tensor that has any has."""
    if torch.is_tensor(x):
        return len(x) if x.ndim else None
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else record(x)
    return next((n for y in parts if (n := rows_of(y)) is not None), None)


def changed(f, x: Any) -> Any:
    """f of every tensor."""
    if torch.is_tensor(x):
        return f(x)
    if isinstance(x, dict):
        return {key: changed(f, y) for key, y in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(changed(f, y) for y in x)
    if record(x):  # openpi's observations
        made = copy.copy(x)
        for key, y in vars(x).items():
            object.__setattr__(made, key, changed(f, y))
        return made
    return x


def record(x: Any) -> tuple:
    """The values of an object that has fields."""
    return tuple(vars(x).values()) if hasattr(x, "state") and hasattr(x, "__dict__") else ()
