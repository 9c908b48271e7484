"""What is in PyTorch is what is in JAX: both registries are walked, and every number agrees."""

import inspect
import subprocess
import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import twins
from numpy.testing import assert_array_equal
from twins import BATCH, D, assert_close, numbers

from qgf import torch as qt
from qgf.method import guidance, guides, schedules
from qgf.method.sampling import finish, sample
from qgf.torch import guidance as mirror
from qgf.torch.guides import agreement, find

TOLERANCE = {"float64": 1e-6, "float32": 1e-5}
precisions = pytest.mark.parametrize("name", TOLERANCE)
SHARED = [name for name in guides.GUIDES if name not in ("placebo", "steady")]  # whose directions are others
WRAPPED = ["zero:ood", "gate:jacobian", "gate:chain"]
TIMES = (0.0, 0.2, 0.25, 0.5, 0.9)


def test_the_registries_have_the_same_names_in_the_same_order():
    assert list(qt.ESTIMATORS) == list(guidance.ESTIMATORS)
    assert list(qt.SCHEDULES) == list(schedules.SCHEDULES)
    assert list(qt.WRAPPERS) == list(guides.WRAPPERS)
    assert [*qt.ESTIMATORS, *qt.GUIDES, *qt.WRAPPERS] == list(guides.GUIDES)


@pytest.mark.parametrize("name", guidance.ESTIMATORS)
def test_an_estimator_is_the_same_text(name):
    assert inspect.getsource(qt.ESTIMATORS[name]) == inspect.getsource(guidance.ESTIMATORS[name])


@pytest.mark.parametrize("name", [*guides.WRAPPERS, *guides.GUIDES.own])
def test_a_guide_says_the_same(name):
    ours, theirs = ({**x.GUIDES.own, **x.WRAPPERS}[name].__doc__ for x in (qt, guides))
    assert ours.splitlines()[0] == theirs.splitlines()[0]


def test_it_brings_no_jax():
    code = "import sys, qgf.torch; print([x for x in ('jax', 'equinox', 'scipy', 'lerobot') if x in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# One direction


@cache
def directions(name):
    """Of every guide, each row at its own time, by JAX: guide -> [B, d], compiled as one program."""
    with jax.enable_x64(name == "float64"):
        v, q = twins.in_jax()
        ask = lambda guide: jax.vmap(lambda a, t: guides.find(guide)(reference(guide, v), q, a, t))
        all_of = jax.jit(lambda a, t: {g: ask(g)(a, t) for g in SHARED + WRAPPED})
        return jax.tree.map(np.asarray, all_of(jnp.array(numbers(len(TIMES), D)), jnp.array(TIMES)))


def reference(guide, v):
    return v.labelled if guide == "cfgrl" else v


@precisions
@pytest.mark.parametrize("guide", SHARED + WRAPPED)
def test_a_direction_agrees(guide, name):
    dtype = getattr(torch, name)
    v, q = twins.in_torch(dtype)
    a, times = torch.tensor(numbers(len(TIMES), D), dtype=dtype), torch.tensor(TIMES, dtype=dtype)
    ask = lambda a, t: find(guide)(reference(guide, v), q, a, t)
    together = torch.stack([ask(a, t)[k] for k, t in enumerate(times)])  # one time for the whole batch
    for g in (together, ask(a, times[:, None])):
        assert_close(g, directions(name)[guide], TOLERANCE[name])


@precisions
def test_a_placebo_has_the_norm_alone(name):
    dtype = getattr(torch, name)
    v, q = twins.in_torch(dtype)
    a, t = torch.tensor(numbers(2000, D), dtype=dtype), torch.tensor(0.5, dtype=dtype)
    g, same, other = (
        find("placebo:ood")(v, q, a, t),
        find("placebo:ood")(v, q, a, t),
        mirror.placebo(mirror.ood, 1)(v, q, a, t),
    )
    assert_close(g.norm(dim=1), find("ood")(v, q, a, t).norm(dim=1), TOLERANCE[name])
    assert_array_equal(g, same)
    u = g / g.norm(dim=1, keepdim=True)
    opposite = find("placebo:ood")(v, q, -a, t)
    for x in (other, opposite):  # nothing in common with another seed's, or with that of -a
        assert abs((u * x / x.norm(dim=1, keepdim=True)).sum(dim=1).mean()) < 4 / np.sqrt(D * 2000)
    assert_close(u.mean(dim=0), np.zeros(D), 4 / np.sqrt(D * 2000))  # on the sphere, of no direction more than another
    assert_close(u.T @ u / 2000, np.eye(D) / D, 4 / np.sqrt(2000))
    assert len(np.unique(np.round(u, 4), axis=0)) == 2000


