"""The lowest member's gradient: the same for a single observation as in a batch, at the cost of one member."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from qgf.critics.losses import Lowest, Pessimistic
from qgf.method.alone import alone
from qgf.method.flops import flops
from qgf.method.guided import guided_flow
from qgf.method.sampling import sample
from qgf.networks.critic import CriticEnsemble
from qgf.networks.velocity import VelocityField
from qgf.training.methods.bc import BC
from qgf.training.trained import Trained
from qgf.types import Calibration, Spec

S, D = 3, 4
ENSEMBLE = CriticEnsemble(S, D, 16, 2, 3, jax.random.key(0))
OBS, A = (jax.random.normal(jax.random.key(k), (20, n)) for k, n in ((1, S), (2, D)))


def test_it_is_the_gradient_of_the_lowest_whichever_that_is(float64):
    ensemble = jax.tree.map(lambda x: jnp.asarray(x, float), ENSEMBLE)
    usual, single = Pessimistic(ensemble), alone(Pessimistic(ensemble))
    assert isinstance(single, Lowest)
    slope = lambda q: jax.jit(jax.value_and_grad(q, argnums=1))
    which = {int(jnp.argmin(ensemble(obs, a))) for obs, a in zip(OBS, A, strict=True)}
    assert which == {0, 1, 2}
    for obs, a in zip(jnp.asarray(OBS, float), jnp.asarray(A, float), strict=True):
        (q, g), (q1, g1) = slope(usual)(obs, a), slope(single)(obs, a)
        assert_allclose(q1, q, rtol=1e-12)
        assert_allclose(g1, g, rtol=1e-9, atol=1e-12)
    batch = jax.vmap(jax.grad(single, argnums=1))(OBS, A)
    assert_allclose(batch, jax.vmap(jax.grad(usual, argnums=1))(OBS, A), rtol=1e-5, atol=1e-6)


def test_a_single_observation_is_acted_on_as_in_a_batch():
    v = eqx.tree_at(lambda f: f.net.biases[-1], VelocityField(S, D, 8, 1, jax.random.key(3)), jnp.full(D, 0.1))
    policy = guided_flow(v, Pessimistic(ENSEMBLE), action_dim=2, horizon=2, weight=0.3, obs_spec=S)
    a0 = np.float32(np.random.default_rng(0).normal(size=(4, D)))
    together = policy(OBS[:4], 0, a0=a0)
    for k in range(4):
        assert_allclose(policy(OBS[k], 0, a0=a0[k]), together[k], rtol=1e-4, atol=1e-5)


def test_a_velocity_is_computed_once_a_step():
    w, steps = jnp.ones((D, D)), 3
    v = lambda a, t: jnp.tanh(a @ w)
    q = lambda a: -jnp.sum(a**2)
    once = 2 * D * D
    asked = flops(lambda a: sample(v, q, a, "qgf", 0.1, steps), jnp.ones(D))
    assert asked == steps * once


def test_what_changes_between_runs_of_the_same_sizes_compiles_nothing():
    """A strength, a weight, a seed, a run: numbers, none a part of the program."""
    spec, method, compiled = Spec(S, 2, 2), BC(width=8, depth=1), []

    def run(seed, sigma):
        nets = method.init(spec, jax.random.key(seed))
        return Trained(nets, np.float32([seed] * S), np.ones(S, np.float32), method, spec, calibration=sigma).policy()

    one, other = run(0, Calibration(0.3, 2.0)), run(1, Calibration(0.5, 7.0))
    count = lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    obs = np.zeros(S, np.float32)
    acts = lambda policy, key: np.asarray(policy(obs, key))
    first = acts(one.guided("qgf"), 0)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        found = [acts(one.guided("qgf", x), 0) for x in (1.0, 2.0)] + [acts(one.guided("qgf", weight=0.7), 0)]
        found += [acts(one.guided("qgf"), 1), acts(other.guided("qgf"), 0)]
        assert compiled == [] and all(np.abs(x - first).max() > 1e-6 for x in found)
        acts(one.guided("qgf", steps=4), 0)
        assert compiled  # they are counted
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
