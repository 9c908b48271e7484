"""Policies in PyTorch: a trained one acts as JAX's does, and what can be done with anybody's."""

import jax
import numpy as np
import pytest
import torch
import twins
from numpy.testing import assert_allclose, assert_array_equal
from twins import BATCH, D, assert_close, numbers

from qgf import torch as qt
from qgf.errors import UserError
from qgf.method.policy import with_fields
from qgf.torch.choosing import best
from qgf.torch.observations import plain
from qgf.training.saved import load_policy
from qgf.types import Info

GUIDES = ["none", "ood", "jacobian", "qgf"]
quadratic = lambda centre: lambda obs, a: -((a - centre) ** 2).sum(dim=-1)
still = lambda obs, a, t: torch.zeros_like(a)


@pytest.fixture(scope="module")
def acted(tiny_run):
    """What a trained policy does from the same noise under each guide, in JAX and float64."""
    with jax.enable_x64(True):
        policy = load_policy(tiny_run.directory)
        a0 = numbers(3, policy.horizon * policy.action_dim)
        obs = np.array([[2.0, 3.0], [8.0, 5.0], [-90.0, 1.0]])  # the last beyond all that was seen
        guided = [with_fields(policy.guided(guide, 0.7), steps=5) for guide in GUIDES]
        paths = jax.jit(lambda all_of: [p.act(obs, jax.random.key(0), a0) for p in all_of])(guided)
    return obs, a0, {guide: (np.asarray(a), info) for guide, (a, info) in zip(GUIDES, paths, strict=True)}


@pytest.mark.parametrize("guide", GUIDES)
def test_a_trained_policy_acts_as_in_jax(tiny_run, acted, guide):
    obs, a0, expected = acted
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        policy = qt.load_policy(tiny_run.directory).to(dtype).guided(guide, 0.7, steps=5)
        actions, info = policy(obs, a0=a0, info=True)
        assert actions.dtype == dtype
        assert_close(actions, expected[guide][0], tolerance)
        assert_close(info.value, expected[guide][1].value, tolerance)
        assert_close(info.ratio, expected[guide][1].ratio, 10 * tolerance)
    assert_close(policy(obs[0], a0=a0[:1].reshape(1, *actions.shape[1:])), actions[0], 1e-5)


