"""The linear flow between noise and action, for whole batches: a_t = (1 - t) a_0 + t a_1, da/dt = v(a_t, t).

The mirror of `qgf.method.flow`; a[B, ...] is a batch, and t broadcasts against it: [] for one time, [B, 1] for many.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 10
"""Euler steps from noise to action, the paper's T (section 5 and appendix)."""


class Flow:
    """A velocity together with what a sampler knows about it; calling it is calling v(a, t).

    It carries the number of Euler steps (the grid that `integrate` follows) and the action range (to which `clean`
    and `integrate` clip), and it remembers the velocity at the point `at` = (a_t, t) where the sampler stands, from
    where `left` steps are left (`here`, if it was asked already): an estimator that asks for it there again pays
    nothing. There means the very tensors a_t and t. A plain function works as well, on STEPS steps, unclipped.
    """

    def __init__(self, v, steps: int = STEPS, low=-torch.inf, high=torch.inf, at=None, left=None, here=None):
        self.v, self.steps, self.low, self.high = v, steps, low, high
        self.known, self.left = None if at is None else (*at, v(*at) if here is None else here), left

    def __call__(self, a: Tensor, t: Tensor) -> Tensor:
        if self.known is not None and a is self.known[0] and t is self.known[1]:
            return self.known[2]
        return self.v(a, t)

    def most(self, t: Tensor) -> int:
        """No more Euler steps than these are left at time t."""
        here = self.known is not None and t is self.known[1]
        return self.left if here and self.left is not None else self.steps

    @property
    def inner(self):
        return self.v

    def around(self, f):
        """What the velocity can do besides (`types.ability`) is the same here."""
        return f

    def clip(self, a: Tensor) -> Tensor:
        return clip(a, self.low, self.high)


def clip(a: Tensor, low, high) -> Tensor:
    """`a` between two ends, numbers or tensors. At an end its slope is 1/2, as JAX has it; `torch.clamp`'s is 1."""
    low, high = (torch.as_tensor(x, dtype=a.dtype, device=a.device) for x in (low, high))
    return torch.minimum(torch.maximum(a, low), high)


def as_flow(v) -> Flow:
    """`v` itself if it is a `Flow`, else `v` on the default grid."""
    return v if isinstance(v, Flow) else Flow(v)


def clean(v, a: Tensor, t: Tensor) -> Tensor:
    """One-step estimate of the clean action, a1_hat = clip(a + (1 - t) v(a, t)), like a.

    Equal to E[a_1 | a_t] for the exact flow. Clipped to the action range of a `Flow`, the only place where Q is known.
    """
    return as_flow(v).clip(a + (1 - t) * v(a, t))


def integrate(v, a: Tensor, t: Tensor) -> Tensor:
    """ODE(a_t): the remaining Euler steps of the flow's grid from time t to 1, then clip, like a.

    Between two grid points the remaining time is split evenly into steps no longer than the grid's.
    """
    flow = as_flow(v)
    remaining = torch.ceil((1 - t) * flow.steps - 1e-3)  # 1e-3: k/T * T is not k in floating point
    h = (1 - t) / torch.clamp(remaining, min=1)
    for k in range(flow.most(t)):  # the first step with the very t: a flow that stands there knows its velocity
        a = torch.where(k < remaining, a + h * flow(a, t + k * h if k else t), a)
    return flow.clip(a)
