"""Latency: ways take turns, ratios are to the first, and what is read is what can be counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qgf
from qgf.deployment import bench as module
from qgf.deployment.bench import LEAST, bench
from qgf.errors import UserError
from qgf.method.flops import work
from qgf.method.guided import guided_flow
from qgf.networks.critic import CriticEnsemble
from qgf.networks.velocity import VelocityField
from qgf.types import Calibration

OBS, T, WIDTH = 3, 4, 8


@pytest.fixture(scope="module")
def policy():
    flow, critic = jax.random.split(jax.random.key(0))
    ensemble = CriticEnsemble(OBS, 4, WIDTH, 2, 2, critic)
    velocity = VelocityField(OBS, 4, WIDTH, 2, flow)
    value = jax.tree_util.Partial(lambda ensemble, obs, a: ensemble(obs, a).min(-1), ensemble)
    return guided_flow(velocity, value, 2, "none", 0.0, horizon=2, steps=T, calibration=Calibration(0.3, 1.0))


def test_weights_are_counted_as_often_as_they_are_read():
    w, x = jnp.ones((4, 5)), jnp.ones(4)
    product = lambda w, x: x @ w
    assert work(product, w, x) == (2 * 4 * 5, 4 * 4 * 5)
    assert work(product, w, jnp.ones((7, 4))) == (7 * 2 * 4 * 5, 4 * 4 * 5)  # once for the whole batch
    assert work(lambda w, x: jax.grad(lambda x: jnp.sum((x @ w) ** 2))(x), w, x) == (80 + 0, 2 * 80)
    assert work(lambda _, x, w: x @ w, (), x, w).read == 0  # no weights, arguments
    ten = lambda w, x: jax.lax.scan(lambda x, _: (jnp.tanh(x @ w @ w.T), None), x, None, 10)[0]
    assert work(ten, w, x).read == 10 * 2 * 4 * 4 * 5
    assert work(lambda w, x: x @ w.astype(jnp.bfloat16), w, x.astype(jnp.bfloat16)).read == 2 * 4 * 5


@pytest.mark.parametrize("guide", ["none", "qgf", "jacobian", "bptt"])
def test_a_decision_reads_two_bytes_for_each_flop_of_one_observation(policy, guide):
    one, many = (module.counted(policy.guided(guide, weight=0.1), np.zeros((n, OBS), np.float32)) for n in (1, 5))
    assert one.read == many.read == 2 * one.flop  # 4 bytes a weight, 2 FLOP
    assert many.flop == 5 * one.flop


def test_ways_take_turns_and_are_compared_with_the_first(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def way(name, takes):
        def act(obs, key):
            order.append((name, len(obs)))
            now[0] += takes * (10 if len(order) == 41 else 1)
            return np.zeros((len(obs), 2))

        return act

    rows = bench(dict(a=way("a", 0.002), b=way("b", 0.006)), np.zeros(OBS), (1, 3), calls=1000, seconds=0.5)
    assert [(row.name, row.batch) for row in rows] == [("a", 1), ("b", 1), ("a", 3), ("b", 3)]
    assert order[:8] == [("a", 1), ("b", 1), ("a", 3), ("b", 3)] * 2
    assert [row.ratio for row in rows] == pytest.approx([1, 3, 1, 3]) and rows[1].median_ms == pytest.approx(6)
    assert rows[0].p99_ms > 10 > rows[2].p99_ms  # the one late call
    assert {row.calls for row in rows} == {31}  # half a second of 16 ms a turn, once 18 more, ended by the clock
    few = bench(way("c", 1.0), np.zeros(OBS), (1,), calls=50, seconds=0.1)
    assert few[0].calls == LEAST and few[0].name == "policy" and few[0].mflop is few[0].bandwidth is None


def test_of_a_policy_the_program_is_counted(policy):
    row, done = bench(policy, np.zeros(OBS, np.float32), (2,), calls=1)[0], module.counted(policy, np.zeros((2, OBS)))
    assert (row.calls, row.mflop, row.weights_mb) == (1, done.flop / 1e6, done.read / 1e6)
    assert row.bandwidth > 0


def test_what_makes_no_sense_is_refused(policy):
    obs = np.zeros(OBS, np.float32)
    with pytest.raises(UserError, match="at least one way"):
        qgf.bench({}, obs)
    with pytest.raises(UserError, match=r"at least 1, got \[1, 0\]"):
        qgf.bench(policy, obs, (1, 0))
    with pytest.raises(UserError, match="one size of batch"):
        qgf.bench(policy, obs, ())


def test_reading_is_measured():
    assert 1e7 < module.read_rate(2**16, calls=3) < 1e13
