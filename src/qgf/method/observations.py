"""What a caller gives a policy: one observation or a batch of them, and keys of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qgf.errors import UserError
from qgf.types import Seeing
from qgf.words import LOOKS, STATE


@dataclass(frozen=True)
class ObsSpec:
    """The shapes and types of one observation, a pytree of any structure. Hashable: programs depend on it."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, example) -> ObsSpec:
        """From an example, or a pytree of shapes: 28, (28,) and np.zeros(28) all mean [28]; {"image": (64, 64, 3),
        "state": 7} is a dictionary. A number is the length of a vector, shapes are of float32.
        """
        if isinstance(example, ObsSpec):
            return example
        leaves, structure = jax.tree.flatten(example, is_leaf=_is_shape)
        return cls(structure, tuple(_leaf(x) for x in leaves))

    @property
    def one(self):
        """One observation, as shapes."""
        return jax.tree.unflatten(self.structure, self.leaves)

    def batch(self, size: int):
        """So many, as shapes."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), self.one)

    def __str__(self) -> str:
        """[28], or {'image': [64, 64, 3], 'state': [7]}."""
        return str(jax.tree.map(lambda x: list(x.shape), self.one))


def _is_shape(x) -> bool:
    return isinstance(x, (tuple, list)) and not hasattr(x, "_fields") and all(isinstance(n, int) for n in x)


def _leaf(x) -> jax.ShapeDtypeStruct:
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return jax.ShapeDtypeStruct(tuple(x.shape), jax.dtypes.canonicalize_dtype(x.dtype))
    if isinstance(x, int) or _is_shape(x):
        return jax.ShapeDtypeStruct((x,) if isinstance(x, int) else tuple(x), np.float32)
    raise UserError(f"obs_spec: expected an array or a shape such as (28,), got {x!r}")


def read(obs, spec: ObsSpec | None) -> tuple[Any, int | None]:
    """The observations and how many they are; None where it is a single one, which only a spec can tell.

    Raises UserError for anything but [S] or [B, S] in every leaf, with the same B. Lists of numbers become arrays.
    """
    if not jax.tree.leaves(obs):
        raise UserError("obs holds no array")
    if spec is not None and jax.tree_util.treedef_is_leaf(spec.structure) and not hasattr(obs, "shape"):
        obs = numbers(obs, "obs")
    obs = jax.tree_util.tree_map_with_path(lambda path, x: numbers(x, "obs" + jax.tree_util.keystr(path)), obs)
    leaves, structure = jax.tree_util.tree_flatten_with_path(obs)
    if spec is not None and structure != spec.structure:
        raise UserError(f"obs is a {structure}, expected a {spec.structure}")
    sizes = {}
    for i, (path, x) in enumerate(leaves):
        name, found = "obs" + jax.tree_util.keystr(path), tuple(np.shape(x))
        sizes[name] = _size(name, found, None if spec is None else spec.leaves[i].shape)
        if spec is not None and spec.leaves[i].dtype == np.uint8 and jnp.result_type(x) != np.uint8:
            raise UserError(f"{name} is a picture of type {jnp.result_type(x)}, expected uint8, from 0 to 255")
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{name} {'one' if n is None else n}" for name, n in sizes.items())
        raise UserError(f"obs: not the same number of observations in every part: {each}")
    size = next(iter(sizes.values()))
    if size == 0:
        raise UserError("obs holds no observation: its first axis has length 0")
    return obs, size


def numbers(x, name: str):
    """An array of JAX as it is; of NumPy, PyTorch, pandas, or lists of numbers, NumPy's in this machine's byte order.

    Raises UserError for what is no real number, and for a masked array in which something is masked.
    """
    if isinstance(x, jax.Array) or (type(x) is np.ndarray and x.dtype.isnative and x.dtype.kind in "biuf"):
        return x
    if np.ma.is_masked(x):
        raise UserError(f"{name} is masked in {np.ma.count_masked(x)} places, of which nothing is known")
    if hasattr(x, "detach"):  # PyTorch's, which NumPy takes from the host and without gradients, and not in bfloat16
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
    try:
        found = np.asarray(x, float if isinstance(x, (list, tuple)) else None)
        found = found.astype(float) if found.dtype == object else found
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is no array of numbers ({error})") from error
    real = jnp.issubdtype(found.dtype, np.integer) or jnp.issubdtype(found.dtype, np.floating) or found.dtype == bool
    if not real:
        raise UserError(f"{name} has type {found.dtype}, expected numbers")
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _size(name: str, found: tuple[int, ...], one: tuple[int, ...] | None) -> int | None:
    if one is None:
        if not found:
            raise UserError(f"{name} has no axis: without obs_spec the first axis of every part is the batch")
        return found[0]
    if found == one:
        return None
    if found[1:] == one and len(found) == len(one) + 1:
        return found[0]
    raise UserError(f"{name} has shape {list(found)}, expected {_shape(*one)} or {_shape('B', *one)}")


def _shape(*sizes) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def on_state(f: Callable[[Any], Any], obs):
    """f of an observation's numbers: of the vector, or of what a dictionary with pictures has as "state", if it has."""
    if not isinstance(obs, dict):
        return f(obs)
    return obs | {STATE: f(obs[STATE])} if STATE in obs else obs


