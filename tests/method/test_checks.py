"""Functions that are not what a policy needs: one line that names the function and the shapes."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgf.errors import UserError
from qgf.method.guided import guided_flow

KEY = jax.random.key(0)
OBS = np.zeros((3, 4), np.float32)


def flow(obs, a, t):
    return -a


def value(obs, a):
    return jnp.sum(a)


WIDE = jnp.ones((350, 8))
CASES = {
    "a batch of velocities": (
        dict(velocity=lambda o, a, t: -a[None]),
        "velocity(obs, a, t) returns [1, 7], expected [7]; d = horizon * action_dim = 1 * 7, given obs [4], a [7]",
    ),
    "one action of several": (dict(velocity=lambda o, a, t: -a[:7], horizon=5), "returns [7], expected [35]"),
    "two results": (dict(velocity=lambda o, a, t: (a, a)), "velocity(obs, a, t) returns ([7], [7]), expected [7]"),
    "a critic with an axis": (dict(critic=lambda o, a: jnp.sum(a)[None]), "critic(obs, a) returns [1], expected []"),
    "whole numbers": (dict(critic=lambda o, a: jnp.sum(a > 0)), "critic(obs, a) returns int32, expected"),
    "a forgotten horizon": (
        dict(velocity=lambda o, a, t: (a @ WIDE)[:7]),
        "velocity(obs, a, t) fails for obs [4], a [7], t [], d = horizon * action_dim = 1 * 7: TypeError: dot_general",
    ),
    "a forgotten argument": (dict(critic=lambda a: jnp.sum(a)), "critic(obs, a) fails for obs [4], a [7]"),
    "another structure": (dict(critic=lambda o, a: o["x"].sum()), "critic(obs, a) fails for obs [4], a [7]"),
    "a guide that wants more": (dict(guide="gate"), "critic.members(obs[S], a[d]) -> [m]"),
    "another guide that wants more": (dict(guide="robustq"), "critic.noisy(obs[S], a_t[d], t[]) -> []"),
    "a guide without direction": (dict(guide=lambda v, q, a, t: q(a)), "returns [], expected a direction [7]"),
}  # fmt: skip


@pytest.mark.parametrize("when", ["construction", "first call"])
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_function_is_told_in_one_line(case, when):
    changes, said = CASES[case]
    fields = dict(velocity=flow, critic=value, action_dim=7, weight=0.1) | changes
    with pytest.raises(UserError) as caught:
        if when == "construction":
            guided_flow(**fields, obs_spec=4)
        else:
            guided_flow(**fields)(OBS, KEY)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_members_may_hang_on_a_function_or_be_a_method():
    def hanging(obs, a):
        return jnp.min(hanging.members(obs, a))

    hanging.members = lambda obs, a: jnp.stack([jnp.sum(a), 2 * jnp.sum(a) + obs[0]])

    class Ensemble(eqx.Module):
        scale: jax.Array

        def members(self, obs, a):
            return jnp.stack([jnp.sum(a), self.scale * jnp.sum(a) + obs[0]])

        def __call__(self, obs, a):
            return jnp.min(self.members(obs, a))

    gated = [guided_flow(flow, q, 7, guide="gate", weight=0.1, obs_spec=4) for q in (hanging, Ensemble(jnp.array(2.0)))]
    one, other = (pi(OBS, KEY) for pi in gated)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert np.abs(one - guided_flow(flow, value, 7, guide="none", weight=0.0)(OBS, KEY)).max() > 0.01


BIG = jnp.ones((2000, 2000))  # 16 MB


def test_weights_that_a_function_closes_over_are_warned_of():
    pull = lambda weights, obs, a, t: -a + 0.0 * weights[0, 0]
    closure = lambda obs, a, t: pull(BIG, obs, a, t)
    with pytest.warns(UserWarning, match=r"velocity closes over 16 MB .*jax.tree_util.Partial\(velocity, weights\)"):
        guided_flow(closure, value, 7, weight=0.1, obs_spec=4)
    with pytest.warns(UserWarning, match="velocity closes over 16 MB"):
        guided_flow(jax.jit(closure), value, 7, weight=0.1)(OBS, KEY)
    with pytest.warns(UserWarning, match="critic closes over 16 MB"):
        guided_flow(flow, lambda obs, a: jnp.sum(a) * BIG[0, 0], 7, weight=0.1, obs_spec=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pi = guided_flow(jax.tree_util.Partial(pull, BIG), value, 7, weight=0.1, obs_spec=4)
        pi(OBS, KEY)
        guided_flow(lambda obs, a, t: -a + 0.0 * BIG[:1000, 0].sum() * 0, value, 7, weight=0.1) and None
        jax.jit(lambda big, obs: guided_flow(lambda o, a, t: pull(big, o, a, t), value, 7, weight=0.1)(obs, KEY))(
            BIG, OBS
        )
