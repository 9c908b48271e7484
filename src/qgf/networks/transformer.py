"""A transformer over an action chunk: for critics of chunks so long that an MLP sees numbers instead of actions."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError

PIECE = 64
"""Numbers of an observation that one token holds, at most: a state is one, a policy's features are some more."""
HEAD = 64
"""Numbers of a token that one head attends to, where there are so many."""
WIDER = 4
"""How many times as wide the hidden layer between two attentions is."""


def heads_of(width: int) -> int:
    return max(width // HEAD, 1)


def norm(x: Array) -> Array:
    """LayerNorm over the last axis, without scale and shift (the linear layer that follows holds them)."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


class Block(eqx.Module):
    """x + attention(norm x), then x + MLP(norm x), for tokens x[..., L, W]; every token attends to every other."""

    qkv: Array  # [W, 3 W]
    out: Array  # [W, W]
    up: Array  # [W, 4 W]
    up_bias: Array
    down: Array  # [4 W, W]
    down_bias: Array

    def __init__(self, width: int, key: Array):
        draw, keys = jax.nn.initializers.glorot_uniform(), jax.random.split(key, 4)
        self.qkv, self.out = draw(keys[0], (width, 3 * width)), draw(keys[1], (width, width))
        self.up, self.up_bias = draw(keys[2], (width, WIDER * width)), jnp.zeros(WIDER * width)
        self.down, self.down_bias = draw(keys[3], (WIDER * width, width)), jnp.zeros(width)

    def __call__(self, x: Array) -> Array:
        heads, width = heads_of(x.shape[-1]), x.shape[-1]
        parts = (norm(x) @ self.qkv).reshape(*x.shape[:-1], 3, heads, width // heads)
        q, k, v = (parts[..., i, :, :] for i in range(3))
        scores = jnp.einsum("...ihc,...jhc->...hij", q, k) / (width // heads) ** 0.5
        mixed = jnp.einsum("...hij,...jhc->...ihc", jax.nn.softmax(scores), v)
        x = x + mixed.reshape(x.shape) @ self.out
        return x + jax.nn.gelu(norm(x) @ self.up + self.up_bias) @ self.down + self.down_bias


class Transformer(eqx.Module):
    """[..., S + H A] -> [..., out]: tokens for the observation, in pieces of at most `PIECE` numbers with weights of
    their own, and for each of the chunk's actions, with a learned place; what one more token has gathered after `depth`
    blocks of `width` is read.
    """

    read: Array  # [W]
    observe: Array  # [pieces, numbers, W]
    observe_bias: Array  # [pieces, W]
    act: Array  # [A, W]
    places: Array  # [H, W]
    blocks: tuple[Block, ...]
    leave: Array  # [W, out]
    leave_bias: Array
    d: int = eqx.field(static=True)

    def __init__(self, size_in: int, size_out: int, width: int, depth: int, key: Array, d: int, action_dim: int):
        if width % heads_of(width):
            raise UserError(f"a transformer's width is a multiple of {HEAD}, or below {2 * HEAD}; got {width}")
        keys, size = jax.random.split(key, depth + 5), size_in - d
        pieces, numbers = pieces_of(size)
        draw, small = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.normal(0.02)
        self.read, self.places = small(keys[0], (width,)), small(keys[1], (d // action_dim, width))
        each = [draw(k, (numbers, width)) for k in jax.random.split(keys[2], pieces)]
        self.observe, self.observe_bias = jnp.stack(each), jnp.zeros((pieces, width))
        self.act, self.blocks = draw(keys[3], (action_dim, width)), tuple(Block(width, k) for k in keys[5:])
        self.leave, self.leave_bias = draw(keys[4], (width, size_out)), jnp.zeros(size_out)
        self.d = d

    def __call__(self, x: Array) -> Array:
        obs, a = x[..., : -self.d], x[..., -self.d :]
        pieces, numbers, width = self.observe.shape
        short = [(0, 0)] * (obs.ndim - 1) + [(0, pieces * numbers - obs.shape[-1])]
        obs = jnp.pad(obs, short).reshape(*obs.shape[:-1], pieces, numbers)
        seen = jnp.einsum("...pn,pnw->...pw", obs, self.observe) + self.observe_bias
        acted = a.reshape(*a.shape[:-1], len(self.places), -1) @ self.act + self.places
        read = jnp.broadcast_to(self.read, (*x.shape[:-1], 1, width))
        tokens = jnp.concatenate([read, seen, acted], axis=-2)
        for block in self.blocks:
            tokens = block(tokens)
        return norm(tokens[..., 0, :]) @ self.leave + self.leave_bias


def pieces_of(size: int) -> tuple[int, int]:
    """How many tokens an observation of `size` numbers has, and how many numbers each holds, the last perhaps fewer."""
    pieces = max(-(-size // PIECE), 1)
    return pieces, max(-(-size // pieces), 1)
