"""What a policy makes of its observations before it acts, pooled: a critic that knows it sees what the policy sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qgf.lerobot.seams import Seam, Undo, put
from qgf.words import FEATURES


def pooled(made: Any) -> Tensor:
    """[B, D]: the mean over the tokens [B, L, D] that the mask [B, L] lets through, or what is [B, D] already."""
    tokens, mask = (made[0], made[1]) if isinstance(made, tuple) else (made, None)
    tokens = tokens.float()
    if tokens.ndim == 2:
        return tokens
    seen = torch.ones_like(tokens[..., :1]) if mask is None else mask.to(tokens)[..., None]
    return (tokens * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)


def telling(seam: Seam, made) -> list[Undo]:
    """Put the features into the batch that the critic sees, when the policy makes them; returns what undoes it."""
    if seam.prefix is None:
        return []
    whose, name = seam.prefix
    plain = getattr(whose, name)

    def prefix(*args, **kwargs):
        result = plain(*args, **kwargs)
        if isinstance(made.batch, dict):
            made.batch = made.batch | {FEATURES: pooled(result)}
        return result

    return [put(whose, name, prefix)]
