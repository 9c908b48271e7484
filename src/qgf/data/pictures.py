"""Pictures among a dataset's arrays: one a camera, uint8 [N, H, W, C], never turned into numbers here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgf.errors import UserError
from qgf.words import LOOKS, STATE

IMAGES, NEXT = "images/", "next_images/"
"""What the keys of pictures begin with; then comes the camera's name."""
ONLY = "image"
"""The camera of data that have one and do not name it."""


def are_pictures(x: Any) -> bool:
    """Whether an array is of pictures, [N, H, W, C], by its shape and type."""
    return np.ndim(x) == 4 and x.dtype == np.uint8


def named(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with pictures in the place of `observations` under a camera's name, and observations [N, 0] where
    there are pictures alone.
    """
    keys = dict(observations=f"{IMAGES}{ONLY}", next_observations=f"{NEXT}{ONLY}")
    found = {keys[key] if key in keys and np.ndim(x) == 4 else key: x for key, x in arrays.items()}
    for of, pictures in (("observations", IMAGES), ("next_observations", NEXT)):
        lengths = [len(x) for key, x in found.items() if key.startswith(pictures)]
        if of not in found and lengths:
            found[of] = np.zeros((lengths[0], 0), np.float32)
    return found


def checked(arrays: Mapping[str, np.ndarray], rows: int, name: str) -> dict[str, np.ndarray]:
    """The pictures among the arrays. Raises UserError for a wrong shape, type or name."""
    found = {key: np.asarray(x) for key, x in arrays.items() if key.startswith((IMAGES, NEXT))}
    for key, x in found.items():
        if x.ndim != 4 or len(x) != rows or 0 in x.shape:
            raise UserError(f"{name}: {key!r} has shape {list(x.shape)}, expected [{rows}, height, width, channels]")
        if x.dtype != np.uint8:
            raise UserError(f"{name}: {key!r} has type {x.dtype}, pictures are uint8, from 0 to 255")
        if key.split("/", 1)[1] in ("", STATE, LOOKS):
            raise UserError(f"{name}: {key!r}: a camera needs another name")
    return found


def after_the_step(pictures: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The pictures after the step by the keys of those before it. Raises UserError where one is missing."""
    found = {}
    for key, x in pictures.items():
        if key.startswith(IMAGES):
            after = pictures.get(f"next_{key}")
            if after is None or after.shape != x.shape:
                shape = "is missing" if after is None else f"has shape {list(after.shape)}"
                raise UserError(f"{name}: 'next_{key}' {shape}, expected {list(x.shape)} beside 'next_observations'")
            found[key] = after
    return found


def usual(pictures: np.ndarray, most: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """The mean picture [H, W, C] and the deviation from it over all pixels, [], both in [0, 1]; of `most` pictures,
    evenly spread. Pictures that are all the same have deviation 1.
    """
    some = pictures[:: -(-len(pictures) // most)].astype(np.float32) / 255
    mean = some.mean(axis=0, dtype=np.float64).astype(np.float32)
    std = np.sqrt(np.mean((some - mean) ** 2, dtype=np.float64)).astype(np.float32)
    return mean, np.where(std < 1e-6, np.float32(1), std)


def seen(images: Mapping[str, Any] | None, rows: Any, state: Any) -> Any:
    """What a policy sees of a dataset's `rows` [B]: the pictures and the numbers there [B, S] (`Spec.one`), the numbers
    alone where there are no pictures.
    """
    if not images:
        return state
    return {name: x[rows] for name, x in images.items()} | ({STATE: state} if state.shape[-1] else {})
