"""What a server allows, and how fast it has to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qgf.errors import UserError, at_least_one

GRACE = 5.0
"""Seconds that requests in flight get when the server is stopped."""


@dataclass(frozen=True)
class Options:
    """How a policy is served.

    `deadline`: milliseconds after which a request is answered with the unguided action if the guided one is not ready.
    `warm_start`: the denoising time t0 at which requests that carry `last_actions` begin, from those; None: never.
    `batch`: requests that are answered together. `clients`: at a time. `rate`: requests a second of one client.
    `max_bytes`: of one request. `api_key`: what clients must know. `seed`: of the noise.
    """

    deadline: float | None = None
    warm_start: float | None = None
    batch: int = 8
    clients: int = 32
    rate: float = 200.0
    max_bytes: int = 4 * 2**20
    api_key: str | None = None
    seed: int = 0

    def __post_init__(self):
        at_least_one(self, "batch", "clients", "max_bytes")
        if self.deadline is not None and not 0 < self.deadline < math.inf:
            raise UserError(f"deadline must be a number of milliseconds above 0, got {self.deadline}")
        if self.warm_start is not None and not 0 < self.warm_start < 1:
            raise UserError(f"warm_start must lie between 0, noise, and 1, an action; got {self.warm_start}")
        if not 0 < self.rate < math.inf:
            raise UserError(f"rate must be a number of requests a second above 0, got {self.rate}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise UserError("the API key must be one line of ASCII characters")

    @property
    def sizes(self) -> list[int]:
        """Batches that a policy is asked for: 1, 2, 4, ... up to what holds `batch` requests."""
        return [1 << k for k in range((self.batch - 1).bit_length() + 1)]


class Bucket:
    """A rate limit: tokens come at `rate` a second, up to a second's worth, and a request takes one."""

    def __init__(self, rate: float, now: float):
        self.rate, self.most, self.left, self.at = rate, max(rate, 1.0), max(rate, 1.0), now

    def take(self, now: float) -> bool:
        """Whether a request at this time is within the limit."""
        self.left, self.at = min(self.most, self.left + (now - self.at) * self.rate), now
        if self.left < 1:
            return False
        self.left -= 1
        return True
