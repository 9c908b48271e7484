"""What turns a picture into numbers, and networks that see pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError
from qgf.networks.blocks import product
from qgf.types import Spec
from qgf.words import LOOKS, STATE

Encoder: TypeAlias = Callable[[tuple[int, int, int], Array], Callable[[Array], Array]]
"""encoder(shape (H, W, C), key) -> a module [..., H, W, C], normalised, -> [..., F]."""

FEATURES = 512
"""Of one camera (Espeholt et al. 2018 have 256, FQL's published code 512)."""

SMALLEST = 36
"""Pixels that become one in `Nature`: ((36 - 8) / 4 + 1 - 4) / 2 + 1 = 3."""


class Conv(eqx.Module):
    """A convolution [B, H, W, in] -> [B, H', W', out]; weights [k, k, in, out], k a multiple of the stride.

    A matrix product over patches, which costs the same as XLA's convolution. That is many times slower on a CPU as
    soon as it stands in a loop, where training is (`benchmarks/encoders.py`).
    """

    weight: Array
    bias: Array
    stride: int = eqx.field(static=True, default=1)
    same: bool = eqx.field(static=True, default=True)  # keeps H and W (stride 1), or leaves out the borders

    @staticmethod
    def drawn(key: Array, k: int, size_in: int, size_out: int, stride: int = 1, same: bool = True) -> Conv:
        weight = jax.nn.initializers.lecun_normal()(key, (k, k, size_in, size_out))
        return Conv(weight, jnp.zeros(size_out), stride, same)

    def __call__(self, x: Array) -> Array:
        k, before = self.weight.shape[0], (self.weight.shape[0] - 1) // 2
        if self.same:
            x = jnp.pad(x, ((0, 0), (before, k - 1 - before), (before, k - 1 - before), (0, 0)))
        patches, weight = _patches(x, self.weight, self.stride)
        rows = product(patches.reshape(-1, len(weight)), weight)
        return rows.reshape(*patches.shape[:3], -1) + self.bias


def _patches(x: Array, weight: Array, stride: int) -> tuple[Array, Array]:
    """What a convolution takes of pictures at every place, [B, H', W', P], and its weights in that order, [P, out].

    Squares of stride x stride pixels become channels first, so that what is left moves by one and few slices are cut.
    """
    (rows, height, width, c), (k, _, _, out), s = x.shape, weight.shape, stride
    h, w = ((n - k) // s + 1 for n in (height, width))  # of the result
    n = k // s  # squares along a patch
    high, wide = h + n - 1, w + n - 1
    x = x[:, : high * s, : wide * s].reshape(rows, high, s, wide, s, c).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(rows, high, wide, s * s * c)
    patches = jnp.concatenate([x[:, i : i + h, j : j + w] for i in range(n) for j in range(n)], axis=-1)
    return patches, weight.reshape(n, s, n, s, c, out).transpose(0, 2, 1, 3, 4, 5).reshape(-1, out)


class Dense(eqx.Module):
    """relu(x W + b) of all that a picture [B, H, W, C] became, [B, FEATURES]."""

    weight: Array
    bias: Array

    @staticmethod
    def drawn(key: Array, before: jax.ShapeDtypeStruct) -> Dense:
        size_in = before.size // before.shape[0]
        return Dense(jax.nn.initializers.glorot_uniform()(key, (size_in, FEATURES)), jnp.zeros(FEATURES))

    def __call__(self, x: Array) -> Array:
        return jax.nn.relu(product(x.reshape(len(x), -1), self.weight) + self.bias)


def _halved(x: Array) -> Array:
    """The largest of 3 x 3 pixels at every second one, [B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), C]."""
    h, w = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (h % 2, 1), (w % 2, 1), (0, 0)), constant_values=-jnp.inf)  # XLA's "SAME"
    shifts = [x[:, i : i + h : 2, j : j + w : 2] for i in range(3) for j in range(3)]
    return jnp.stack(shifts).max(axis=0)


def _shape_after(f: Callable[[Array], Array], shape: tuple[int, int, int]) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(f, jax.ShapeDtypeStruct((1, *shape), jnp.float32))


def _any_axes(f: Callable[[Array], Array], x: Array) -> Array:
    """f of pictures [B, H, W, C] for pictures with any leading axes."""
    lead = x.shape[:-3]
    return f(x.reshape(-1, *x.shape[-3:])).reshape(*lead, -1)


class Impala(eqx.Module):
    """A small residual network (Espeholt et al. 2018, one block a stack): three times a convolution, a pooling and
    x + two convolutions, with 16, 32 and 32 channels; a linear layer. FQL's `impala_small` (Park et al. 2025).
    """

    stacks: list[tuple[Conv, Conv, Conv]]
    last: Dense

    def __init__(self, shape: tuple[int, int, int], key: Array):
        sizes = (shape[-1], 16, 32, 32)
        keys = iter(jax.random.split(key, 10))
        self.stacks = [
            (Conv.drawn(next(keys), 3, i, o), Conv.drawn(next(keys), 3, o, o), Conv.drawn(next(keys), 3, o, o))
            for i, o in pairwise(sizes)
        ]
        self.last = Dense.drawn(next(keys), _shape_after(lambda x: self._stacked(x), shape))

    def _stacked(self, x: Array) -> Array:
        for enter, first, second in self.stacks:
            x = _halved(enter(x))
            x = x + second(jax.nn.relu(first(jax.nn.relu(x))))
        return jax.nn.relu(x)

    def __call__(self, x: Array) -> Array:
        return _any_axes(lambda x: self.last(self._stacked(x)), x)


