"""Where LeRobot's policies can be entered. Nothing of LeRobot is imported: a policy is known by what it has.

Two senses of time: the paper's runs from noise at 0 to the action at 1, v = action - noise (multi-task DiT); that of
pi0, pi0.5, SmolVLA and openpi from 1 to 0, v = noise - action. 1 - (1 - time) is not time in single precision, so that
the velocity at the sampler's own point is asked with the time as it came.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from qgf.errors import UserError

Step = Callable[[Tensor, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor], Tensor]
"""step(here, v, a[B, T, W], t) -> the velocity to follow; here = v(a, t), all in the paper's sense of time."""
Undo = Callable[[], None]


@dataclass(frozen=True)
class Seam:
    """How a policy of one make is entered: methods as (whose, name)."""

    enter: Callable[[Step], Undo]
    """Lets every velocity that the policy asks for go through a step; returns what undoes it."""
    asked: tuple[str, ...]
    """The policy's methods that give actions for a batch."""
    one: Callable[[Any], Any]
    """Asks for one chunk for a batch."""
    sampler: tuple[Any, str] | None = None
    """What makes whole chunks of inputs that have a row for each."""
    prefix: tuple[Any, str] | None = None
    """What the policy makes of its observations, once a chunk: tokens [B, L, D] with a mask first, or [B, times D]."""
    times: int = 1


LEROBOT = ("select_action", "predict_action_chunk")


def seam_of(policy) -> Seam:
    """Raises UserError for a policy that is not known by any of the seams."""
    model, chunk = getattr(policy, "model", None), lambda batch: policy.predict_action_chunk(batch)
    if hasattr(policy, "noise_predictor"):
        enter, times = lambda step: _predictor(policy, policy.noise_predictor, step), policy.config.n_obs_steps
        encoder = getattr(policy, "observation_encoder", None)
        prefix = None if encoder is None else (encoder, "encode")
        return Seam(
            enter, LEROBOT, lambda batch: policy.select_action(batch), (policy, "_generate_actions"), prefix, times
        )
    if hasattr(model, "denoise_step"):
        enter = lambda step: _denoiser(model, step)
        return Seam(enter, LEROBOT, chunk, (model, "sample_actions"), (model, "embed_prefix"))
    if hasattr(policy, "denoise_step") and hasattr(policy, "sample_actions"):  # openpi's model is its own policy
        enter = lambda step: _denoiser(policy, step)
        asked = lambda seen: policy.sample_actions(next(policy.parameters()).device, seen)
        return Seam(enter, ("sample_actions",), asked, (policy, "sample_actions"), (policy, "embed_prefix"))
    if hasattr(policy, "rtc_processor"):
        if policy.rtc_processor is None:
            raise UserError(
                f"{type(policy).__name__} asks for its velocity where only real-time chunking can be entered: set "
                "config.rtc_config and call init_rtc_processor() first"
            )
        return Seam(lambda step: _chunking(policy.rtc_processor, step), LEROBOT, chunk)
    raise UserError(
        f"{type(policy).__name__} asks for its velocity nowhere that is known: it has neither noise_predictor nor "
        "model.denoise_step nor rtc_processor"
    )


def _predictor(policy, net, step: Step) -> Undo:
    """Multi-task DiT: forward(x, timestep[B], conditioning_vec), which training calls, too."""
    plain = net.forward

    def forward(x, timestep, conditioning_vec):
        here = plain(x, timestep, conditioning_vec=conditioning_vec)
        if policy.training:
            return here
        v = lambda a, t: plain(a, t.flatten().expand(len(a)), conditioning_vec=conditioning_vec)
        return step(here, v, x, timestep.view(-1, 1, 1))

    return put(net, "forward", forward)


def _denoiser(model, step: Step) -> Undo:
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


def _chunking(processor, step: Step) -> Undo:
    """Real-time chunking's denoise_step, which is given v at one time, running from 1 to 0: for policies whose velocity
    is a function inside their sampler (EVO1, MolmoAct2)."""
    plain = processor.denoise_step

    def denoise_step(x_t, prev_chunk_left_over, inference_delay, time, original_denoise_step_partial, **more):
        asks = original_denoise_step_partial

        def guided(x):
            now = x.new_full((len(x), 1, 1), 1 - float(time))

            def v(a, t):
                if t is not now:
                    raise UserError("this policy's velocity is known at one time a step: guide by qgf, jacobian or ood")
                return -asks(a)

            return -step(-asks(x), v, x, now)

        return plain(x_t, prev_chunk_left_over, inference_delay, time, guided, **more)

    return put(processor, "denoise_step", denoise_step)


def put(thing, name: str, method) -> Undo:
    """A method in the place of an object's; returns what puts back what was there."""
    before = vars(thing).get(name)
    setattr(thing, name, method)
    return lambda: delattr(thing, name) if before is None else setattr(thing, name, before)
