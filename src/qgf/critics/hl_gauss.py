"""A critic that learns histograms of returns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erf

from qgf.critics.iql import IQL
from qgf.critics.losses import td_target
from qgf.networks.critic import CategoricalEnsemble
from qgf.types import Batch, Spec


def two_hot_gauss(x: Array, edges: Array, sigma: Array) -> Array:
    """The mass of N(x, sigma^2) in every bin between `edges` [bins + 1], scaled to sum to 1, [..., bins].

    HL-Gauss (Imani & White 2018; Farebrother et al. 2024, eq. 5). x is clipped to the range of the edges first.
    """
    x = jnp.clip(x, edges[0], edges[-1])[..., None]
    cumulative = erf((edges - x) / (jnp.sqrt(2.0) * sigma))
    return jnp.diff(cumulative) / (cumulative[..., -1:] - cumulative[..., :1])


def histogram_loss(critic: CategoricalEnsemble, target: Array, batch: Batch) -> tuple[Array, dict[str, Array]]:
    """Mean cross-entropy of every member's histogram with the target's, HL-Gauss with sigma = 0.75 bins."""
    mass = two_hot_gauss(target, critic.edges, 0.75 * (critic.edges[1] - critic.edges[0]))
    logits = critic.logits(batch.obs, batch.actions)
    loss = -jnp.mean(jnp.sum(mass[:, None] * jax.nn.log_softmax(logits), axis=-1))
    return loss, dict(q=jnp.mean(critic.expectation(logits)), target=jnp.mean(target))


class HLGauss(IQL):
    """IQL whose critics are histograms, trained by cross-entropy with the target's smoothed histogram
    (Farebrother et al. 2024); Q is the histogram's mean. Beyond each end of the range are three more bins, four
    standard deviations of the smoothing, or the values at the ends would be pulled inwards.
    """

    margin = 3

    def ensemble(self, m, spec: Spec, key: Array):
        beyond = self.margin * (m.value_high - m.value_low) / m.bins
        limits = m.bins + 2 * self.margin, m.value_low - beyond, m.value_high + beyond
        return CategoricalEnsemble(spec.obs_dim, spec.d, m.width, m.depth, m.ensemble_size, *limits, key)

    def critic(self, m, critic, nets, batch: Batch, key: Array):
        return histogram_loss(critic, td_target(nets.value, batch), batch)
