"""What a policy's configuration says that guidance has to know, and what cannot be guided."""

from __future__ import annotations

from dataclasses import dataclass

from qgf.errors import UserError
from qgf.torch.guides import find

REFUSED = {
    "use_relative_actions": "its actions are relative, and made absolute after sampling",
    "adapt_to_pi_aloha": "its actions are turned into Aloha's after sampling",
    "compile_model": "its sampler is compiled, which cannot be entered: load it with compile_model=False",
}


@dataclass(frozen=True)
class Shape:
    """Of a chunk [B, T, W] in the sampler, the numbers that are executed, and how many Euler steps make it."""

    dims: int  # of W; behind these it is padding
    width: int  # W
    first: int  # of T, the first that is executed
    count: int
    steps: int

    @property
    def executed(self) -> slice:
        return slice(self.first, self.first + self.count)


def shape_of(policy, action_dim: int | None = None, executed: int | None = None) -> Shape:
    """The shape of a policy's chunks; `action_dim` and `executed` where its configuration does not say them (openpi's
    says neither what of its padded actions is the robot's nor how many are played).

    Raises UserError for a policy that cannot be guided.
    """
    config, name = policy.config, type(policy).__name__
    _check(policy, config, name)
    feature = getattr(config, "action_feature", None)
    dims = action_dim or (feature.shape[0] if feature is not None else getattr(config, "action_dim", None))
    count = executed or getattr(config, "n_action_steps", None) or getattr(config, "action_horizon", None)
    if not dims or not count:
        raise UserError(f"{name}'s configuration says nothing of its actions: give action_dim= and executed=")
    width = max(int(getattr(config, "max_action_dim", None) or getattr(config, "action_dim", None) or dims), int(dims))
    first = config.n_obs_steps - 1 if hasattr(config, "horizon") else 0
    steps = ("num_integration_steps", "num_inference_steps", "num_inference_timesteps", "num_steps")
    found = next((getattr(config, step) for step in steps if getattr(config, step, None)), 10)
    return Shape(int(dims), width, int(first), int(count), int(found))


def check_guide(guide) -> None:
    """Raises UserError for a guide that does not act while denoising, or not on the policy's own velocity."""
    ask = find(guide)
    for trait, why in (("climbs", "acts behind the sampler"), ("reference", "needs another velocity")):
        if getattr(ask, trait, None):
            raise UserError(f"guide {guide!r} {why}, which a policy of LeRobot does not have")


def _check(policy, config, name: str) -> None:
    for option, why in REFUSED.items():
        if getattr(config, option, False):
            raise UserError(f"{name} cannot be guided: {why}")
    sampler = vars(policy).get("sample_actions")
    if hasattr(sampler, "_torchdynamo_orig_callable"):  # openpi compiles it when the model is made
        raise UserError(
            f"{name} cannot be guided: its sampler is compiled; `del model.sample_actions` brings the plain one"
        )
    if getattr(config, "integration_method", "euler") != "euler":
        raise UserError(f"{name} cannot be guided: it takes {config.integration_method} steps, guidance Euler's")
    if getattr(config, "objective", "flow_matching") != "flow_matching":
        raise UserError(f"{name} cannot be guided: it is trained by {config.objective}, and has no velocity")
