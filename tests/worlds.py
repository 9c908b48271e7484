"""Known worlds, and their exact values computed without the package (NumPy and SciPy, float64)."""

import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import logsumexp
from scipy.stats import norm

from qgf.method.toy import Mixture

DIMENSIONS = (1, 3)
MEANS = {
    1: [[-2.0], [0.0], [1.0]],
    3: [[-1.0, 0.4, 0.2], [0.8, -0.6, 0.5], [0.1, 0.9, -0.9], [0.5, 0.5, 0.5]],
}
WEIGHTS = {1: [1.0, 2.0, 3.0], 3: [0.5, 1.0, 2.0, 0.3]}
STD = 0.3


def mixture(d: int) -> Mixture:
    """A mixture of unequal peaks in the default precision."""
    return Mixture(jnp.array(MEANS[d]), jnp.array(WEIGHTS[d]), STD)


def points(d: int, times=(0.0, 0.2, 0.5, 0.8, 0.95), n: int = 3) -> list[tuple[np.ndarray, float]]:
    """Pairs (a, t) spread over where a_t lives, the same on every call."""
    rng = np.random.default_rng(d)
    return [(rng.normal(0, 1.2, d), t) for t in times for _ in range(n)]


def sigma2(m: Mixture, t: float) -> float:
    return (1 - t) ** 2 + (t * m.std) ** 2


def log_terms(m: Mixture, a, t: float) -> np.ndarray:
    """log of w_k N(a; t mu_k, sigma^2 I) with normalised weights, [K]."""
    w, mu = np.asarray(m.weights, float), np.asarray(m.means, float)
    return np.log(w / w.sum()) + norm.logpdf(a, t * mu, np.sqrt(sigma2(m, t))).sum(axis=-1)


def posterior(m: Mixture, a, t: float) -> np.ndarray:
    terms = log_terms(m, a, t)
    return np.exp(terms - logsumexp(terms))


def conditional_mean(m: Mixture, a, t: float, of: str) -> np.ndarray:
    """E[a_1 | a_t = a] or E[a_1 - a_0 | a_t = a], from the joint Gaussian of every component."""
    covariance = {"a1": t * m.std**2, "a1 - a0": t * m.std**2 - (1 - t)}[of]
    mu = np.asarray(m.means, float)
    return posterior(m, a, t) @ (mu + covariance / sigma2(m, t) * (np.asarray(a) - t * mu))


def velocity(m: Mixture, a, t: float) -> np.ndarray:
    return conditional_mean(m, a, t, "a1 - a0")


def clean(m: Mixture, a, t: float) -> np.ndarray:
    return conditional_mean(m, a, t, "a1")


def central(f, a, h: float = 1e-5) -> np.ndarray:
    """Jacobian of f at a by central differences, [outputs, d]."""
    a = np.asarray(a, float)
    return np.stack([(f(a + h * e) - f(a - h * e)) / (2 * h) for e in np.eye(a.size)], axis=-1)


def flow_end(m: Mixture, a, t: float) -> np.ndarray:
    """The end at time 1 of the exact path through a at time t, by an accurate integrator."""
    path = solve_ivp(lambda s, x: velocity(m, x, s), (t, 1.0), np.asarray(a, float), "DOP853", rtol=1e-12, atol=1e-13)
    return path.y[:, -1]


def euler_times(t: float, steps: int) -> tuple[np.ndarray, float]:
    """Times at which the Euler steps from t to 1 start, and their length: no longer than the grid's 1/steps."""
    n = max(int(np.ceil((1 - t) * steps - 1e-3)), 0)
    h = (1 - t) / max(n, 1)
    return t + h * np.arange(n), h


def euler(v, a, t: float, steps: int) -> np.ndarray:
    times, h = euler_times(t, steps)
    for s in times:
        a = a + h * v(a, s)
    return a


# The critic: a quadratic with coupled dimensions and a bump, so that its gradient differs from place to place.

CURVATURE = {d: np.eye(d) + 0.3 * np.ones((d, d)) for d in DIMENSIONS}


def critic(a):
    d = a.size
    bump = 3 * jnp.exp(-jnp.sum((a - 1.2) ** 2) / 0.5)
    return -0.5 * a @ jnp.array(CURVATURE[d], a.dtype) @ a + jnp.sum(0.7 * a) + bump


def critic_gradient(a) -> np.ndarray:
    a = np.asarray(a, float)
    bump = 3 * np.exp(-np.sum((a - 1.2) ** 2) / 0.5)
    return -CURVATURE[a.size] @ a + 0.7 - bump * 4 * (a - 1.2)
