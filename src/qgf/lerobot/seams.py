"""Where LeRobot's policies ask for their velocity. Nothing of LeRobot is imported: a policy is known by what it has.

Two senses of time: the paper's runs from noise at 0 to the action at 1, v = action - noise (multi-task DiT); that of
pi0, pi0.5, SmolVLA and openpi from 1 to 0, v = noise - action. 1 - (1 - time) is not time in single precision, so that
the velocity at the sampler's own point is asked with the time as it came.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import Tensor

from qgf.errors import UserError

Step = Callable[[Tensor, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor], Tensor]
"""step(here, v, a[B, T, A], t) -> the velocity to follow; here = v(a, t), all in the paper's sense of time."""


def open_seam(policy, step: Step) -> Callable[[], None]:
    """Let every velocity that the policy asks for go through `step`; returns what closes the seam again.

    Raises UserError for a policy that is not known by any of the seams.
    """
    if hasattr(policy, "noise_predictor"):
        return _predictor(policy, policy.noise_predictor, step)
    if hasattr(getattr(policy, "model", None), "denoise_step"):
        return _denoiser(policy.model, step)
    raise UserError(
        f"{type(policy).__name__} asks for its velocity nowhere that is known: neither noise_predictor nor "
        "model.denoise_step"
    )


def _predictor(policy, net, step: Step) -> Callable[[], None]:
    """Multi-task DiT: forward(x, timestep[B], conditioning_vec), which training calls, too."""
    plain = net.forward

    def forward(x, timestep, conditioning_vec):
        here = plain(x, timestep, conditioning_vec=conditioning_vec)
        if policy.training:
            return here
        v = lambda a, t: plain(a, t.flatten().expand(len(a)), conditioning_vec=conditioning_vec)
        return step(here, v, x, timestep.view(-1, 1, 1))

    return put(net, "forward", forward)


def _denoiser(model, step: Step) -> Callable[[], None]:
    """denoise_step(..., x_t, timestep [B], or [B, T] where a prefix is clamped), its arguments in any order."""
    plain = model.denoise_step
    signature = inspect.signature(plain)
    others = [x.name for x in signature.parameters.values() if x.kind is x.VAR_KEYWORD]

    def denoise_step(*args, **kwargs):
        call = dict(signature.bind(*args, **kwargs).arguments)
        for name in others:
            call |= call.pop(name, {})
        time = call["timestep"]
        shape = time.shape

        def v(a, t):
            return -plain(**call | dict(x_t=a, timestep=(1 - t).expand(len(a), *t.shape[1:]).reshape(shape)))

        return -step(-plain(**call), v, call["x_t"], 1 - time.view(len(time), -1, 1))

    return put(model, "denoise_step", denoise_step)


def put(thing, name: str, method) -> Callable[[], None]:
    """A method in the place of an object's; returns what puts back what was there."""
    before = vars(thing).get(name)
    setattr(thing, name, method)
    return lambda: delattr(thing, name) if before is None else setattr(thing, name, before)