@precisions
def test_a_steady_placebo_keeps_its_direction(name):
    dtype = getattr(torch, name)
    v, q = twins.in_torch(dtype)
    a, t = torch.tensor(numbers(BATCH, D), dtype=dtype), torch.tensor(0.5, dtype=dtype)
    g, later = find("steady:ood")(v, q, a, t), find("steady:ood")(v, q, a + 0.1, t + 0.1)
    assert_close(g.norm(dim=1), find("ood")(v, q, a, t).norm(dim=1), TOLERANCE[name])
    units = [x / x.norm(dim=1, keepdim=True) for x in (g, later)]
    assert_close(*units, TOLERANCE[name])


def test_a_row_knows_nothing_of_the_others():
    v, q = twins.in_torch(torch.float64)
    a, t = torch.tensor(numbers(BATCH, D)), torch.tensor(0.3, dtype=torch.float64)
    for guide in [*SHARED, "placebo", "steady", "gate:bptt"]:
        whole = find(guide)(reference(guide, v), q, a, t)
        assert_close(whole[2:3], find(guide)(reference(guide, v), q, a[2:3], t), 1e-12, guide)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_gradient_is_there_in_every_mode(mode):
    f = lambda a: (a**3).sum(dim=-1)
    with mode():
        a = torch.tensor(numbers(BATCH, D))
        assert_close(mirror.grad(f)(a), 3 * a**2, 1e-12)
        assert_array_equal(mirror.grad(lambda a: torch.ones(len(a)))(a), np.zeros((BATCH, D)))


def test_agreement_of_a_batch():
    each = numbers(4, BATCH, D)
    expected = [guides.agreement(jnp.array(each[:, b])) for b in range(BATCH)]
    assert_close(agreement(torch.tensor(each, dtype=torch.float32)), expected, 1e-5)
    assert_array_equal(agreement(torch.zeros(4, 2, D)), [0, 0])


# The whole sampler

RANGE = dict(low=-0.6, high=0.8)
RUNS = [(g, "constant", 0.0) for g in (*SHARED, "gate:jacobian")] + [("qgf", s, 0.0) for s in schedules.SCHEDULES]
RUNS += [("chain", "linear", 0.37), ("qgf", "constant", 0.5), ("bptt", "constant", 0.999)]
PACES = [("euler", 4), ("midpoint", 12), ("midpoint", 5)]  # of 6 and of 12
RUNS = [(*run, "euler", 6) for run in RUNS] + [("qgf", "linear", t0, *pace) for pace in PACES for t0 in (0.0, 0.37)]


def paced(pace):
    return dict(zip(("solver", "guide_steps"), pace, strict=True))


def runs(name):
    """In single precision, whose steps are those of `test_a_direction_agrees`, a few."""
    return [key for key in RUNS if name == "float64" or key[0] in ("qgf", "gate:jacobian")]


@cache
def paths(name):
    """(guide, schedule, t0, solver, guide_steps) -> (actions, trace) of a batch, by JAX."""
    with jax.enable_x64(name == "float64"):
        v, q = twins.in_jax()
        a0 = jnp.array(numbers(BATCH, D, seed=1))

        def run(a0, key):
            guide, schedule, t0, *pace = key
            path = sample(v, q, a0, guide, 0.3, 6, **RANGE, schedule=schedule, trace=True, t0=t0, **paced(pace))
            return finish(q, path, guide, 0.3, **RANGE), path

        all_of = lambda a0: {key: jax.vmap(partial(run, key=key))(a0) for key in runs(name)}
        return jax.tree.map(np.asarray, jax.jit(all_of)(a0))


@pytest.mark.parametrize("name,key", [(name, key) for name in TOLERANCE for key in runs(name)], ids=str)
def test_the_sampler_agrees(key, name):
    dtype, (guide, schedule, t0, *pace) = getattr(torch, name), key
    v, q = twins.in_torch(dtype)
    a0 = torch.tensor(numbers(BATCH, D, seed=1), dtype=dtype)
    actions, path = (
        qt.sample(v, q, a0, guide, 0.3, 6, **RANGE, schedule=schedule, trace=x, t0=t0, **paced(pace))
        for x in (False, True)
    )
    expected, traced = paths(name)[key]
    assert_close(actions, expected, TOLERANCE[name])
    for field in ("v", "a", "a1_hat", "g", "skipped"):
        assert_close(getattr(path, field), getattr(traced, field), TOLERANCE[name], field)
    assert_close(path.t, traced.t[0], 1e-7)
    assert_close(path.w, traced.w[0], 1e-6)
