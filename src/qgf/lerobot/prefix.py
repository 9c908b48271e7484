"""What a policy makes of its observations before it acts, pooled: a critic that knows it sees what the policy sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.lerobot.seams import Seam, Undo, put, seam_of
from qgf.words import FEATURES


def pooled(made: Any, times: int = 1) -> Tensor:
    """[B, D]: the mean over the tokens [B, L, D] that the mask [B, L] lets through, or of [B, times D] the last D."""
    tokens, mask = (made[0], made[1]) if isinstance(made, tuple) else (made, None)
    tokens = tokens.float()
    if tokens.ndim == 2:
        return tokens[:, -(tokens.shape[1] // times) :]
    seen = torch.ones_like(tokens[..., :1]) if mask is None else mask.to(tokens)[..., None]
    return (tokens * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)


class _Seen(Exception):
    """Ends a policy's work once it has seen."""


def prefix_of(policy, batch: Any) -> Tensor:
    """What a policy makes of a batch of first observations, [B, D], before it acts. Raises UserError for a policy that
    makes nothing of them that is known.
    """
    seam, fresh = seam_of(policy), getattr(policy, "reset", lambda: None)
    if seam.prefix is None:
        raise UserError(f"{type(policy).__name__} makes nothing of its observations that can be entered")
    whose, name = seam.prefix
    plain = getattr(whose, name)

    def stopping(*args, **kwargs):
        raise _Seen(plain(*args, **kwargs))

    undo = put(whose, name, stopping)
    try:
        fresh()
        with torch.no_grad():
            seam.one(batch)
    except _Seen as seen:
        return pooled(seen.args[0], seam.times)
    finally:
        undo()
        fresh()
    raise UserError(f"{type(policy).__name__} acted without {name}, which is where it sees")


def telling(seam: Seam, made) -> list[Undo]:
    """Put the features into the batch that the critic sees, when the policy makes them; returns what undoes it."""
    if seam.prefix is None:
        return []
    whose, name = seam.prefix
    plain = getattr(whose, name)

    def prefix(*args, **kwargs):
        result = plain(*args, **kwargs)
        if isinstance(made.batch, dict):
            made.batch = made.batch | {FEATURES: pooled(result, seam.times)}
        return result

    return [put(whose, name, prefix)]
