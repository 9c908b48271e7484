"""The transformer over an action chunk; the mirror of `qgf.networks.transformer`.

With `members` every weight has that axis in front, and so has the output, as in `networks.MLP`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qgf.torch.networks import parameter

PIECE, HEAD, WIDER = 64, 64, 4


def norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-5)


def apply(x: Tensor, weight: Tensor) -> Tensor:
    """x[..., B, L, in] @ weight[..., in, out], the weight of every row the same."""
    return x @ weight.unsqueeze(-3)


def shift(bias: Tensor) -> Tensor:
    """bias[..., W] as it is added to [..., B, L, W]."""
    return bias.unsqueeze(-2).unsqueeze(-2)


class Block(nn.Module):
    """x + attention(norm x), then x + MLP(norm x), for tokens x[..., B, L, W]."""

    def __init__(self, width: int, members: tuple[int, ...]):
        super().__init__()
        self.qkv, self.out = parameter(*members, width, 3 * width), parameter(*members, width, width)
        self.up, self.up_bias = parameter(*members, width, WIDER * width), parameter(*members, WIDER * width)
        self.down, self.down_bias = parameter(*members, WIDER * width, width), parameter(*members, width)

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        heads = max(width // HEAD, 1)
        parts = apply(norm(x), self.qkv)
        q, k, v = parts.reshape(*parts.shape[:-1], 3, heads, width // heads).movedim(-2, -4).unbind(dim=-2)
        scores = q @ k.transpose(-2, -1) / (width // heads) ** 0.5
        mixed = (F.softmax(scores, dim=-1) @ v).movedim(-3, -2).flatten(-2)
        x = x + apply(mixed, self.out)
        hidden = F.gelu(apply(norm(x), self.up) + shift(self.up_bias), approximate="tanh")
        return x + apply(hidden, self.down) + shift(self.down_bias)


class Transformer(nn.Module):
    """[B, S + H A] -> [B, out]."""

    def __init__(
        self, size_in: int, size_out: int, width: int, depth: int, members: tuple[int, ...], d: int, action_dim: int
    ):
        super().__init__()
        size = size_in - d
        pieces = max(-(-size // PIECE), 1)
        numbers = max(-(-size // pieces), 1)
        self.read = parameter(*members, width)
        self.observe, self.observe_bias = (
            parameter(*members, pieces, numbers, width),
            parameter(*members, pieces, width),
        )
        self.act, self.places = parameter(*members, action_dim, width), parameter(*members, d // action_dim, width)
        self.blocks = nn.ModuleList(Block(width, members) for _ in range(depth))
        self.leave, self.leave_bias = parameter(*members, width, size_out), parameter(*members, size_out)
        self.d, self.action_dim = d, action_dim

    def forward(self, x: Tensor) -> Tensor:
        obs, a = x[..., : -self.d], x[..., -self.d :]
        pieces, numbers = self.observe.shape[-3:-1]
        obs = F.pad(obs, (0, pieces * numbers - obs.shape[-1])).reshape(*x.shape[:-1], pieces, 1, numbers)
        seen = (obs @ self.observe.unsqueeze(-4)).squeeze(-2) + self.observe_bias.unsqueeze(-3)
        acted = apply(a.reshape(*x.shape[:-1], -1, self.action_dim), self.act) + self.places.unsqueeze(-3)
        read = shift(self.read).expand(*seen.shape[:-2], 1, seen.shape[-1])
        tokens = torch.cat([read, seen, acted], dim=-2)
        for block in self.blocks:
            tokens = block(tokens)
        return norm(tokens[..., 0, :]) @ self.leave + self.leave_bias.unsqueeze(-2)