def test_calls(tiny_run):
    policy = qt.load_policy(tiny_run.directory)
    assert (policy.guide, policy.weight > 0) == ("qgf", True)
    draw = lambda policy, seed: policy([[2.0, 3.0]] * 4, generator=torch.Generator().manual_seed(seed))
    assert_array_equal(draw(policy, 0), draw(policy, 0))
    assert (draw(policy, 0) != draw(policy, 1)).any() and (draw(policy, 0)[0] != draw(policy, 0)[1]).any()
    better = policy.guided("none", best_of=8)
    seeded = lambda: torch.Generator().manual_seed(2)
    value = lambda policy: policy([[2.0, 3.0]] * 64, generator=seeded(), info=True)[1].value.mean()
    assert value(better) > value(policy.guided("none"))
    with torch.inference_mode():
        assert_allclose(draw(policy, 0), draw(policy, 0).clone())
        assert policy(torch.tensor([2.0, 3.0])).shape == (policy.horizon, policy.action_dim)
    for wrong, message in (
        (lambda: policy([1.0, 2.0, 3.0]), r"obs has shape \[3\], expected \[2\] or \[B, 2\]"),
        (lambda: policy([[1.0, 2.0]], a0=torch.zeros(3)), "a0 has shape"),
        (lambda: policy([[1.0, 2.0]], t0=0.5), "needs a0"),
        (lambda: better([[1.0, 2.0]], a0=torch.zeros(10)), "best of 8"),
        (lambda: policy([[torch.nan, 2.0]]), "1 of 1 actions are not finite"),
        (lambda: policy.guided("qfg"), "unknown guide 'qfg': did you mean 'qgf'"),
        (lambda: policy.guided("placebo:gradstep"), "acts? while denoising"),
        (lambda: policy.guided(schedule="lin"), "unknown torch schedule"),
        (lambda: policy.guided(strength=1.0, weight=2.0), "not both"),
        (lambda: policy.guided(weight=float("nan")), "weight must be finite"),
        (lambda: policy.guided(weight=1.0, members="most"), "unknown way to ask the members"),
        (lambda: policy.guided("cfgrl", weight=1.0)([[1.0, 2.0]]), "this guide needs an advantage-labelled flow"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


def test_a_critic_that_is_asked_otherwise(tiny_run):
    """As JAX asks it: members 0 guides, and 1 judges."""
    policy = qt.load_policy(tiny_run.directory).guided("ood", weight=0.1, members=0, choose="others", best_of=2)
    obs, a = torch.tensor([[2.0, 3.0]]), torch.tensor(numbers(1, 10), dtype=torch.float32)
    each = policy.critic.around(policy.critic.f.members)(obs, a)[0]
    assert_close(policy.guiding(obs, a), each[:1], 1e-6)
    assert_close(policy.choosing(obs, a), each[1:].mean(dim=-1, keepdim=True), 1e-6)


def test_anybodys_functions():
    """The closed form of a constant velocity under a quadratic critic: each step a <- a + (c - a) / T."""
    centre = torch.tensor([0.2, -0.3, 0.5])
    policy = qt.guided_flow(still, quadratic(centre), action_dim=3, guide="ood", weight=0.5, steps=4, low=-9, high=9)
    a0 = torch.tensor(numbers(BATCH, D), dtype=torch.float32)
    found = policy(dict(image=torch.zeros(BATCH, 2, 2)), a0=a0)[:, 0]
    assert_close(found, centre + (a0 - centre) * (1 - 1 / 4) ** 4, 1e-6)
    climbed, info = qt.refine(policy, 1, 0.5)(torch.zeros(BATCH, 2))
    assert_close(climbed[:, 0], centre.expand(BATCH, D), 1e-6)
    assert_close(info.value, torch.zeros(BATCH), 1e-6)


def test_calibration():
    """Of a flow that does not move, noise of deviation 1; of a plane, its slope."""
    slope = torch.tensor([3.0, 0.0, 4.0])
    policy = qt.guided_flow(still, lambda obs, a: a @ slope, 3, weight=0.0, low=-9, high=9)
    policy = qt.calibrate(policy, torch.zeros(64, 2), torch.Generator().manual_seed(0))
    assert policy.calibration.sigma == pytest.approx(1, rel=0.03) and policy.calibration.grad_norm == pytest.approx(5)
    assert policy.guided("ood", strength=2.0).weight == pytest.approx(2 * 3**0.5 / 5, rel=0.03)


def test_the_best_is_finite():
    """Of three samples: the highest value; a finite action of no value before one that is not finite."""
    value = torch.tensor([1.0, 5.0, torch.nan, torch.nan, 2.0, torch.nan])
    a = torch.arange(6.0)[:, None, None].clone()
    a[5] = torch.inf
    info = Info(value, value, torch.zeros(6), torch.ones(6, dtype=torch.bool), torch.zeros(6))
    actions, told = best(lambda many: (a, info), 3, lambda obs, a: value)(torch.zeros(2, 1))
    assert_array_equal(actions.flatten(), [1.0, 4.0])
    assert_array_equal(told.discarded, [1, 2])


def test_a_step_that_is_not_finite_goes_unguided():
    torn = lambda obs, a: a.sum(dim=-1) * torch.where(obs[:, 0] > 0, torch.nan, 1.0)
    policy = qt.guided_flow(still, torn, 2, weight=1.0, steps=3, low=-9, high=9)
    a0 = torch.zeros(2, 2)
    actions, info = policy(torch.tensor([[1.0], [-1.0]]), a0=a0, info=True)
    assert_close(actions[:, 0], [[0.0, 0.0], [1.0, 1.0]], 1e-6)
    assert_array_equal(info.skipped, [3, 0])


def test_a_compiled_policy_is_the_same():
    v, q = twins.in_torch(torch.float32)
    critic = lambda obs, a: q(a)
    policy = qt.guided_flow(lambda obs, a, t: v(a, t), critic, D, "placebo:jacobian", weight=0.3, steps=2)
    obs, a0 = torch.zeros(BATCH, 1), torch.tensor(numbers(BATCH, D), dtype=torch.float32)
    with plain():
        expected, _ = policy.act(obs, a0)
        found, _ = torch.compile(policy.act, backend="eager")(obs, a0)
    assert_close(found, expected, 1e-5)
