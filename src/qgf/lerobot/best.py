"""Best of several chunks: every row of a sampler's inputs several times, and of its chunks the one of highest Q."""

from __future__ import annotations

import torch

from qgf.errors import UserError
from qgf.lerobot.batches import repeat, rows_of
from qgf.lerobot.seams import Seam, Undo, put


def choosing(seam: Seam, made) -> list[Undo]:
    """Let the sampler make `made.best_of` chunks for each; returns what undoes it."""
    if seam.sampler is None:
        if made.best_of > 1:
            raise UserError("this policy's sampler cannot be entered: best_of=1")
        return []
    whose, name = seam.sampler
    plain = getattr(whose, name)

    def sampler(*args, **kwargs):
        n = made.best_of
        if n == 1:
            chunks = made.within(plain(*args, **kwargs))
            made.note()
            return chunks
        if kwargs.get("noise") is not None:
            raise UserError(f"noise is where one chunk starts, and this policy takes the best of {n}")
        rows, before = rows_of((*args, *kwargs.values())) or 1, made.batch
        made.batch = repeat(before, rows, n)
        try:
            chunks = made.within(plain(*repeat(args, rows, n), **repeat(kwargs, rows, n)))
            made.note()
            value = made.q(made.choose, slice(0, made.shape.count))(chunks)
        finally:
            made.batch = before
        usable = torch.isfinite(value) & torch.isfinite(chunks).flatten(1).all(dim=1)
        rank = torch.where(usable, value, -torch.inf).reshape(rows, n)
        return chunks[torch.argmax(rank, dim=1) + n * torch.arange(rows, device=rank.device)]

    return [put(whose, name, sampler)]
