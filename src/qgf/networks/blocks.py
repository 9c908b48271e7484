"""The networks: velocity field, critic ensembles and value net, for one sample or a batch of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint


def product(x: Array, weight: Array) -> Array:
    """x @ weight, [..., in] -> [..., out].

    For a batch [B, in] under `jax.default_matmul_precision("bfloat16")` the operands, and those of the derivatives,
    are rounded to bfloat16 and summed in float32, on any device (JAX's own switch does nothing on a CPU).

    The switch is read while tracing, from JAX, for two reasons: it is part of what JAX knows a compiled program by, so
    that none is taken for another's; and no loss or network has to hand on how precisely it is computed.
    """
    rounded = x.ndim == 2 and jax.config.jax_default_matmul_precision == "bfloat16"  # type: ignore[attr-defined]
    return _rounded_product(x, weight) if rounded else x @ weight


@jax.custom_vjp
def _rounded_product(x, weight):
    return _dot(x, weight, 1, 0)


def _rounded_vjp(saved, g):
    x, weight = saved
    rows = with_layout_constraint(x.T, Layout(major_to_minor=(0, 1)))  # XLA's fast kernel wants a real transpose
    return _dot(g, weight, 1, 1), _dot(rows, g, 1, 0)


_rounded_product.defvjp(lambda x, w: (_dot(x, w, 1, 0), (x.astype(jnp.bfloat16), w)), _rounded_vjp)


def _dot(x, y, i, j):
    dims = (((i,), (j,)), ((), ()))
    return jax.lax.dot_general(x.astype(jnp.bfloat16), y.astype(jnp.bfloat16), dims, preferred_element_type=jnp.float32)


@jax.custom_vjp
def gelu_norm(z: Array) -> Array:
    """LayerNorm(GELU(z)) over the last axis, without scale and shift (the linear layer that follows holds them).

    Training is bound by memory between its matrix products, so the derivative is written out: with h = gelu(z) and
    y = (h - mean h) / std h, dz = (g - mean(g) - y mean(g y)) gelu'(z) / std h. It keeps z, y and std, nothing else.
    """
    return _gelu_norm(z)[0]


def _gelu_norm(z):
    h = jax.nn.gelu(z)
    mean = jnp.mean(h, axis=-1, keepdims=True)
    variance = jnp.mean(h * h, axis=-1, keepdims=True) - mean * mean
    scale = jax.lax.rsqrt(jnp.maximum(variance, 0) + 1e-5)
    y = (h - mean) * scale
    return y, (z, y, scale)


def _gelu_norm_vjp(saved, g):
    z, y, scale = saved
    mean = lambda x: jnp.mean(x, axis=-1, keepdims=True)
    inner = (g - mean(g) - y * mean(g * y)) * scale
    return jax.vjp(jax.nn.gelu, jax.lax.optimization_barrier(z))[1](inner)


gelu_norm.defvjp(_gelu_norm, _gelu_norm_vjp)


Network: TypeAlias = Callable[[int, int, int, int, Array], Callable[[Array], Array]]
"""network(size_in, size_out, width, depth, key) -> a module [..., in] -> [..., out]: what velocity fields, critics and
value nets are made of."""


class MLP(eqx.Module):
    """`depth` hidden layers of `width` units, each linear, GELU, LayerNorm; a linear read-out: [..., in] -> [..., out].

    The first and the last layer are always computed in float32: observations and values need all their digits.
    Weights are stored [in, out] and drawn uniformly with variance 2 / (in + out); biases start at zero.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __init__(self, size_in: int, size_out: int, width: int, depth: int, key: Array):
        sizes = [size_in, *[width] * depth, size_out]
        draw = jax.nn.initializers.glorot_uniform()
        pairs = list(zip(jax.random.split(key, depth + 1), sizes[:-1], sizes[1:], strict=True))
        self.weights = tuple(draw(k, (i, o)) for k, i, o in pairs)
        self.biases = tuple(jnp.zeros(o) for _, _, o in pairs)

    def __call__(self, x: Array) -> Array:
        return self.through(x)

    def through(self, x: Array, after: Callable[[Array, int], Array] = lambda h, layer: h) -> Array:
        """The output, with `after(h, number)` in the place of every hidden layer's h."""
        x = after(gelu_norm(x @ self.weights[0] + self.biases[0]), 0)
        for k, (weight, bias) in enumerate(zip(self.weights[1:-1], self.biases[1:-1], strict=True), 1):
            x = after(gelu_norm(product(x, weight) + bias), k)
        return x @ self.weights[-1] + self.biases[-1]


class Again(MLP):
    """An MLP that sees the last `d` numbers of its input, the action, in every hidden layer anew and in the read-out:
    with depth, what it is told of the action at its start fades (Q-VGM).
    """

    d: int = eqx.field(static=True)

    def __init__(self, size_in: int, size_out: int, width: int, depth: int, key: Array, d: int):
        super().__init__(size_in, size_out, width, depth, key)
        draw = jax.nn.initializers.glorot_uniform()
        keys = jax.random.split(jax.random.fold_in(key, 1), depth)
        wider = [draw(k, (len(w) + d, w.shape[1])) for k, w in zip(keys, self.weights[1:], strict=True)]
        self.weights, self.d = (self.weights[0], *wider), d

    def through(self, x: Array, after: Callable[[Array, int], Array] = lambda h, layer: h) -> Array:
        a = x[..., -self.d :]
        return super().through(x, lambda h, layer: jnp.concatenate([after(h, layer), a], axis=-1))


class Fourier(eqx.Module):
    """A network that sees its input's first `obs_dim` numbers, the observation o, as sin and cos of 2 pi o B, too, with
    B [obs_dim, features] ~ N(0, scale^2) drawn once and not trained: such features let it learn what changes fast from
    place to place (Tancik et al. 2020), and it stays as smooth in the action as it was.
    """

    net: Callable[[Array], Array]
    frequencies: Array

    def __init__(
        self, size_in: int, size_out: int, width: int, depth: int, key: Array, *,
        network: Network, obs_dim: int, features: int, scale: float,
    ):  # fmt: skip
        own, key = jax.random.split(key)
        self.frequencies = scale * jax.random.normal(own, (obs_dim, features))
        self.net = network(size_in + 2 * features, size_out, width, depth, key)

    def __call__(self, x: Array) -> Array:
        frequencies = jax.lax.stop_gradient(self.frequencies)
        phase = 2 * jnp.pi * (x[..., : len(frequencies)] @ frequencies)
        return self.net(jnp.concatenate([jnp.sin(phase), jnp.cos(phase), x], axis=-1))


class Scaled(eqx.Module):
    """`scale` times what a network says: one whose targets are large learns them as numbers near 1."""

    net: Callable[[Array], Array]
    scale: float = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return self.scale * self.net(x)


class Dropped(eqx.Module):
    """A network in whose hidden layers each unit is zero with probability `rate`, and the others are scaled so that
    their mean stays: another draw for every row of the input (Srivastava et al. 2014).
    """

    net: MLP
    key: Array
    rate: float

    def __call__(self, x: Array) -> Array:
        def drop(h: Array, layer: int) -> Array:
            kept = jax.random.bernoulli(jax.random.fold_in(self.key, layer), 1 - self.rate, h.shape)
            return jnp.where(kept, h / (1 - self.rate), 0.0)

        return self.net.through(x, drop)


@jax.tree_util.register_pytree_with_keys_class
class Nets:
    """A method's networks by name, nets.flow, nets.critic, ...: a pytree."""

    def __init__(self, **parts):
        vars(self).update(parts)

    def __getattr__(self, name: str):  # only for names that are not there
        raise AttributeError(f"no network {name!r}, there are {', '.join(vars(self))}")

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.GetAttrKey(name), part) for name, part in vars(self).items()], tuple(vars(self))

    @classmethod
    def tree_unflatten(cls, names, parts):
        return cls(**dict(zip(names, parts, strict=True)))
