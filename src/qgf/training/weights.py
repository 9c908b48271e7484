"""The arrays of a pytree as a safetensors file, named by their paths: nets.flow.net.weights.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.files import Number, check, real_size, sealed_path
from qgf.files.real import LARGEST

WEIGHTS = "model.safetensors"
TOLD = "qgf"
"""The key of what a file says of its arrays."""


def named(tree) -> dict[str, Any]:
    """Arrays and numbers of a pytree by their path. Raises UserError where two have the same."""
    names: dict[str, Any] = {}
    is_array = lambda x: eqx.is_array_like(x) or isinstance(x, jax.ShapeDtypeStruct)
    for path, x in jax.tree_util.tree_leaves_with_path(eqx.filter(tree, is_array)):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name in names:
            raise UserError(f"two arrays are both named {name}: name the parts of the policy without dots")
        names[name] = x
    return names


def write_weights(path: Path, tree, told: str = "") -> None:
    """Write every array and number of the tree, and what is `told` of them. Raises UserError for what is neither (a
    random key).
    """
    from safetensors.numpy import save

    arrays = {name: _numbers(name, x) for name, x in named(tree).items()}
    with sealed_path(path) as temporary:
        # Its own `save_file` leaves a file of its own behind where it is killed
        temporary.write_bytes(save(arrays, {TOLD: told} if told else None))


def _numbers(name: str, x) -> np.ndarray:
    if jnp.issubdtype(jnp.result_type(x), jax.dtypes.extended):
        raise UserError(f"{name} is a random key and cannot be saved")
    return np.ascontiguousarray(x).reshape(np.shape(x))


def read_weights(skeleton, path: Path, any_shape: tuple[str, ...] = ()):
    """The skeleton, whose leaves may be shapes only, with its arrays and numbers read from a safetensors file.

    Raises UserError if the file is missing, damaged or not what was written, if it holds other arrays than the
    skeleton, of another type, or of another shape if their name is not in `any_shape`, and for NaN or Inf where the
    skeleton has none. Names and shapes are compared before any memory is taken.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    expected, there = named(skeleton), _declared(path)
    if extra := sorted(set(there) - set(expected)):
        raise UserError(f"{path}: belongs to another policy, {extra[0]} is not in its config.json")
    for name, leaf in expected.items():
        _compare(path, name, there.get(name), leaf, name in any_shape)
    check(path)
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: truncated or not a safetensors file ({error})") from error
    for name, leaf in expected.items():
        _check_finite(path, name, arrays[name], leaf, name in any_shape)

    def filled(place, leaf):
        name = jax.tree_util.keystr(place, simple=True, separator=".")
        if name not in expected:
            return leaf
        return type(leaf)(arrays[name].item()) if isinstance(leaf, (bool, int, float)) else jnp.asarray(arrays[name])

    return jax.tree_util.tree_map_with_path(filled, skeleton)


TYPES = {f"{letter}{8 * n}": f"{kind}{8 * n}" for letter, kind in (("I", "int"), ("U", "uint")) for n in (1, 2, 4, 8)}
TYPES |= dict(BOOL="bool", F16="float16", BF16="bfloat16", F32="float32", F64="float64", C64="complex64")
"""Of safetensors, as NumPy calls them."""


class Tensor(msgspec.Struct):
    """What the head of a safetensors file says of one array."""

    dtype: str
    shape: list[Number]
    data_offsets: tuple[Number, Number]


def told_of(path: Path) -> str:
    """What `write_weights` was told; "" if nothing."""
    return _head(path)[1]


def _declared(path: Path) -> dict[str, Tensor]:
    return _head(path)[0]


def _head(path: Path) -> tuple[dict[str, Tensor], str]:
    """The head of a safetensors file: eight bytes that say how long it is, then JSON."""
    size = real_size(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length <= min(size - 8, LARGEST) else b""
    try:
        content = msgspec.json.decode(head, type=dict[str, Any])
        about = content.pop("__metadata__", None) or {}
        told = about.get(TOLD, "") if isinstance(about, dict) else ""
        found = msgspec.convert(content, dict[str, Tensor])
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise UserError(f"{path}: truncated or not a safetensors file") from None
    if size != 8 + length + max((x.data_offsets[1] for x in found.values()), default=0):
        raise UserError(f"{path}: truncated or not a safetensors file (its head and its size differ)")
    return found, told if isinstance(told, str) else ""


def _compare(path: Path, name: str, found: Tensor | None, leaf, bounds: bool) -> None:
    """Raises UserError for an array that is missing, or of another shape or type than the leaf's. `bounds` may have any
    shape; and where JAX computes in double precision, single is what was trained.
    """
    foreign = f"{path}: belongs to another policy, {name} should be"
    if found is None or (not bounds and found.shape != list(np.shape(leaf))):
        raise UserError(f"{foreign} {list(np.shape(leaf))}, found {found.shape if found else 'nothing'}")
    kind = TYPES.get(found.dtype, found.dtype)
    should = None if bounds or isinstance(leaf, (bool, int, float)) else np.dtype(leaf.dtype).name
    fits = kind in TYPES.values() if should is None else kind == should or (kind, should) == ("float32", "float64")
    if not fits:
        double = " (as trained with JAX_ENABLE_X64=1, with which it is read)" if kind == "float64" else ""
        raise UserError(f"{foreign} {should or 'numbers'}, found {kind}{double}")


def _check_finite(path: Path, name: str, x: np.ndarray, leaf, bounds: bool) -> None:
    """Raises UserError for NaN, and for Inf but where `bounds` or the leaf itself is infinite."""
    bad = ~np.isfinite(x) if x.dtype.kind in "fcV" else np.zeros(x.shape, bool)
    if not bad.any() or (bounds and not np.isnan(x).any()):
        return
    known = np.zeros(()) if isinstance(leaf, jax.ShapeDtypeStruct) else np.asarray(leaf)
    if known.shape != x.shape or np.isfinite(known[bad]).any() or np.isnan(x).any():
        raise UserError(f"{path}: {name} holds NaN or Inf, {bad.sum()} of its {x.size} numbers")
