"""The best of several samples, and when to act without guidance. The mirror of `qgf.method.choosing`."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from qgf.registry import Registry
from qgf.torch.guidance import per_row
from qgf.torch.observations import repeated, rows_of
from qgf.types import Info

RATIO, FAR, HALF = 5.0, 3.0, 0.5


class Doubt(NamedTuple):
    """What a fallback judges guided actions by; all [B]."""

    ratio: Tensor  # mean |w g| / |v|
    displacement: Tensor  # from the unguided action of the same noise, in sigma_a; nan of a policy without calibration
    claimed: Tensor  # gain in Q over the unguided action by what guides
    confirmed: Tensor  # by the members that do not guide; both nan where the fallback does not ask


def unguided(doubt: Doubt) -> Tensor:
    """Act without guidance where the guided action is not finite."""
    return torch.ones_like(doubt.ratio, dtype=torch.bool)


def capped(doubt: Doubt) -> Tensor:
    """Also where |w g| is on average more than 5 |v|, or the action moved by more than 3 sigma_a."""
    return ~((doubt.ratio > RATIO) | (doubt.displacement > FAR))


def judged(doubt: Doubt) -> Tensor:
    """Also where members that do not guide confirm no gain, or less than half of what is claimed (members=0)."""
    return capped(doubt) & (doubt.confirmed > 0) & (doubt.confirmed >= HALF * doubt.claimed)


judged.asks = True  # type: ignore[attr-defined]
FALLBACKS: Registry = Registry("torch fallback", dict(unguided=unguided, capped=capped, judged=judged))
"""When the unguided action is taken in the guided one's place."""


def find_fallback(fallback):
    """That of a name, or the function itself. Raises UserError for an unknown name."""
    return fallback if callable(fallback) else FALLBACKS.find(fallback)


def best(act, n: int, critic):
    """n samples of `act` per observation, of which the critic values the kept one highest.

    One whose value is not finite is taken only where all are so, one whose action is not finite only if there is no
    other; `info.discarded` counts both.
    """

    def chosen(obs, **more):
        many = repeated(obs, n)
        actions, info = act(many, **more)
        flat = actions.flatten(1)
        value, finite = critic(many, flat), torch.isfinite(flat).all(dim=1)
        usable = finite & torch.isfinite(value)
        worst = torch.where(finite, torch.finfo(value.dtype).min, -torch.inf)
        rank = torch.where(usable, value, worst).reshape(-1, n)
        pick = torch.argmax(rank, dim=1) + n * torch.arange(len(rank), device=rank.device)
        discarded = n - usable.reshape(-1, n).sum(dim=1)
        return actions[pick], rows_of(info._replace(finite=finite), pick)._replace(discarded=discarded)

    return chosen


def replaced(actions: Tensor, info: Info, plain: Tensor, other: Info, critic, obs, last: Tensor) -> tuple[Tensor, Info]:
    """What acts where the actions [B, H, A] of `info.fell_back` do not: the unguided ones `plain` or, where they are
    not finite either, `last`.
    """
    own: Any = ~torch.as_tensor(info.fell_back)
    a = torch.where(per_row(own, actions), actions, torch.where(per_row(other.finite, plain), plain, last))
    value = torch.where(own, info.value, critic(obs, a.flatten(1)))
    zero, jerk = torch.zeros_like(info.ratio), torch.where(own, info.jerk, other.jerk)
    ratio, nats = torch.where(own, info.ratio, zero), torch.where(own, info.nats, zero)
    return a, info._replace(value=value, ratio=ratio, nats=nats, jerk=jerk)


def judge(
    fallback, actions: Tensor, info: Info, plain: Tensor, other: Info, guiding, others, critic, obs, last: Tensor
) -> tuple[Tensor, Info]:
    """The actions [B, H, A] with those that `fallback` doubts replaced by the unguided ones `plain`, of the same noise;
    `guiding` is the critic that guides, `others` the one that does not, if it is to be asked.
    """
    gain = lambda q: q(obs, actions.flatten(1)) - q(obs, plain.flatten(1))
    unknown = torch.full_like(info.ratio, torch.nan)
    claimed, confirmed = (unknown, unknown) if others is None else (gain(guiding), gain(others))
    keep = fallback(Doubt(info.ratio, info.displacement, claimed, confirmed)) & info.finite
    a, info = replaced(actions, info._replace(fell_back=~keep), plain, other, critic, obs, last)
    return a, info._replace(displacement=torch.where(keep, info.displacement, 0.0))