class Nature(eqx.Module):
    """Three strided convolutions and a linear layer (Mnih et al. 2015): a fifth of `impala`'s operations, for training
    without a GPU. Raises UserError for pictures of which the convolutions leave nothing.
    """

    layers: list[Conv]
    last: Dense

    def __init__(self, shape: tuple[int, int, int], key: Array):
        if min(shape[:2]) < SMALLEST:
            raise UserError(
                f"pictures of {shape[0]} x {shape[1]} are too small for nature, which takes {SMALLEST} or more"
            )
        keys = jax.random.split(key, 4)
        kinds = ((8, shape[-1], 32, 4), (4, 32, 64, 2), (3, 64, 64, 1))
        self.layers = [Conv.drawn(k, *kind, same=False) for k, kind in zip(keys, kinds, strict=False)]
        self.last = Dense.drawn(keys[-1], _shape_after(lambda x: self._convolved(x), shape))

    def _convolved(self, x: Array) -> Array:
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x

    def __call__(self, x: Array) -> Array:
        return _any_axes(lambda x: self.last(self._convolved(x)), x)


class Encoded(eqx.Module):
    """net([features, state], ...) of a network of vectors, for observations with pictures (`Spec.one`): every camera's
    features, in the order of their names, and then the numbers beside them, [..., F + S].
    """

    encoders: dict[str, Callable[[Array], Array]]
    net: Any
    usual: dict[str, tuple[Array, Array]]  # by camera: the mean picture [H, W, C] and the deviation from it, []

    def __call__(self, obs: Mapping[str, Any], *rest: Array) -> Array:
        return self.net(self.vector(obs), *rest)

    def vector(self, obs: Mapping[str, Any]) -> Array:
        """What the network is given of an observation."""
        return _beside(self.look(obs), obs)

    def look(self, obs: Mapping[str, Any]) -> Array:
        """The features of every camera, [..., F]. What encoders see is what differs from the mean picture: where a
        camera stands still, nearly all that it shows is the same in every state.
        """
        features = []
        for name in sorted(self.encoders):
            mean, std = jax.lax.stop_gradient(self.usual[name])
            features.append(self.encoders[name]((obs[name].astype(jnp.float32) / 255 - mean) / std))
        return jnp.concatenate(features, axis=-1)

    def told(self, k: int) -> Told:
        return Told(self.net, k)

    @property
    def inner(self) -> Any:
        return self.net

    def around(self, f: Callable[..., Array]) -> Encoded:
        """What the network can do besides (`types.ability`), for pictures too."""
        return Encoded(self.encoders, f, self.usual)


class Told(eqx.Module):
    """The network of an `Encoded` that has looked already: see `observations.looked`."""

    net: Any
    k: int = eqx.field(static=True)

    def __call__(self, obs: Mapping[str, Any], *rest: Array) -> Array:
        return self.net(_beside(obs[LOOKS][self.k], obs), *rest)

    @property
    def inner(self) -> Any:
        return self.net

    def around(self, f: Callable[..., Array]) -> Told:
        return Told(f, self.k)


def _beside(features: Array, obs: Mapping[str, Any]) -> Array:
    return jnp.concatenate([features, obs[STATE]], axis=-1) if STATE in obs else features


def opened(net: Any, obs: Any) -> tuple[Any, Array]:
    """The network within, and what it is given of an observation: for what it can do besides being called. A network
    of vectors, and its vector, are what they are.
    """
    return (net.net, net.vector(obs)) if isinstance(net, Encoded) else (net, obs)


def encoders_of(encoder: Encoder, spec: Spec, key: Array) -> dict[str, Callable[[Array], Array]]:
    """One encoder for every camera, freshly drawn."""
    keys = jax.random.split(key, max(len(spec.images), 1))
    return {name: encoder(shape, k) for (name, shape), k in zip(spec.images, keys, strict=False)}


def unknown_pictures(spec: Spec) -> dict[str, tuple[Array, Array]]:
    """What `Encoded.usual` is before any data are known."""
    return {name: (jnp.zeros(shape), jnp.ones(())) for name, shape in spec.images}


def accustomed(nets: Any, usual: Mapping[str, tuple[Any, Any]]) -> Any:
    """Networks to which these pictures are the usual ones; a leading axis of their arrays is one of seeds."""
    sees = lambda x: isinstance(x, Encoded)

    def one(x: Any) -> Any:
        if not sees(x):
            return x
        like = lambda new, old: jnp.array(jnp.broadcast_to(new, old.shape))  # each its own: the learner donates them
        return Encoded(x.encoders, x.net, {name: jax.tree.map(like, usual[name], x.usual[name]) for name in x.usual})

    return jax.tree.map(one, nets, is_leaf=sees)


def of_vectors(spec: Spec, encoders: Mapping[str, Callable[[Array], Array]]) -> Spec:
    """The sizes as networks within an `Encoded` see them: all that they are given is one vector."""
    picture = lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    sizes = [eqx.filter_eval_shape(encoders[name], picture(shape)).shape[-1] for name, shape in spec.images]
    return spec._replace(obs_dim=sum(sizes) + spec.obs_dim, images=())
