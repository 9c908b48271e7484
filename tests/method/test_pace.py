"""How a step is taken and how often the guide is asked on the way: against recursions in NumPy, and counted."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import worlds
from qgf.errors import UserError
from qgf.method.guided import guided_flow
from qgf.method.policy import Policy, without_guidance
from qgf.method.sampling import finish, sample
from qgf.types import Calibration

W, SLOPE = 0.4, np.array([1.0, -0.5, 0.25])
UNBOUNDED = dict(low=-jnp.inf, high=jnp.inf)
A0 = np.random.default_rng(0).normal(size=3)


def v(a, t):
    """Of the mixture, in the precision at hand."""
    return worlds.mixture(3).velocity(a, t)


def curved(a):
    """A critic whose gradient is cos(a_i) slope_i."""
    return jnp.sum(jnp.sin(a) * SLOPE)


def gradient(a, t):
    """Of it at the one-step estimate."""
    return np.cos(a + (1 - t) * worlds.velocity(worlds.mixture(3), a, t)) * SLOPE


def walk(points, solver, asked):
    """The guided path between these times, the guide being asked at the points that are numbered so."""
    a, g, number = A0, np.zeros(3), -1
    path, told = [a], []

    def field(a, t):
        nonlocal g, number
        number += 1
        g = gradient(a, t) if number in asked else g
        return worlds.velocity(worlds.mixture(3), a, t) + W * g

    for start, end in pairwise(points):
        h, move = end - start, field(a, start)
        move = field(a + h / 2 * move, start + h / 2) if solver == "midpoint" else move
        a = a + h * move
        path.append(a)
        told.append(g)
    return np.array(path), np.array(told)


@pytest.mark.parametrize(
    "solver, steps, guide_steps, asked",
    [
        ("euler", 10, 5, {0, 2, 4, 6, 8}),
        ("euler", 10, 3, {0, 4, 7}),
        ("euler", 10, 1, {0}),
        ("euler", 4, 9, {0, 1, 2, 3}),
        ("midpoint", 5, None, set(range(10))),
        ("midpoint", 5, 5, {0, 2, 4, 6, 8}),
        ("midpoint", 5, 7, {0, 2, 3, 5, 6, 8, 9}),
    ],
)
def test_a_path_is_the_recursion(solver, steps, guide_steps, asked, float64):
    path = sample(v, curved, jnp.array(A0), "qgf", W, steps, **UNBOUNDED, trace=True, solver=solver,
                  guide_steps=guide_steps)  # fmt: skip
    a, g = walk(np.arange(steps + 1) / steps, solver, asked)
    assert_allclose(path.a, a, rtol=1e-10)
    assert_allclose(path.g, g, rtol=1e-10)
    assert_allclose(path.t, np.arange(steps) / steps)
    assert not path.skipped.any()


@pytest.mark.parametrize("solver, asked", [("euler", {0, 3, 5}), ("midpoint", {0, 5, 10})])
def test_a_path_from_the_middle_asks_the_guide_in_the_same_share(solver, asked, float64):
    points = [0.37, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    path = sample(v, curved, jnp.array(A0), "qgf", W, 10, **UNBOUNDED, trace=True, t0=0.37, solver=solver,
                  guide_steps=4)  # fmt: skip
    assert_allclose(path.a, walk(points, solver, asked)[0], rtol=1e-10)


def test_the_midpoint_error_falls_with_the_square_of_the_steps(float64):
    end = lambda steps, solver: np.asarray(
        sample(v, curved, jnp.array(A0), "qgf", W, steps, **UNBOUNDED, solver=solver)
    )
    exact = end(2000, "midpoint")
    error = lambda solver: [np.linalg.norm(end(steps, solver) - exact) for steps in (40, 80)]
    for solver, order in (("euler", 2), ("midpoint", 4)):
        coarse, fine = error(solver)
        assert coarse / fine == pytest.approx(order, rel=0.2)


@pytest.mark.parametrize("guide_steps, calls", [(None, 6), (6, 6), (3, 3), (1, 1)])
def test_the_guide_is_computed_no_more_often(guide_steps, calls):
    told = []

    def guide(v, q, a, t):
        jax.debug.callback(told.append, a[0])
        return jax.grad(q)(a)

    act = partial(sample, v, curved, guide=guide, weight=W, steps=6, guide_steps=guide_steps)
    jax.block_until_ready(jax.jit(jax.vmap(act))(jnp.ones((4, 3))))
    jax.effects_barrier()
    assert len(told) == 4 * calls


def test_as_often_as_there_are_steps_and_no_weight_change_nothing():
    act = lambda **how: jax.jit(partial(sample, v, curved, weight=W, steps=6, **how))(jnp.ones(3))
    assert_array_equal(act(), act(guide_steps=6))
    assert_array_equal(act(solver="midpoint"), act(solver="midpoint", guide_steps=12))
    for how in (dict(guide_steps=2), dict(solver="midpoint", guide_steps=5)):
        plain = jax.jit(partial(sample, v, curved, guide="none", steps=6, solver=how.get("solver", "euler")))
        none = jax.jit(partial(sample, v, curved, weight=0.0, steps=6, **how))
        assert_array_equal(none(jnp.ones(3)), plain(jnp.ones(3)))


def state_flow(obs, a, t):
    return v(a, t) + 0 * obs[0]


def state_critic(obs, a):
    return curved(a) + 0 * obs[0]


def test_a_policy_keeps_its_pace(tmp_path):
    made = guided_flow(state_flow, state_critic, 3, weight=W, obs_spec=(2,), calibration=Calibration(0.3, 1.0))
    policy = made.guided(weight=W, steps=5, solver="midpoint", guide_steps=4)
    a0 = np.array([A0, -A0], np.float32)
    path = lambda a: sample(v, curved, a, "qgf", W, 5, -1, 1, "constant", True, solver="midpoint", guide_steps=4)
    wanted = jax.vmap(lambda a: finish(curved, path(a), "qgf", W, -1, 1))(jnp.array(a0))
    assert_allclose(policy(np.zeros((2, 2)), 0, a0=a0)[:, 0], wanted, rtol=1e-5)
    assert policy.guided(weight=W).solver == "midpoint" and policy.guided(weight=W).guide_steps is None
    plain = without_guidance(policy)
    assert (plain.solver, plain.guide_steps) == ("midpoint", None)
    policy.save(tmp_path)
    again = Policy.load(tmp_path, like=made)
    assert (again.solver, again.guide_steps) == ("midpoint", 4)
    assert_array_equal(again(np.zeros((2, 2)), 0, a0=a0), policy(np.zeros((2, 2)), 0, a0=a0))
    made.save(tmp_path / "plain")  # nothing more than before in what acts as before
    assert "solver" not in (tmp_path / "plain" / "config.json").read_text()


@pytest.mark.parametrize(
    "how, said",
    [
        (dict(solver="midpont"), "unknown solver 'midpont'"),
        (dict(guide_steps=0), "guide_steps must be a whole number from 1 on, got 0"),
        (dict(guide_steps=2.5), "guide_steps must be a whole number from 1 on, got 2.5"),
    ],
)
def test_what_is_no_pace_is_a_line(how, said):
    with pytest.raises(UserError, match=said):
        sample(v, curved, jnp.zeros(3), **how)
    with pytest.raises(UserError, match=said):
        guided_flow(state_flow, state_critic, 3, weight=W).guided(weight=W, **how)
