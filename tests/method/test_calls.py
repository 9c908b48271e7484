"""What a policy can be called with: observations, keys, bounds, batches of every size."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.errors import UserError
from qgf.method.guided import best_of, calibrate, guided_flow
from qgf.method.observations import ObsSpec, padded, read
from qgf.method.policy import act_jit
from qgf.method.toy import Mixture
from qgf.types import Calibration


def flow(obs, a, t):
    """The exact flow to N(0.2 obs[0], 0.3^2 I)."""
    return Mixture(0.2 * obs[0] * jnp.ones((1, a.size), a.dtype), jnp.ones(1, a.dtype), 0.3).velocity(a, t)


def value(obs, a):
    return -jnp.sum((a - 0.3 * obs[1]) ** 2)


def policy(velocity=flow, critic=value, **changes):
    return guided_flow(velocity, critic, **(dict(action_dim=2, horizon=3, weight=0.4, obs_spec=2) | changes))


OBS = np.random.default_rng(5).normal(size=(7, 2)).astype(np.float32)
KEY = jax.random.key(6)


def refused(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# One observation or a batch


def test_one_observation_gives_one_chunk_that_of_a_batch_of_one():
    pi = policy()
    alone = pi(OBS[3], KEY)
    assert alone.shape == (3, 2)
    assert_array_equal(alone, pi(OBS[3:4], KEY)[0])
    assert_array_equal(pi(OBS[3].tolist(), KEY), alone)
    assert pi(OBS, KEY).shape == (7, 3, 2) and pi(OBS.tolist(), KEY).shape == (7, 3, 2)
    actions, info = pi(OBS[3], KEY, info=True)
    assert_array_equal(actions, alone)
    assert info.value.shape == info.finite.shape == ()
    assert_allclose(info.value, value(OBS[3], actions.ravel()), rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (7, 3), (2, 7, 2), (0, 2)])
def test_any_other_observation_is_refused(shape):
    said = refused(lambda: policy()(np.zeros(shape, np.float32), KEY))
    assert said == (
        "obs holds no observation: its first axis has length 0"
        if shape == (0, 2)
        else f"obs has shape {list(shape)}, expected [2] or [B, 2]"
    )


def test_observations_of_any_structure_are_checked_leaf_by_leaf():
    tree = lambda *n: dict(image=np.zeros((*n, 4, 4, 3), np.uint8), state=[np.zeros((*n, 2))])
    v = lambda obs, a, t: flow(obs["state"][0], a, t) + 0.0 * obs["image"].mean()
    for spec in (dict(image=(4, 4, 3), state=[(2,)]), tree()):
        pi = policy(velocity=v, critic=lambda obs, a: -jnp.sum(a**2), obs_spec=spec, guide="none", steps=1)
        assert pi(tree(), KEY).shape == (3, 2)
        assert pi(tree(4), KEY).shape == (4, 3, 2)
    mixed = tree(5) | dict(state=tree()["state"])
    said = "obs: not the same number of observations in every part: obs['image'] 5, obs['state'][0] one"
    assert refused(lambda: pi(mixed, KEY)) == said
    wrong = tree(5) | dict(image=np.zeros((5, 4, 4)))
    said = "obs['image'] has shape [5, 4, 4], expected [4, 4, 3] or [B, 4, 4, 3]"
    assert refused(lambda: pi(wrong, KEY)) == said
    assert refused(lambda: pi(dict(image=tree()["image"]), KEY)).startswith("obs is a PyTreeDef(")


def test_without_a_spec_the_batch_is_the_leading_axis_of_every_leaf():
    pi = policy(velocity=lambda o, a, t: flow(o["x"], a, t), critic=lambda o, a: value(o["x"], a), obs_spec=None)
    assert pi(dict(x=OBS, y=np.zeros(7)), KEY).shape == (7, 3, 2)
    said = refused(lambda: pi(dict(x=OBS, y=np.zeros(6)), KEY))
    assert said == "obs: not the same number of observations in every part: obs['x'] 7, obs['y'] 6"
    assert refused(lambda: pi(dict(x=OBS, y=1.0), KEY)).startswith("obs['y'] has no axis")
    assert refused(lambda: pi({}, KEY)) == "obs holds no array"


class Torch:
    """As much of a PyTorch tensor as is asked of one: NumPy does not take it before it is detached."""

    def __init__(self, x):
        self.shape, self.dtype, self.x = x.shape, "torch.float32", x

    def detach(self):
        return self

    def cpu(self):
        return self.x


ROWS = OBS[:2]
WAYS = dict(
    lists=ROWS.tolist(), torch=Torch(ROWS), pandas=pandas.DataFrame(ROWS), objects=ROWS.astype(object),
    float64=ROWS.astype(float), turned=ROWS.astype(">f4"), nothing_masked=np.ma.masked_array(ROWS),
    columns=np.asfortranarray(ROWS),
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_observations_of_every_library_mean_the_same(way):
    """Bytes in another order are other numbers to whoever takes them as they are."""
    pi = policy()
    assert_allclose(pi(WAYS[way], KEY), pi(ROWS, KEY), atol=1e-6)


def test_a_row_of_a_table_is_one_observation():
    pi = policy()
    assert_allclose(pi(pandas.DataFrame(ROWS).iloc[0], KEY), pi(ROWS[0], KEY), atol=1e-6)


@pytest.mark.parametrize(
    "obs, said",
    [
        (ROWS.astype(str), "obs has type <U32, expected numbers"),
        (ROWS + 1j, "obs has type complex64, expected numbers"),
        (np.ma.masked_array(ROWS, mask=[[0, 0], [0, 1]]), "obs is masked in 1 places"),
        (pandas.DataFrame(ROWS).assign(name="x"), "obs is no array of numbers"),
        ([[0.0, 1.0], [2.0]], "obs is no array of numbers"),
        (dict(state=ROWS), "obs is no array of numbers"),
    ],
)
def test_what_is_no_number_is_refused(obs, said):
    assert said in refused(lambda: policy()(obs, KEY))


def test_specs_say_the_same_in_every_way_of_writing():
    same = {ObsSpec.of(x) for x in (2, (2,), [2], np.zeros(2, np.float32), jax.ShapeDtypeStruct((2,), np.float32))}
    assert len(same) == 1 and ObsSpec.of(next(iter(same))) in same
    assert "obs_spec: expected an array or a shape" in refused(lambda: ObsSpec.of("image"))
    assert "no array of numbers" in refused(lambda: read([[1.0], [1.0, 2.0]], ObsSpec.of(2)))


def test_calibration_takes_a_batch():
    assert calibrate(policy(), OBS, KEY, 8).calibration.sigma > 0
    assert "takes a batch" in refused(lambda: calibrate(policy(), OBS[0], KEY))


# Keys


def test_keys_of_every_kind_mean_the_same():
    pi = policy()
    expected = pi(OBS, jax.random.key(3))
    for key in (3, np.int64(3), jax.random.PRNGKey(3), np.asarray(jax.random.PRNGKey(3)), jnp.asarray(3)):
        assert_array_equal(pi(OBS, key), expected)
        assert_array_equal(act_jit(pi, OBS, key)[0].shape, (7, 3, 2))
    each = jax.random.split(jax.random.key(3), 7)
    for keys in (each, jax.random.key_data(each), np.asarray(jax.random.key_data(each))):
        assert_array_equal(pi(OBS, keys), expected)
    with_old = jax.jit(best_of(pi, 4))(OBS, jax.random.PRNGKey(3))[0]
    assert_array_equal(with_old, jax.jit(best_of(pi, 4))(OBS, jax.random.key(3))[0])


@pytest.mark.parametrize("key", [None, 1.5, "seed", True, 2**70, np.zeros(2), jax.random.split(jax.random.key(0), 6)])
def test_what_is_no_key_is_refused(key):
    assert refused(lambda: policy()(OBS, key)).startswith(
        "key: expected jax.random.key(seed), a whole number, or 7 keys"
    )


# The action range


@pytest.mark.parametrize(
    "low", [-0.2, [-0.2, -0.1], [[-0.3, -0.1], [-0.2, -0.2], [0.0, 0.1]], np.linspace(-0.3, 0.1, 6)], ids=np.shape
)
def test_a_bound_is_a_number_or_per_dimension(low):
    whole = np.broadcast_to(np.asarray(low, np.float32).reshape(-1, 2) if np.size(low) == 6 else low, (3, 2))
    found = policy(low=low, high=0.4)(OBS, KEY)
    free = policy(low=-9, high=9, guide="none")(OBS, KEY)
    unguided = policy(low=low, high=0.4, guide="none")(OBS, KEY)
    assert_allclose(unguided, np.clip(free, whole, 0.4), rtol=1e-6)
    assert (np.asarray(found) >= whole.astype(np.float32)).all() and np.max(found) <= np.float32(0.4)


def test_bounds_that_make_no_sense_are_refused():
    assert refused(lambda: policy(low=[0, 0, 0])) == "low has shape [3], expected a number, [2], [3, 2] or [6]"
    assert refused(lambda: policy(low=1.0, high=-1.0)) == "low must not be above high, got 1 and -1"
    assert refused(lambda: policy(low=[0.0, 0.5], high=[1.0, 0.25])) == "low must not be above high, got 0.5 and 0.25"
    assert "low must not be above high" in refused(lambda: policy(low=np.nan))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_and_strengths_that_are_not_finite_are_refused(bad):
    scale = Calibration(0.5, 4.0)
    assert refused(lambda: policy(weight=bad)) == f"weight must be finite, got {bad}"
    assert (
        refused(lambda: policy(weight=None, strength=bad, calibration=scale)) == f"strength must be finite, got {bad}"
    )
    assert "weight must be finite" in refused(lambda: policy().guided(weight=bad))
    broken = policy(calibration=Calibration(bad, 4.0))
    assert "calibration is not finite (sigma" in refused(lambda: broken.guided(strength=1.0))
    assert broken.guided("none").weight == 0


def test_sizes_are_whole_numbers():
    assert refused(lambda: policy(steps=2.5)) == "steps must be a whole number, got 2.5"
    assert "unknown fallback 'none'" in refused(lambda: policy(fallback="none"))


# Batches of every size


def test_a_hundred_batch_sizes_compile_eight_programs():
    traced = []

    def v(obs, a, t):
        traced.append(1)
        return -a

    pi = policy(velocity=v, critic=lambda obs, a: jnp.sum(a), guide="none", steps=1)
    count = len(traced)
    pi(np.zeros((1, 2), np.float32), KEY)
    once = len(traced) - count
    for batch in range(1, 101):
        assert pi(np.zeros((batch, 2), np.float32), KEY).shape == (batch, 3, 2)
    assert len(traced) - count == 8 * once


@pytest.mark.parametrize("samples", [1, 3])
def test_padding_changes_no_row(samples):
    pi, batch = policy(best_of=samples), 5
    whole = eqx.filter_jit(lambda pi, obs, key: pi.act(obs, key, whole=True))
    for key in (KEY, jax.random.split(KEY, batch)):
        found, info = pi(OBS[:batch], key, info=True)
        expected, told = whole(pi, OBS[:batch], key)
        assert found.shape == (batch, 3, 2) and info.value.shape == (batch,)
        assert_array_equal(found, expected)
        for mine, theirs in zip(info, told, strict=True):
            assert_array_equal(mine, theirs)


def test_rows_are_padded_with_the_last_and_cut():
    seen = []

    def call(rows):
        seen.append(rows)
        return dict(double=2 * rows)

    result = padded(call, np.arange(5.0), 5)
    assert_array_equal(seen[0], [0, 1, 2, 3, 4, 4, 4, 4])
    assert_array_equal(result["double"], 2 * np.arange(5.0))
    assert padded(lambda rows: rows, np.arange(4.0), 4).shape == (4,)
    jitted = jax.jit(lambda x: padded(lambda rows: rows + 1, x, 5))(np.arange(5.0))
    assert_array_equal(jitted, np.arange(5.0) + 1)


def test_a_policy_may_be_called_inside_a_program():
    pi = policy()
    jitted = jax.jit(lambda obs, key: pi(obs, key))
    assert_allclose(jitted(OBS, KEY), pi(OBS, KEY), rtol=1e-5, atol=1e-6)
    each = jax.vmap(lambda obs, key: pi(obs, key))(OBS, jax.random.split(KEY, 7))
    one = [pi(o, k) for o, k in zip(OBS, jax.random.split(KEY, 7), strict=True)]
    assert_allclose(each, one, rtol=1e-5, atol=1e-6)


def test_two_calibrations_share_one_program():
    traced = []

    def v(obs, a, t):
        traced.append(1)
        return -a

    make = lambda scale: policy(velocity=v, obs_spec=None, calibration=scale, weight=0.1)
    first = make(Calibration(0.5, 4.0))
    first(OBS, KEY)
    count = len(traced)
    other = make(Calibration(0.25, 3.0))
    other(OBS, KEY)
    assert len(traced) == count > 0
    assert (first.calibration, other.calibration) == (Calibration(0.5, 4.0), Calibration(0.25, 3.0))


def test_a_batch_of_another_size_compiles_nothing():
    """Not even to bring the result back: a program a size is a megabyte a size, for as long as the process acts."""
    compiled = []
    count = lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    policy = guided_flow(lambda obs, a, t: -a, lambda obs, a: a.sum(), action_dim=2, weight=0.1, steps=2)
    act = lambda n: policy(np.zeros((n, 3), np.float32), jax.random.key(0))
    act(128), act(120)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        act(64)
        assert compiled  # they are counted
        compiled.clear()
        for n in range(100, 112):
            act(n)
        assert compiled == []
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
