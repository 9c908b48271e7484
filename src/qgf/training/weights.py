"""The arrays of a pytree as a safetensors file, named by their paths: nets.flow.net.weights.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qgf.errors import UserError
from qgf.files import check, real_size, sealed_path

WEIGHTS = "model.safetensors"


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


def write_weights(path: Path, tree) -> None:
    """Write every array and number of the tree. Raises UserError for what is neither (a random key)."""
    from safetensors.numpy import save_file

    arrays = {name: _numbers(name, x) for name, x in named(tree).items()}
    with sealed_path(path) as temporary:
        save_file(arrays, temporary)


def _numbers(name: str, x) -> np.ndarray:
    if jnp.issubdtype(jnp.result_type(x), jax.dtypes.extended):
        raise UserError(f"{name} is a random key and cannot be saved")
    return np.ascontiguousarray(x).reshape(np.shape(x))


def read_weights(skeleton, path: Path, any_shape: tuple[str, ...] = ()):
    """The skeleton, whose leaves may be shapes only, with its arrays and numbers read from a safetensors file.

    Raises UserError if the file is missing, damaged, or holds other arrays than the skeleton, of another shape if their
    name is not in `any_shape`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    real_size(path)
    check(path)
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: truncated or not a safetensors file ({error})") from error
    expected = named(skeleton)
    if extra := sorted(set(arrays) - set(expected)):
        raise UserError(f"{path}: belongs to another policy, {extra[0]} is not in its config.json")
    for name, leaf in expected.items():
        if name not in arrays or (name not in any_shape and arrays[name].shape != np.shape(leaf)):
            found = list(arrays[name].shape) if name in arrays else "nothing"
            should = list(np.shape(leaf))
            raise UserError(f"{path}: belongs to another policy, {name} should be {should}, found {found}")

    def filled(place, leaf):
        name = jax.tree_util.keystr(place, simple=True, separator=".")
        if name not in expected:
            return leaf
        return type(leaf)(arrays[name].item()) if isinstance(leaf, (bool, int, float)) else jnp.asarray(arrays[name])

    return jax.tree_util.tree_map_with_path(filled, skeleton)
