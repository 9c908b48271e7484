"""Writes tests/fixtures.json: what the Python library answers, for the TypeScript mirror to agree with.

Run from the repository's root: python tutorial/fixtures.py
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from qgf.method.flow import Flow
from qgf.method.guidance import ESTIMATORS
from qgf.method.sampling import sample
from qgf.method.toy import Mixture, World, world

STEPS = 20
WEIGHT = 1.5
LOCAL = ("none", "ood", "jacobian", "qgf")
"""The estimators that follow no path to its end."""


def plain(x):
    """Arrays as nested lists of floats."""
    return jnp.asarray(x, float).tolist()


def pairs(actions, times):
    """Every action at every time, as two arrays."""
    both = list(product(actions, times))
    return jnp.array([a for a, _ in both]), jnp.array([t for _, t in both])


def table(columns):
    """A dict of arrays as a list of dicts of plain lists."""
    columns = {name: plain(column) for name, column in columns.items()}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def mixture_case(mixture, actions, times):
    a, t = pairs(actions, times)
    columns = dict(a=a, t=t)
    for name in ("responsibilities", "velocity", "clean", "jacobian", "velocity_jacobian", "log_prob"):
        columns[name] = jax.jit(jax.vmap(getattr(mixture, name)))(a, t)
    if a.shape[1] == 1:
        for name in ("cdf", "ode", "ode_derivative"):
            columns[name] = jax.jit(jax.vmap(getattr(mixture, name)))(a[:, 0], t)
        columns["quantile_of"] = jax.jit(jax.vmap(lambda a, t: mixture.quantile_of(a, t, jnp.array(0.3))))(a[:, 0], t)
    return dict(means=plain(mixture.means), weights=plain(mixture.weights), std=mixture.std, points=table(columns))


def exact_estimators(mixture):
    """bptt and chain of a 1-D world with the exact ODE instead of Euler steps."""

    def chain(v, q, a, t):
        return jax.grad(q)(mixture.ode(a[0], t)[None])

    def bptt(v, q, a, t):
        return mixture.ode_derivative(a[0], t) * chain(v, q, a, t)

    return dict(bptt=bptt, chain=chain)


def guidance_case(toy, actions, times, estimators):
    flow = Flow(toy.mixture.velocity, STEPS)
    a, t = pairs(actions, times)
    ask = lambda estimator: jax.jit(jax.vmap(lambda a, t: estimator(flow, toy.critic, a, t)))(a, t)
    return table(dict(a=a, t=t) | {name: ask(estimator) for name, estimator in estimators.items()})


def sampling_case(toy, starts, estimators):
    a0 = jnp.array(starts)
    v, q = toy.mixture.velocity, toy.critic
    run = lambda guide: jax.jit(
        jax.vmap(lambda a0: sample(v, q, a0, guide, WEIGHT, STEPS, -jnp.inf, jnp.inf, trace=True).a)
    )(a0)
    return table(dict(a0=a0) | {name: run(estimator) for name, estimator in estimators.items()})


def main():
    jax.config.update("jax_enable_x64", True)
    plane = Mixture(jnp.array([[1.0, 0.5], [-1.0, 0.8], [0.2, -1.1]]), jnp.array([1.0, 2.0, 1.5]), 0.2)
    in_plane = World(plane, best=0.5, height=2.0, centre=1.5, width=0.6, steps=STEPS)
    times = [0.0, 0.13, 0.5, 0.77, 0.98, 1.0]
    line_actions = [[-2.9], [-1.1], [-0.43], [0.02], [0.61], [1.7]]
    plane_actions = [[0.1, -0.2], [-1.4, 0.9], [0.7, 1.6]]
    out = dict(steps=STEPS, weight=WEIGHT)
    out["ndtr"] = [[z, float(ndtr(z))] for z in (-30.0, -8.3, -5.66, -5.65, -2.1, -0.68, -0.67, -1e-3, 0.4, 1.9, 6.0)]
    for name, toy, actions in (
        ("landing", world("landing"), line_actions),
        ("gradients", world("gradients"), line_actions),
        ("plane", in_plane, plane_actions),
    ):
        out[name] = dict(
            mixture=mixture_case(toy.mixture, actions, times),
            critic=[[a, float(toy.critic(jnp.array(a))), float(toy.true_return(jnp.array(a)))] for a in actions],
            euler=guidance_case(toy, actions, times[1:4], ESTIMATORS),
            samples=sampling_case(toy, actions[:3], {name: ESTIMATORS[name] for name in LOCAL}),
        )
        if toy is not in_plane:
            exact = exact_estimators(toy.mixture)
            out[name]["exact"] = guidance_case(toy, actions, times[1:4], exact)
            out[name]["exact_samples"] = sampling_case(toy, actions[:3], exact)
    path = Path(__file__).parent / "tests" / "fixtures.json"
    path.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