def looked(f, obs):
    """(g, seen) with g(seen, ...) = f(obs, ...), for any pytree of velocities, critics and policies, and observations
    of one or many: what its encoders make of the pictures is computed here, once, however often g is asked.

    Of what sees no pictures (`types.Seeing`) nothing changes.
    """
    sees = lambda x: isinstance(x, Seeing)
    leaves, structure = jax.tree.flatten(f, is_leaf=sees)
    seeing = [x for x in leaves if sees(x)]
    if not seeing:
        return f, obs
    number = iter(range(len(seeing)))
    told = jax.tree.unflatten(structure, [x.told(next(number)) if sees(x) else x for x in leaves])
    return told, {k: x for k, x in obs.items() if k == STATE} | {LOOKS: tuple(x.look(obs) for x in seeing)}


def one_of(obs):
    """One observation of a batch, as shapes."""
    shape = lambda x: jax.ShapeDtypeStruct(np.shape(x)[1:], jax.dtypes.canonicalize_dtype(jnp.result_type(x)))
    return jax.tree.map(shape, obs)


def chunks(x, name: str, batch: int | None, horizon: int, action_dim: int):
    """Action chunks [B, H, A] or [B, d] (of a single observation [H, A] or [d]) as [B, d]."""
    lead, d = () if batch is None else (batch,), horizon * action_dim
    if tuple(np.shape(x)) not in ((*lead, horizon, action_dim), (*lead, d)):
        whole = _shape(*lead, horizon, action_dim)
        raise UserError(f"{name} has shape {list(np.shape(x))}, expected {whole} or {_shape(*lead, d)}")
    return numbers(x, name).reshape(batch or 1, d)


def as_key(key, batch: int) -> Array:
    """A key, or one per sample [batch], of JAX's new style: from those, from old ones (uint32 [2] or [batch, 2]) or
    from an integer seed. Raises UserError for anything else.
    """
    if hasattr(key, "detach"):  # a seed of PyTorch's
        key = np.asarray(key.detach().cpu())
    shape, dtype = tuple(np.shape(key)), getattr(key, "dtype", None)
    width = 4 if "rbg" in str(jax.config.values["jax_default_prng_impl"]) else 2
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if shape in ((), (batch,)):
            return key
    elif isinstance(key, int) and not isinstance(key, bool):
        if -(2**63) <= key < 2**63:
            return jax.random.key(key)
    elif dtype is not None and jnp.issubdtype(dtype, jnp.integer) and shape == ():
        return jax.random.key(key)
    elif dtype == np.uint32 and shape in ((width,), (batch, width)):
        return jax.random.wrap_key_data(jnp.asarray(key))
    found = repr(key)[:40] if dtype is None else f"{dtype} {list(shape)}"
    raise UserError(f"key: expected jax.random.key(seed), a whole number, or {batch} keys, got {found}")


def per_sample(key: Array, batch: int) -> Array:
    """One key per sample, [batch]; keys that are one per sample already are passed through."""
    key = as_key(key, batch)
    return key if key.ndim else jax.random.split(key, batch)


def padded(call: Callable[[Any], Any], rows, batch: int):
    """call(rows), where every leaf of `rows` has one row per sample, with the batch padded to the next power of two.

    So that a caller whose batches come in all sizes compiles a handful of programs, not one a size. The last row is
    repeated and what comes of it is cut off, both outside of any program. Nothing is padded while JAX traces.
    """
    extra = (1 << (batch - 1).bit_length()) - batch
    if not extra or any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(rows)):
        return call(rows)
    result = call(jax.tree.map(lambda x: _grown(x, extra), rows))
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(result)):
        return jax.tree.map(lambda x: x[:batch], result)
    return jax.tree.map(lambda x: jax.device_put(np.asarray(x)[:batch]), result)  # `asarray` compiles for every shape


def _grown(x, extra: int):
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.concatenate([x, jnp.repeat(x[-1:], extra)])
    x = np.asarray(x)
    return np.concatenate([x, np.repeat(x[-1:], extra, axis=0)])
