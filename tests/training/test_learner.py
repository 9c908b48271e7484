"""The learner against hand-written Adam steps and against itself taken apart."""

import gc
import weakref
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.critics.losses import critic_loss, td_target, value_loss
from qgf.training.device import Chunks, batch_at
from qgf.training.learner import Learner
from qgf.training.methods.bc import BC
from qgf.types import Spec

SPEC = Spec(obs_dim=3, action_dim=2, horizon=4)


def chunks(rows=200, starts=None, seed=0):
    rng = np.random.default_rng(seed)
    starts = np.arange(rows - SPEC.horizon) if starts is None else np.array(starts)
    values = rng.normal(size=(rows, 3)), rng.uniform(-1, 1, (rows, 2)), rng.normal(size=len(starts))
    obs, actions, returns = (jnp.array(x, jnp.float32) for x in values)
    bootstrap = jnp.array(rng.choice([0, 0.96], len(starts)), jnp.float32)
    return Chunks(obs, actions, jnp.array(starts, jnp.int32), returns, bootstrap)


def iql_learner(frozen=None, depth=1, precision=None):
    return Learner(BC(width=16, depth=depth), SPEC, 1e-2, 8, frozen, precision)


LEARNER = iql_learner()


def fresh(learner, seed):
    """The first state of one seed."""
    return jax.jit(learner.init)(jax.random.key(seed))


def copy(state):
    """Of a state whose buffers the next call would take over."""
    return jax.tree.map(jnp.copy, state)


