"""guide(policy, critic): a LeRobot flow policy steered by a critic; unguide(policy): as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.lerobot.seams import open_seam, put
from qgf.torch.flow import Flow, clean
from qgf.torch.guidance import grad, norm, per_row
from qgf.torch.guides import find
from qgf.torch.policy import mapped, own, plain
from qgf.torch.strength import raw_weight
from qgf.types import Calibration

ACTING = ("select_action", "predict_action_chunk")
REFUSED = {
    "use_relative_actions": "its actions are relative, and made absolute after sampling",
    "adapt_to_pi_aloha": "its actions are turned into Aloha's after sampling",
    "compile_model": "its sampler is compiled, which cannot be entered: load it with compile_model=False",
}


@dataclass
class Guidance:
    """How a policy is guided, and what has happened since: `policy.guidance`."""

    critic: Callable[[dict[str, Any], Tensor], Tensor]
    weight: float
    guide: Any
    low: Any
    high: Any
    dims: int
    steps: int
    executed: slice
    log: list[dict[str, float]] = field(default_factory=list)  # a row for every chunk: `policy.guidance_log`
    batch: dict[str, Any] = field(default_factory=dict)  # that the policy is asked with
    close: list[Callable[[], None]] = field(default_factory=list)

    def value(self, a: Tensor) -> Tensor:
        """Q of chunks a[B, T, A] in the policy's units, [B]: of the actions that are executed, without the padding."""
        return self.critic(self.batch, a[:, self.executed, : self.dims].float())

    def step(self, here: Tensor, velocity, a: Tensor, t: Tensor) -> Tensor:
        """v + w g at a[B, T, A] and t[B, 1 or T, 1] in the paper's sense of time, `here` = v(a, t)."""
        if self.weight == 0:
            return here
        with torch.autocast(a.device.type, enabled=False):
            left = math.ceil((1 - float(t.max())) * self.steps - 1e-3)
            flow = Flow(velocity, self.steps, self.low, self.high, at=(a, t), left=max(left, 1), here=here)
            g = find(self.guide)(flow, self.value, a, t)
            finite = torch.isfinite(g).flatten(1).all(dim=1)
            push = self.weight * torch.where(per_row(finite, g), g, 0).to(here.dtype)
            self._note(push, here, clean(flow, a, t), finite, first=float(t.min()) == 0)
        return here + push

    def _note(self, push: Tensor, here: Tensor, a1_hat: Tensor, finite: Tensor, first: bool) -> None:
        if first or not self.log:
            self.log.append(dict(chunk=len(self.log), steps=0, ratio=0.0, value=0.0, skipped=0))
        row, n = self.log[-1], self.log[-1]["steps"]
        ratio = float((norm(push) / norm(here).clamp(min=1e-12)).mean())
        with torch.no_grad():
            row["value"] = float(self.value(a1_hat).mean())
        row |= dict(steps=n + 1, ratio=(n * row["ratio"] + ratio) / (n + 1))
        row["skipped"] += int((~finite).sum())


def guide(
    policy,
    critic: Callable[[dict[str, Any], Tensor], Tensor],
    strength: float | None = None,
    weight: float | None = None,
    guide: Any = "qgf",
    calibration: Calibration | None = None,
    low: Any = -math.inf,
    high: Any = math.inf,
):
    """The same policy, whose chunks follow `critic` from now on; guided anew if it was guided.

    critic(batch, a[B, H, A]) -> [B] sees the batch that the policy is asked with, and those actions of a clean chunk
    that are executed, in the policy's own normalised units, without padding. `low`, `high`: the data's range in those
    units, [A] or numbers, to which one-step estimates are clipped. Give the raw `weight`, or a `strength` with a
    `calibration` (see `calibrate`).

    Raises UserError for a policy that cannot be guided.
    """
    unguide(policy)
    config = policy.config
    _check(policy, config)
    dims = int(config.action_feature.shape[0])
    executed = _executed(config)
    w = raw_weight(strength, weight, calibration, dims * (executed.stop - executed.start), guide)
    with plain():  # or the range would be of inference mode, if this is
        least, most = [
            _padded(x, dims, getattr(config, "max_action_dim", dims), end) for x, end in ((low, -1), (high, 1))
        ]
    made = Guidance(critic, w, guide, least, most, dims, _steps(config), executed)
    made.close.append(open_seam(policy, made.step))
    for name in ACTING:
        if hasattr(policy, name):
            made.close.append(_acting(policy, name, made))
    policy.guidance, policy.guidance_log = made, made.log
    return policy


def unguide(policy):
    """The policy as it was before `guide`."""
    if "guidance" in vars(policy):
        for close in reversed(policy.guidance.close):
            close()
        del policy.guidance, policy.guidance_log
    return policy


def calibrate(policy, critic, batches, chunks: int = 32) -> Calibration:
    """sigma_a and E|g| of a policy's own chunks: `chunks` of each batch, unguided, in the policy's units.

    sigma_a is the mean over states and numbers of the standard deviation of the executed actions, E|g| the mean norm
    of grad Q there.
    """
    executed, sigma, slopes = _executed(policy.config), [], []
    before = vars(policy).get("guidance")
    in_force = before.weight if before else 0.0
    try:
        if before:
            before.weight = 0.0
        with plain():
            for batch in batches:
                seen = mapped(lambda x: own(x) if torch.is_tensor(x) else x, dict(batch))
                every = [policy.predict_action_chunk(seen)[:, executed].float() for _ in range(chunks)]
                sigma.append(torch.std(torch.stack(every), dim=0, correction=0).mean())
                slopes += [norm(grad(lambda a, seen=seen: critic(seen, a))(a)).mean() for a in every]
    finally:
        if before:
            before.weight = in_force
    if not sigma:
        raise UserError("calibrate takes a few batches, got none")
    return Calibration(float(torch.stack(sigma).mean()), float(torch.stack(slopes).mean()))


def _acting(policy, name: str, made: Guidance) -> Callable[[], None]:
    """lerobot-eval and lerobot-rollout ask policies in inference mode, where nothing can be differentiated."""
    asked = getattr(policy, name)

    def acting(batch, *args, **kwargs):
        with plain():
            made.batch = mapped(lambda x: own(x) if torch.is_tensor(x) else x, dict(batch))
            return asked(made.batch, *args, **kwargs)

    return put(policy, name, acting)


def _check(policy, config) -> None:
    name = type(policy).__name__
    for option, why in REFUSED.items():
        if getattr(config, option, False):
            raise UserError(f"{name} cannot be guided: {why}")
    if getattr(config, "integration_method", "euler") != "euler":
        raise UserError(f"{name} cannot be guided: it takes {config.integration_method} steps, guidance Euler's")
    if getattr(config, "objective", "flow_matching") != "flow_matching":
        raise UserError(f"{name} cannot be guided: it is trained by {config.objective}, and has no velocity")


def _executed(config) -> slice:
    """Which actions of a chunk are executed."""
    first = config.n_obs_steps - 1 if hasattr(config, "horizon") else 0
    return slice(first, first + int(config.n_action_steps))


def _steps(config) -> int:
    """Euler steps of its sampler."""
    names = ("num_integration_steps", "num_inference_steps", "num_steps")
    found = next((getattr(config, name) for name in names if getattr(config, name, None)), 10)
    return int(found)


def _padded(x, dims: int, width: int, end: int) -> Tensor:
    """An end of the range [width], open where actions are padded."""
    whole = torch.full((max(width, dims),), end * math.inf)
    whole[:dims] = torch.as_tensor(x, dtype=whole.dtype)
    return whole
