"""A world in which everything is known in closed form: the oracle of the tests and the stage of the tutorial.

Data: a Gaussian mixture sum_k w_k N(mu_k, s^2 I); noise N(0, I); a_t = (1 - t) a_0 + t a_1. With
sigma^2 = (1 - t)^2 + t^2 s^2, a_t is the mixture sum_k w_k N(t mu_k, sigma^2 I), and responsibilities
r_k(a) prop. to w_k exp(-|a - t mu_k|^2 / (2 sigma^2)) give velocity, clean estimate and Jacobian exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr, logsumexp


class Mixture(NamedTuple):
    """Action distribution sum_k weights[k] N(means[k], std^2 I); the weights need not sum to one."""

    means: Array  # [K, d]
    weights: Array  # [K]
    std: float

    def _sigma(self, t: Array) -> Array:
        return jnp.sqrt((1 - t) ** 2 + (t * self.std) ** 2)

    def _log_weights(self) -> Array:
        return jnp.log(self.weights) - jnp.log(jnp.sum(self.weights))

    def _log_components(self, a: Array, t: Array) -> Array:
        """log of w_k exp(-|a - t mu_k|^2 / (2 sigma^2)), [K]."""
        square = jnp.sum((a - t * self.means) ** 2, axis=-1)
        return self._log_weights() - square / (2 * self._sigma(t) ** 2)

    def responsibilities(self, a: Array, t: Array) -> Array:
        """r_k = P(component k | a_t = a), [K]."""
        return jax.nn.softmax(self._log_components(a, t))

    def velocity(self, a: Array, t: Array) -> Array:
        """v = sum_k r_k [mu_k + ((t s^2 - (1 - t)) / sigma^2)(a - t mu_k)], [d]; regular at t = 1, where v = a."""
        slope = (t * self.std**2 - (1 - t)) / self._sigma(t) ** 2
        return self.responsibilities(a, t) @ (self.means + slope * (a - t * self.means))

    def clean(self, a: Array, t: Array) -> Array:
        """E[a_1 | a_t = a] = sum_k r_k [mu_k + (t s^2 / sigma^2)(a - t mu_k)], [d]."""
        gain = t * self.std**2 / self._sigma(t) ** 2
        return self.responsibilities(a, t) @ (self.means + gain * (a - t * self.means))

    def _covariance(self, a: Array, t: Array) -> Array:
        """Cov_r(mu), the covariance of the means under the responsibilities, [d, d]."""
        r = self.responsibilities(a, t)
        centred = self.means - r @ self.means
        return (r[:, None] * centred).T @ centred

    def jacobian(self, a: Array, t: Array) -> Array:
        """J = d a1_hat / d a = (t s^2 / sigma^2) I + (t (1 - t)^2 / sigma^4) Cov_r(mu), [d, d]; J(0) = 0, J(1) = I."""
        variance, covariance = self._sigma(t) ** 2, self._covariance(a, t)
        return (t * self.std**2 / variance) * jnp.eye(a.size) + (t * (1 - t) ** 2 / variance**2) * covariance

    def velocity_jacobian(self, a: Array, t: Array) -> Array:
        """dv/da = (J - I) / (1 - t), written so that it stays finite at t = 1, [d, d]."""
        variance, covariance = self._sigma(t) ** 2, self._covariance(a, t)
        slope = (t * self.std**2 - (1 - t)) / variance
        return slope * jnp.eye(a.size) + (t * (1 - t) / variance**2) * covariance

    def log_prob(self, a: Array, t: Array) -> Array:
        """log density of a_t at a, []."""
        normaliser = a.size * (jnp.log(self._sigma(t)) + 0.5 * jnp.log(2 * jnp.pi))
        return logsumexp(self._log_components(a, t)) - normaliser

    def sample(self, key: Array, n: int) -> Array:
        """n draws of clean actions, [n, d]."""
        pick, noise = jax.random.split(key)
        k = jax.random.categorical(pick, self._log_weights(), shape=(n,))
        return self.means[k] + self.std * jax.random.normal(noise, (n, self.means.shape[1]))

    # One dimension only: the flow is monotone and keeps quantiles, F_t(a_t) = F_1(a_1).

    def _log_tails(self, a: Array, t: Array) -> tuple[Array, Array]:
        """log F_t(a) and log (1 - F_t(a)), [] each."""
        z = (a - t * self.means[:, 0]) / self._sigma(t)
        return logsumexp(self._log_weights() + log_ndtr(z)), logsumexp(self._log_weights() + log_ndtr(-z))

    def cdf(self, a: Array, t: Array) -> Array:
        """F_t(a) of a 1-D mixture, []; a is a scalar."""
        return jnp.exp(self._log_tails(a, t)[0])

    def quantile_of(self, a: Array, t: Array, s: Array) -> Array:
        """F_s^-1(F_t(a)) by bisection in the nearer tail's logarithm, []: where the exact ODE carries a from t to s."""
        below, above = self._log_tails(a, t)
        reach = 12 * jnp.maximum(self._sigma(s), 1e-3)
        low, high = s * jnp.min(self.means) - reach, s * jnp.max(self.means) + reach

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            left, right = self._log_tails(middle, s)
            too_low = jnp.where(below < above, left < below, right > above)
            return jnp.where(too_low, middle, low), jnp.where(too_low, high, middle)

        low, high = jax.lax.fori_loop(0, 100, halve, (low, high))
        return (low + high) / 2

    def ode(self, a: Array, t: Array) -> Array:
        """ODE_t(a) = F_1^-1(F_t(a)), []: the exact end of the unguided path through a at time t."""
        return self.quantile_of(a, t, jnp.ones_like(t))

    def ode_derivative(self, a: Array, t: Array) -> Array:
        """d ODE_t / da = p_t(a) / p_1(ODE_t(a)), []."""
        end = self.ode(a, t)
        return jnp.exp(self.log_prob(a[None], t) - self.log_prob(end[None], jnp.ones_like(t)))


@dataclass(frozen=True)
class World:
    """A 1-D mixture, a critic with a spurious bump away from the data, and the true return."""

    mixture: Mixture
    best: float
    height: float
    centre: float
    width: float
    steps: int

    def critic(self, a: Array) -> Array:
        """Q(a) = -(a - best)^2 + height exp(-(a - centre)^2 / (2 width^2)), summed over the dimensions, []."""
        bump = self.height * jnp.exp(-((a - self.centre) ** 2) / (2 * self.width**2))
        return jnp.sum(-((a - self.best) ** 2) + bump)

    def true_return(self, a: Array) -> Array:
        """-(a - best)^2, summed over the dimensions, []."""
        return jnp.sum(-((a - self.best) ** 2))


def world(name: str) -> World:
    """One of the worlds of `worlds.json`: "landing" (narrow peaks) or "gradients" (wide peaks)."""
    spec = json.loads(resources.files("qgf.method").joinpath("worlds.json").read_text(encoding="utf-8"))[name]
    mixture = Mixture(jnp.array(spec["modes"])[:, None], jnp.array(spec["weights"], float), spec["std"])
    return World(mixture, best=spec["best"], steps=spec["steps"], **spec["bump"])