def assert_trees(compare, a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        compare(np.asarray(x), np.asarray(y), **tolerance)


def differs(a, b):
    return any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


class Two(NamedTuple):
    left: jax.Array
    right: jax.Array


class Quadratics:
    """Two losses, each looking at both parts; `after` counts the updates in nothing but the second."""

    def init(self, spec, key):
        return Two(jnp.array(1.0), jnp.array([2.0, -1.0]))

    def start(self, nets, lent):
        return nets

    def losses(self):
        left = lambda x, nets, batch, key: ((x - batch.returns[0]) ** 2 * nets.right[0], dict(seen=x))
        right = lambda x, nets, batch, key: (jnp.sum(nets.left * x**2), {})
        return dict(left=left, right=right)

    def after(self, nets):
        return nets._replace(right=nets.right + 0.5)


def test_updates_are_adam_on_each_part_alone(float64):
    """Adam by its formula; each gradient takes the other part as a constant of the same moment."""
    one = chunks(starts=[3])
    learner, rate = Learner(Quadratics(), SPEC, 0.1, 1), 0.1
    state = fresh(learner, 0)
    x, target = [np.array([1.0]), np.array([2.0, -1.0])], float(one.returns[0])
    m, v = [0 * p for p in x], [0 * p for p in x]
    for k in range(1, 5):
        g = [2 * (x[0] - target) * x[1][0], 2 * x[0] * x[1]]
        state, logs = learner.update(state, one)
        assert_allclose(logs["loss/left"], (x[0][0] - target) ** 2 * x[1][0], rtol=1e-6)
        assert_allclose(logs["loss/right"], x[0][0] * np.sum(x[1] ** 2), rtol=1e-6)
        assert_allclose(logs["seen"], x[0][0], rtol=1e-6)
        for i in range(2):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g[i], 0.999 * v[i] + 0.001 * g[i] ** 2
            x[i] = x[i] - rate * (m[i] / (1 - 0.9**k)) / (np.sqrt(v[i] / (1 - 0.999**k)) + 1e-8)
        x[1] = x[1] + 0.5
        assert_allclose(state.nets.left, x[0][0], rtol=1e-6)
        assert_allclose(state.nets.right, x[1], rtol=1e-6)
        assert int(state.step) == k


def test_one_iql_update_equals_separate_optax_steps():
    one, learner = chunks(starts=[7]), LEARNER
    batch = batch_at(one, jnp.zeros(8, int), SPEC.horizon)
    state = fresh(learner, 1)
    nets, new = state.nets, jax.jit(learner.update)(state, one)[0].nets
    losses = dict(
        critic=lambda critic: critic_loss(critic, td_target(nets.value, batch), batch)[0],
        value=lambda value: value_loss(value, nets.target, batch, 0.9)[0],
    )
    for part, loss in losses.items():
        before, adam = getattr(nets, part), optax.adam(1e-2)
        steps, _ = adam.update(jax.jit(jax.grad(loss))(before), adam.init(before))
        assert_trees(assert_allclose, getattr(new, part), optax.apply_updates(before, steps), rtol=1e-5, atol=1e-6)
    drift = jax.tree.map(lambda t, q: t + 0.005 * (q - t), nets.target, new.critic)
    assert_trees(assert_allclose, new.target, drift, rtol=1e-5, atol=1e-7)
    assert differs(nets.flow, new.flow)


def test_targets_start_as_copies_of_the_critics():
    nets = fresh(LEARNER, 1).nets
    assert_trees(assert_array_equal, nets.target, nets.critic)


def test_run_equals_single_updates():
    learner, data = LEARNER, chunks()
    state = fresh(learner, 2)
    together, logs = learner.run(copy(state), data, 6)
    history, update = [], jax.jit(learner.update)
    for _ in range(6):
        state, log = update(state, data)
        history.append(log)
    assert_trees(assert_allclose, together, state, rtol=1e-5, atol=1e-6)
    for key, mean in logs.items():
        assert_allclose(mean, np.mean([log[key] for log in history]), rtol=1e-5, atol=1e-6)


def test_short_runs_in_a_row_equal_one_long_run_to_the_bit():
    data, split = chunks(), fresh(LEARNER, 2)
    whole, _ = LEARNER.run(copy(split), data, 6)
    for _ in range(3):
        split, _ = LEARNER.run(split, data, 2)
    assert_trees(assert_array_equal, split, whole)


@pytest.mark.parametrize("part", ["flow", "critic", "value"])
def test_freezing_a_part_keeps_it_and_moves_the_others_as_before(part):
    data, free = chunks(), LEARNER
    start = fresh(free, 3)
    frozen = iql_learner(frozen={part: getattr(start.nets, part)})
    state = fresh(frozen, 3)
    assert_trees(assert_array_equal, state.nets, start.nets)
    trained, logs = frozen.run(copy(state), data, 1)
    assert_trees(assert_array_equal, getattr(trained.nets, part), getattr(start.nets, part))
    assert f"loss/{part}" not in logs
    reference = free.run(copy(start), data, 1)[0].nets
    for other in {"critic", "value"} - {part}:  # the flow's noise depends on the place of its loss
        assert_trees(assert_allclose, getattr(trained.nets, other), getattr(reference, other), rtol=1e-5, atol=1e-6)
    assert all(differs(getattr(trained.nets, p), getattr(start.nets, p)) for p in {"flow", "critic", "value"} - {part})


def test_a_frozen_network_replaces_the_one_drawn():
    donor = fresh(LEARNER, 8).nets.flow
    state = fresh(iql_learner(frozen=dict(flow=donor)), 3)
    assert_trees(assert_array_equal, state.nets.flow, donor)


def test_seeds_side_by_side_equal_separate_runs():
    learner, data = LEARNER, chunks()
    keys = jax.random.split(jax.random.key(4), 3)
    together, logs = learner.run(jax.jit(jax.vmap(learner.init))(keys), data, 6)
    assert logs["loss/flow"].shape == (3,)
    for i, key in enumerate(keys):
        alone, log = learner.run(jax.jit(learner.init)(key), data, 6)
        assert_trees(
            assert_allclose, jax.tree.map(lambda x, i=i: x[i], together.nets), alone.nets, rtol=1e-4, atol=1e-5
        )
        assert_allclose(logs["loss/critic"][i], log["loss/critic"], rtol=1e-4)
    assert len(np.unique(logs["loss/flow"])) == 3


def test_batch_at_indexes_the_dataset():
    rng = np.random.default_rng(5)
    starts = np.sort(rng.choice(190, 50, replace=False))
    data, rows = chunks(starts=starts), rng.integers(0, 50, 12)
    batch = batch_at(data, jnp.array(rows), SPEC.horizon)
    for i, row in enumerate(rows):
        first = starts[row]
        assert_array_equal(batch.obs[i], data.obs[first])
        assert_array_equal(batch.actions[i], np.asarray(data.actions)[first : first + 4].ravel())
        assert_array_equal(batch.next_obs[i], data.obs[first + 4])
        assert_array_equal(batch.returns[i], data.returns[row])
        assert_array_equal(batch.bootstrap[i], data.bootstrap[row])


def test_batches_are_drawn_uniformly_and_anew():
    class Spy(Quadratics):
        def losses(self):
            return dict(
                left=lambda x, nets, batch, key: (0 * x, dict(mean=batch.returns.mean(), noise=jax.random.normal(key)))
            )

    data = chunks(rows=1004)._replace(returns=jnp.arange(1000.0))
    learner = Learner(Spy(), SPEC, 0.1, 64)
    state, seen = fresh(learner, 0), []
    for _ in range(200):
        state, logs = learner.run(state, data, 1)
        seen.append((float(logs["mean"]), float(logs["noise"])))
    means, noise = np.array(seen).T
    assert_allclose(means.mean(), 499.5, atol=5 * 289 / np.sqrt(200 * 64))
    assert_allclose(means.std(), 289 / 8, rtol=0.25)
    assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.25)
    assert len(set(means)) > 190 and len(set(noise)) == 200


