"""Observations of any make, a tensor or a dict, list or tuple of them, and modes in which they are differentiated."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import Tensor

from qgf.types import Info


@contextmanager
def plain():
    """Neither gradients nor inference mode, in whose tensors nothing can be differentiated."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def own(x: Tensor) -> Tensor:
    """A tensor that may be differentiated, whatever mode it was made in."""
    return x.clone() if x.is_inference() else x


def mapped(f, obs):
    """f of every tensor in a dict, list or tuple of them."""
    if isinstance(obs, dict):
        return {key: mapped(f, x) for key, x in obs.items()}
    return type(obs)(mapped(f, x) for x in obs) if isinstance(obs, (list, tuple)) else f(obs)


def leaves(obs):
    """Every tensor in a dict, list or tuple of them."""
    if isinstance(obs, (dict, list, tuple)):
        for x in obs.values() if isinstance(obs, dict) else obs:
            yield from leaves(x)
    else:
        yield obs


def rows_of(info: Info, i) -> Info:
    """Of all that an info tells, row i or rows i."""
    return Info(*(x if x is None else x[i] for x in info))  # type: ignore[arg-type]


def repeated(obs, n: int):
    """Every observation n times in a row."""
    return mapped(lambda x: x.repeat_interleave(n, dim=0), obs)
