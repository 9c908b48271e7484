"""A critic that learns histograms of returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Optional

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erf

from qgf.critics.base import Critic
from qgf.critics.iql import IQL
from qgf.critics.regular import network_of
from qgf.errors import UserError, at_least_one
from qgf.files import Many
from qgf.networks.critic import CategoricalEnsemble
from qgf.networks.encoders import opened
from qgf.types import Batch, Spec


def two_hot_gauss(x: Array, edges: Array, sigma: Array) -> Array:
    """The mass of N(x, sigma^2) in every bin between `edges` [bins + 1], scaled to sum to 1, [..., bins].

    HL-Gauss (Imani & White 2018; Farebrother et al. 2024, eq. 5). x is clipped to the range of the edges first.
    """
    x = jnp.clip(x, edges[0], edges[-1])[..., None]
    cumulative = erf((edges - x) / (jnp.sqrt(2.0) * sigma))
    return jnp.diff(cumulative) / (cumulative[..., -1:] - cumulative[..., :1])


def histogram_loss(critic: Any, target: Array, batch: Batch) -> tuple[Array, dict[str, Array]]:
    """Mean cross-entropy of every member's histogram with the target's, HL-Gauss with sigma = 0.75 bins."""
    critic, obs = opened(critic, batch.obs)
    mass = two_hot_gauss(target, critic.edges, 0.75 * (critic.edges[1] - critic.edges[0]))
    logits = critic.logits(obs, batch.actions)
    loss = -jnp.mean(jnp.sum(mass[:, None] * jax.nn.log_softmax(logits), axis=-1))
    return loss, dict(q=jnp.mean(critic.expectation(logits)), target=jnp.mean(target))


@dataclass(frozen=True)
class HLGauss(IQL):
    """IQL whose critics are histograms, trained by cross-entropy with the target's smoothed histogram
    (Farebrother et al. 2024); Q is the histogram's mean. Beyond each end of the range are three more bins, four
    standard deviations of the smoothing, or the values at the ends would be pulled inwards.
    """

    name: ClassVar[str] = "hl-gauss"
    margin: ClassVar[int] = 3
    bins: Many = 101  # of the histogram's range (Farebrother et al. 2024: 101)
    value_low: Optional[float] = None  # the least it can tell, default from rewards and discount
    value_high: Optional[float] = None  # the most

    def __post_init__(self):
        super().__post_init__()
        at_least_one(self, "bins")
        if self.fused:
            raise UserError(f"critic {self.name} has no fused form; leave --fused out")
        if self.value_scale != 1:
            raise UserError(f"critic {self.name} has its own range (--value-low); leave --value-scale out")

    def prepared(self, rewards, discount: float) -> HLGauss:
        """With the range of returns, [min r, max r] / (1 - gamma), where it was not given. Raises UserError if the
        range is empty.
        """
        if rewards is None:
            return self
        bounds = [0.0, *(float(x) / (1 - discount) for x in (rewards.min(), rewards.max()))]
        low, high = (limit(bounds) if x is None else x for x, limit in ((self.value_low, min), (self.value_high, max)))
        if not low < high:
            raise UserError(
                f"critic {self.name} needs a range of returns, got [{low:g}, {high:g}]; give --value-low, --value-high"
            )
        return replace(self, value_low=low, value_high=high)

    def in_units(self, unit: float) -> HLGauss:
        low, high = (x if x is None else x / unit for x in (self.value_low, self.value_high))
        return replace(self, value_low=low, value_high=high)

    def ensemble(self, m, spec: Spec, key: Array):
        assert self.value_low is not None and self.value_high is not None, "prepared() knows the range"
        beyond = self.margin * (self.value_high - self.value_low) / self.bins
        limits = self.bins + 2 * self.margin, self.value_low - beyond, self.value_high + beyond
        network = network_of(self, m, spec, spec.d)
        return CategoricalEnsemble(spec.obs_dim, spec.d, m.width, m.depth, self.critics, *limits, key, network)

    def regress(self, critic, target: Array, batch: Batch):
        return histogram_loss(critic, target, batch)

    def check_lent(self, run: object, lender: Critic) -> None:
        super().check_lent(run, lender)
        assert isinstance(lender, HLGauss)
        mine, theirs = ((c.value_low, c.value_high, c.bins) for c in (self, lender))
        if mine != theirs:
            low, high, bins = theirs
            raise UserError(
                f"{run}: its histograms are others; pass --value-low {low} --value-high {high} --bins {bins}"
            )