def test_training_stays_on_the_device():
    learner, data = LEARNER, chunks()
    state, _ = learner.run(fresh(learner, 0), data, 2)
    jax.block_until_ready(state)
    with jax.transfer_guard("disallow"):
        state, _ = learner.run(state, data, 2)
        jax.block_until_ready(state)
    assert int(state.step) == 4


def test_training_lowers_every_loss_on_data_it_can_fit():
    learner, data = LEARNER, chunks(starts=range(40))
    start = fresh(learner, 0)
    before = learner.validate(start, data, 512)
    after = learner.validate(learner.run(start, data, 400)[0], data, 512)
    assert after["loss/critic"] < 0.3 * before["loss/critic"]
    assert after["loss/flow"] < before["loss/flow"]


def test_validate_is_a_fixed_draw_that_changes_nothing():
    learner, data = LEARNER, chunks()
    state = fresh(learner, 0)
    kept = copy(state)
    first, again = (learner.validate(state, data, 64) for _ in range(2))
    assert first == again and set(first) >= {"loss/flow", "loss/critic", "loss/value"}
    assert_trees(assert_array_equal, state, kept)
    seeds = jax.jit(jax.vmap(learner.init))(jax.random.split(jax.random.key(4), 2))
    one = learner.validate(jax.tree.map(lambda x: x[1], seeds), data, 64)
    assert_allclose(learner.validate(seeds, data, 64)["loss/flow"][1], one["loss/flow"], rtol=1e-5)


# Precision


def test_bfloat16_trains_about_the_same_two_seeds():
    data, keys = chunks(), jax.random.split(jax.random.key(4), 2)
    run = lambda learner: learner.run(jax.jit(jax.vmap(learner.init))(keys), data, 20)
    (exact, logs), (rounded, close) = (run(iql_learner(depth=2, precision=p)) for p in (None, "bfloat16"))
    assert set(close) == set(logs)
    for name in ("loss/flow", "loss/critic", "loss/value"):
        assert_allclose(close[name], logs[name], rtol=0.01)
        assert not np.array_equal(close[name], logs[name])
    assert eqx.tree_equal(*(jax.eval_shape(lambda x=x: x) for x in (rounded, exact)))
    assert {x.dtype.name for x in jax.tree.leaves((rounded.nets, rounded.optimiser))} == {"float32", "int32"}


def test_a_learner_without_a_precision_follows_its_surroundings():
    plain, rounded = (iql_learner(depth=2, precision=p) for p in (None, "bfloat16"))
    state, data = fresh(plain, 0), chunks()
    batch = batch_at(data, jnp.arange(8), SPEC.horizon)
    losses = lambda learner: jax.jit(learner.loss)(learner.program.trained(state.nets), state.nets, batch, state.key)
    exact, expected = losses(plain), losses(rounded)
    with jax.default_matmul_precision("bfloat16"):
        assert_trees(assert_array_equal, losses(plain), expected)
    assert differs(exact, expected)


def test_learners_of_equal_settings_share_a_program_which_keeps_no_networks():
    data, compiled = chunks(), lambda: type(LEARNER.program).run._cache_size()
    lent = fresh(LEARNER, 3).nets.flow
    for k in range(2):
        learner = iql_learner(dict(flow=jax.tree.map(jnp.copy, lent)))
        learner.run(fresh(learner, k), data, 3)
        if k == 0:
            before, kept = compiled(), weakref.ref(learner.frozen["flow"])
    assert compiled() == before
    del learner
    gc.collect()
    assert kept() is None
    assert len({iql_learner().program, LEARNER.program, iql_learner(depth=2).program}) == 2
