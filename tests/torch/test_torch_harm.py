"""What holds guidance back in PyTorch is what does in JAX: caps, fallbacks, and what is told of the harm."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import twins
from numpy.testing import assert_array_equal
from twins import BATCH, D, assert_close, numbers

from qgf import torch as qt
from qgf.errors import UserError
from qgf.method import choosing as jax_choosing
from qgf.method import harm as jax_harm
from qgf.method import shaping as jax_shaping
from qgf.method.policy import with_fields
from qgf.method.sampling import sample
from qgf.torch import choosing, harm
from qgf.training.saved import load_policy

CAPS = [(0.2, None), (None, 0.15), (0.3, 0.15)]
ACTING = {
    "unguided": dict(fallback="unguided", weight=3.0),
    "capped": dict(fallback="capped", weight=40.0),
    "judged": dict(fallback="judged", weight=3.0, members=0),
    "metric": dict(weight=3.0, metric="sigma", guided_dims=[1]),
    "held": dict(weight=3.0, cap_step=0.5, cap_dim=0.4, schedule="linear"),
}
OBS = np.array([[2.0, 3.0], [8.0, 5.0], [np.nan, 1.0], [5.0, 1.0], [1.0, 8.0]])


def test_fallbacks_have_the_same_names_and_doubt_the_same():
    assert list(qt.FALLBACKS) == list(jax_choosing.FALLBACKS)
    rng = np.random.default_rng(0)
    each = [rng.uniform(0, 10, 200), rng.uniform(0, 6, 200), rng.normal(size=200), rng.normal(size=200)]
    each[1][:20] = np.nan
    for name, ours in qt.FALLBACKS.items():
        theirs = jax.vmap(lambda *x, name=name: jax_choosing.FALLBACKS[name](jax_choosing.Doubt(*x)))(*each)
        assert_array_equal(ours(choosing.Doubt(*map(torch.tensor, each))), theirs, name)


@cache
def held():
    """Paths under every pair of caps, by JAX in float64; and what is told of them."""
    with jax.enable_x64(True):
        v, q = twins.in_jax()

        def run(a0, caps):
            path = sample(v, q, a0, "ood", 0.6, 5, -0.6, 0.8, trace=True, shaping=jax_shaping.Shaping(*caps))
            return path, jax_harm.nats(path)

        every = lambda a0: [jax.vmap(lambda a, caps=caps: run(a, caps))(a0) for caps in CAPS]
        return jax.tree.map(np.asarray, jax.jit(every)(jnp.array(numbers(BATCH, D, seed=1))))


@pytest.mark.parametrize("k", range(len(CAPS)))
def test_capped_paths_agree(k):
    v, q = twins.in_torch(torch.float64)
    a0, (expected, nats) = torch.tensor(numbers(BATCH, D, seed=1)), held()[k]
    path = qt.sample(v, q, a0, "ood", 0.6, 5, -0.6, 0.8, trace=True, shaping=harm.Shaping(*CAPS[k]))
    free = qt.sample(v, q, a0, "ood", 0.6, 5, -0.6, 0.8, trace=True)
    assert_close(path.a, expected.a, 1e-6)
    assert_close(path.g, expected.g, 1e-6)
    assert_close(harm.nats(path), nats, 1e-6)
    assert not np.allclose(path.a, free.a, atol=1e-2)  # they did hold something


def test_strength_in_a_metric_has_the_unit_that_was_measured_in_jax(tiny_run):
    ours, theirs = qt.load_policy(tiny_run.directory), load_policy(tiny_run.directory)
    for how in (dict(metric="sigma"), dict(metric="sigma", robust=True), dict(metric="sigma", members=1)):
        assert ours.guided(**how).weight == pytest.approx(float(theirs.guided(**how).weight), rel=1e-6)
    for how, said in ((dict(metric="x"), "unknown metric"), (dict(guided_dims=[9]), "numbers from 0 to")):
        with pytest.raises(UserError, match=said):
            ours.guided(**how)


def test_calibrate_measures_every_number_and_a_guides_own_norm():
    """|g| = 3 t at each step t = k / T; the flow moves nothing, so that every number spreads by 1."""
    rising = lambda v, q, a, t: 3 * t * torch.ones_like(a) / a.shape[1] ** 0.5
    policy = qt.guided_flow(lambda obs, a, t: 0 * a, lambda obs, a: a[:, 0], 2, rising, 7.0, steps=10, low=-9, high=9)
    obs = torch.zeros(4, 3)
    found = qt.calibrate(policy, obs, torch.Generator().manual_seed(0), actions=4000, guide=True)
    assert found.calibration.grad_norm == pytest.approx(3 * 0.45, rel=1e-5)
    assert found.weight == 7.0 and found.guided(rising, strength=1.0).weight == pytest.approx(
        found.calibration.sigma * 2**0.5 / 1.35, rel=1e-5
    )
    usual = qt.calibrate(policy, obs, torch.Generator().manual_seed(0), actions=4000)
    assert usual.calibration.sigmas == pytest.approx([1.0, 1.0], rel=0.05)
    metric = usual.guided("qgf", strength=1.0, metric="sigma")
    assert_close(
        metric.shaping.metric, np.square(usual.calibration.sigmas) / np.mean(np.square(usual.calibration.sigmas)), 1e-6
    )
    assert metric.weight == pytest.approx(usual.calibration.sigma * 2**0.5 / float(metric.shaping.metric[0]), rel=1e-5)


def test_jerk_and_displacement_agree():
    a, b = numbers(BATCH, 6, 2), numbers(BATCH, 6, 2, seed=1)
    assert_close(harm.jerk(torch.tensor(a)), jax.vmap(jax_harm.jerk)(a), 1e-6)
    assert harm.jerk(torch.tensor(a[:, :2])).isnan().all()
    flat = lambda x: x.reshape(BATCH, -1)
    theirs = jax.vmap(lambda a, b: jax_harm.displacement(a, b, 0.3))(flat(a), flat(b))
    assert_close(harm.displacement(torch.tensor(flat(a)), torch.tensor(flat(b)), 0.3), theirs, 1e-6)


def assert_same(ours, theirs, tolerance, what=""):
    """Close, and NaN in the same places."""
    assert_array_equal(np.isnan(np.asarray(ours)), np.isnan(np.asarray(theirs)), what)
    assert_close(np.nan_to_num(ours), np.nan_to_num(theirs), tolerance, what)


@pytest.fixture(scope="module")
def acted(tiny_run):
    """What a trained policy does under each of `ACTING`, in JAX and float64."""
    with jax.enable_x64(True):
        policy = load_policy(tiny_run.directory)
        a0, last = (numbers(len(OBS), policy.horizon * policy.action_dim, seed=k) for k in range(2))
        guided = [with_fields(policy.guided("ood", **how), steps=4) for how in ACTING.values()]
        act = lambda p: p.act(OBS, jax.random.key(0), a0, last=None if p.fallback is None else last)
        found = jax.jit(lambda all_of: [act(p) for p in all_of])(guided)
    return a0, last, {name: (np.asarray(a), info) for name, (a, info) in zip(ACTING, found, strict=True)}


@pytest.mark.parametrize("name", ACTING)
def test_a_trained_policy_falls_back_as_in_jax(tiny_run, acted, name):
    a0, last, expected = acted
    policy = qt.load_policy(tiny_run.directory).to(torch.float64).guided("ood", **ACTING[name], steps=4)
    last = last.reshape(len(OBS), policy.horizon, policy.action_dim)
    given = dict(last=torch.tensor(last)) if policy.fallback else {}
    actions, info = policy(OBS, a0=a0, info=True, **given)
    theirs, told = expected[name]
    assert_same(actions, theirs, 1e-6)
    for field in ("fell_back", "ratio", "nats", "jerk", "value") + ("displacement",) * (name in ("capped", "judged")):
        assert_same(getattr(info, field), getattr(told, field), 1e-5, field)
    if policy.fallback is not None:
        assert info.fell_back[2] and torch.isfinite(actions).all()  # of a NaN nothing can be made
        assert_close(actions[2], np.clip(last[2], -1, 1), 1e-6)
        assert name != "capped" or info.fell_back.sum() > 1  # whose push is far too hard


def test_what_cannot_hold_is_refused(tiny_run):
    policy = qt.load_policy(tiny_run.directory)
    for wrong, message in (
        (lambda: policy.guided(cap_step=0.0), "cap_step must be a finite number above 0"),
        (lambda: policy.guided("gradstep", weight=1.0, cap_step=1.0), "acts after it"),
        (lambda: policy.guided(fallback="never"), "unknown torch fallback"),
        (lambda: policy.guided(fallback="judged"), "let one guide, members=0"),
        (lambda: policy([[1.0, 2.0]], last=np.zeros((1, 5, 2))), "give the policy fallback="),
    ):
        with pytest.raises(UserError, match=message):
            wrong()
