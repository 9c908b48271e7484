"""Policies as folders: what is written is what is read, and what is damaged, foreign or code is refused."""

import json
import shutil
import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

import qgf
from qgf.errors import UserError
from qgf.files import SUMS, seal, write_json
from qgf.method.guidance import ESTIMATORS
from qgf.method.policy import Policy, with_fields
from qgf.training.saved import load_policy
from qgf.training.weights import WEIGHTS
from qgf.types import Calibration

OBS = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
KEY = jax.random.key(0)


class Pull(eqx.Module):
    """A velocity of somebody else's: arrays, a number, and a static word."""

    weight: jax.Array
    halves: tuple[jax.Array, ...]
    gain: float
    name: str = eqx.field(static=True)

    def __call__(self, obs, a, t):
        return self.gain * (self.weight.astype(jnp.float32) @ obs - a) + sum(self.halves) * t


def bowl(centre, obs, a):
    return -jnp.sum((a - centre) ** 2)


def own(seed=0, **changes):
    rng = np.random.default_rng(seed)
    halves = tuple(jnp.array(rng.normal(size=4), jnp.float32) for _ in range(2))
    v = Pull(jnp.array(rng.normal(size=(4, 2)), jnp.bfloat16), halves, float(rng.uniform(0.5, 1)), "pull")
    q = jax.tree_util.Partial(bowl, jnp.array(rng.normal(size=4), jnp.float32))
    fields = dict(action_dim=2, horizon=2, weight=rng.uniform(0.1, 1), obs_spec=2, low=[-0.9, -0.8], high=0.7)
    return qgf.guided_flow(v, q, **(fields | changes))


def same(a: Policy, b: Policy):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert_array_equal(x, y)
        assert np.asarray(x).dtype == np.asarray(y).dtype
    assert_array_equal(a(OBS, KEY), b(OBS, KEY))


def refused(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_policy_of_pytrees_comes_back_into_one_of_the_same_make(tmp_path):
    changes = dict(guide="gradstep", schedule="linear", best_of=3, steps=4, fallback="unguided")
    pi = own(calibration=Calibration(0.1 + 0.2, 1 / 3), **changes)
    pi.save(tmp_path / "mine")
    same(qgf.Policy.load(tmp_path / "mine", like=own(seed=1)), pi)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [SUMS, "config.json", "model.safetensors"]
    bare = own(calibration=None)
    bare.save(str(tmp_path / "mine"))  # over the one that is there
    same(qgf.Policy.load(str(tmp_path / "mine"), like=pi), bare)


def test_a_trained_policy_needs_no_template(tiny_run, tmp_path):
    pi = tiny_run.policy(guide="ood", strength=0.7, best_of=2, steps=6, schedule="score", fallback="unguided")
    pi.save(tmp_path / "pi")
    again = qgf.Policy.load(tmp_path / "pi")
    same(again, pi)
    assert (again.calibration, again.obs_spec) == (pi.calibration, pi.obs_spec)
    same(again.guided("jacobian", strength=2.0), pi.guided("jacobian", strength=2.0))
    again.save(tmp_path / "copy")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "pi" / name).read_bytes()


def test_a_trained_policy_with_another_critic_needs_a_template(tiny_run, tmp_path):
    q = jax.tree_util.Partial(bowl, jnp.zeros(10))
    pi = with_fields(tiny_run.policy(weight=0.1), critic=q)
    pi.save(tmp_path)
    assert "no trained ones: Policy.load(directory, like=policy)" in refused(lambda: load_policy(tmp_path))
    same(load_policy(tmp_path, like=pi), pi)


def test_a_run_is_loaded_as_before(tiny_run):
    pi = qgf.Policy.load(tiny_run.directory)
    same(pi, tiny_run.policy())
    same(qgf.Policy.load(tiny_run.directory / "policy"), pi)


def test_functions_are_stored_by_their_registered_name_or_not_at_all(tmp_path):
    own(guide=ESTIMATORS["jacobian"]).save(tmp_path / "named")
    assert load_policy(tmp_path / "named", like=own()).guide == "jacobian"

    def sideways(v, q, a, t):
        return ESTIMATORS["qgf"](v, q, a, t)[::-1]

    said = refused(lambda: own(guide=sideways).save(tmp_path / "no"))
    assert said == "guide sideways has no name in the registry: add it there to save the policy"
    said = refused(lambda: own(schedule=lambda t: t).save(tmp_path / "no"))
    assert "schedule <lambda> has no name in the registry" in said
    assert not (tmp_path / "no").exists()
    ESTIMATORS["sideways"] = sideways
    try:
        own(guide=sideways).save(tmp_path / "yes")
        same(load_policy(tmp_path / "yes", like=own()), own(guide="sideways"))
    finally:
        del ESTIMATORS["sideways"]
    assert "unknown guide 'sideways'" in refused(lambda: load_policy(tmp_path / "yes", like=own()))


def test_weights_inside_a_closure_are_refused(tmp_path):
    matrix = jnp.ones((4, 2))
    pi = qgf.guided_flow(lambda o, a, t: matrix @ o - a, lambda o, a: jnp.sum(a), 2, horizon=2, weight=0.1)
    said = refused(lambda: pi.save(tmp_path / "pi"))
    assert said.startswith("velocity closes over its weights, which cannot be saved from there")
    assert not (tmp_path / "pi").exists()
    code = qgf.guided_flow(lambda o, a, t: -a, lambda o, a: jnp.sum(a), 2, horizon=2, weight=0.25)
    code.save(tmp_path / "code")
    same(load_policy(tmp_path / "code", like=code.guided(weight=9.0)), code)


def test_a_random_key_among_the_weights_is_refused(tmp_path):
    noisy = jax.tree_util.Partial(lambda key, o, a, t: -a + jax.random.normal(key, a.shape), jax.random.key(0))
    pi = qgf.guided_flow(noisy, lambda o, a: jnp.sum(a), 2, horizon=2, weight=0.1)
    assert "is a random key and cannot be saved" in refused(lambda: pi.save(tmp_path / "pi"))
    assert not (tmp_path / "pi" / "config.json").exists()


def test_a_policy_of_another_make_is_refused(tmp_path, tiny_run):
    own().save(tmp_path)
    assert "belongs to another policy, horizon is 2, not 5" in refused(lambda: load_policy(tmp_path, tiny_run.policy()))
    other = with_fields(own(), critic=jax.tree_util.Partial(bowl, (jnp.zeros(2), jnp.zeros(2))))
    assert "belongs to another policy" in refused(lambda: load_policy(tmp_path, like=other))
    other = with_fields(own(), critic=jax.tree_util.Partial(bowl, jnp.zeros((4, 1))))
    assert "should be [4, 1], found [4]" in refused(lambda: load_policy(tmp_path, like=other))


@pytest.mark.parametrize(
    "change",
    [
        dict(policy_format=99), dict(guide=5), dict(guide="qfg"), dict(guide=[]), dict(steps="ten"), dict(steps=0),
        dict(steps=2.5), dict(best_of=None), dict(schedule={}), dict(calibration=3), dict(calibration=dict(sigma=1)),
        dict(calibration=dict(sigma="x", grad_norm=1)), dict(trained=dict(method={}, spec={})), dict(trained=7),
        dict(trained=dict(method=dict(name="bc"), spec=dict(obs_dim="x", action_dim=2, horizon=5))),
        dict(fallback="never"), dict(horizon=3), "horizon", "guide", "trained",
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_config_is_one_line(tiny_run, tmp_path, change):
    tiny_run.policy().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if isinstance(change, str):
        del config[change]
    else:
        config |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(lambda: load_policy(tmp_path))


@pytest.mark.parametrize("name", ["velocity.std", "critic.std", "critic.limits"])
def test_what_scales_by_less_than_nothing_is_refused(name, tiny_run, tmp_path):
    """A stranger's folder, whose sums fit."""
    tiny_run.policy().save(tmp_path / "pi")
    weights = load_file(tmp_path / "pi" / WEIGHTS)
    save_file(weights | {name: -weights[name]}, tmp_path / "pi" / WEIGHTS)
    seal(tmp_path / "pi" / WEIGHTS)
    assert f"{name.partition('.')[2]} holds -" in refused(lambda: load_policy(tmp_path / "pi"))


def test_a_state_that_only_the_config_has_takes_no_memory(tiny_run, tmp_path):
    tiny_run.policy().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["trained"]["spec"]["obs_dim"] = 10**6
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / SUMS).unlink()
    tracemalloc.start()
    try:
        assert "belongs to another policy" in refused(lambda: load_policy(tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 20e6  # 17 of them to read a file at all
    finally:
        tracemalloc.stop()


def test_damaged_files_are_one_line(tiny_run, tmp_path):
    tiny_run.policy().save(tmp_path / "pi")
    weights, config = (tmp_path / "pi" / name for name in ("model.safetensors", "config.json"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "is not what was written" in refused(lambda: load_policy(tmp_path / "pi"))
    (tmp_path / "pi" / SUMS).unlink()
    for content in (whole[:100], whole[: len(whole) // 2], b"", b"\0" * 64):
        weights.write_bytes(content)
        assert "truncated or not a safetensors file" in refused(lambda: load_policy(tmp_path / "pi"))
    weights.unlink()
    assert "no such file" in refused(lambda: load_policy(tmp_path / "pi"))
    for text in ("", "{", "[]", "5", "null"):
        config.write_text(text)
        refused(lambda: load_policy(tmp_path / "pi"))
    shutil.rmtree(tmp_path / "pi")
    assert "not a policy" in refused(lambda: load_policy(tmp_path / "pi"))


# Weights that nobody trained


def spoilt(folder, name, change):
    """Rewrite one array of a policy; its sum is right, as a stranger's would be."""
    path = folder / "model.safetensors"
    arrays = load_file(path)
    arrays[name] = change(arrays[name])
    save_file(arrays, path)
    seal(path)


def not_a_number(x, value=np.nan):
    x = np.array(x)
    x.flat[-1] = value
    return x


@pytest.mark.parametrize(
    "change, said",
    [
        (not_a_number, "holds NaN or Inf, 1 of its"),
        (lambda x: not_a_number(x, np.inf), "holds NaN or Inf, 1 of its"),
        (lambda x: x.astype(np.float64), "should be float32, found float64"),
        (lambda x: x.astype(np.float16), "should be float32, found float16"),
        (lambda x: x.view(np.int32), "should be float32, found int32"),
        (lambda x: x[:-1], "should be"),
        (lambda x: x.T[None], "should be"),
    ],
)
@pytest.mark.parametrize("name", ["nets.flow.net.weights.0", "nets.critic.nets.0.biases.0", "mean"])
def test_weights_that_nobody_trained_are_refused_by_name(tiny_run, tmp_path, name, change, said):
    folder = tmp_path / "policy"
    shutil.copytree(tiny_run.directory / "policy", folder)
    assert name in load_file(folder / "model.safetensors")
    spoilt(folder, name, change)
    message = refused(lambda: load_policy(folder))
    assert str(folder / "model.safetensors") in message and name in message and said in message


def test_a_deviation_is_positive(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory / "policy", tmp_path / "policy")
    spoilt(tmp_path / "policy", "std", np.zeros_like)
    assert "std holds 0" in refused(lambda: load_policy(tmp_path / "policy"))


def test_bounds_may_be_infinite_and_constants_what_they_are(tmp_path):
    mask = jnp.array([[0.0, -jnp.inf]])
    q = jax.tree_util.Partial(lambda m, obs, a: -jnp.sum(a**2) + jnp.max(m), mask)
    pi = with_fields(own(low=[-np.inf, -1], high=np.inf), critic=q)
    pi.save(tmp_path / "mine")
    same(load_policy(tmp_path / "mine", like=pi), pi)
    (name,) = (name for name in load_file(tmp_path / "mine" / "model.safetensors") if name.startswith("critic"))
    spoilt(tmp_path / "mine", name, lambda x: np.where(x == 0, np.inf, x))  # where the policy it is read into has none
    assert f"{name} holds NaN or Inf" in refused(lambda: load_policy(tmp_path / "mine", like=pi))


def test_single_precision_is_read_where_jax_computes_in_double(tiny_run):
    with jax.enable_x64(True):
        assert load_policy(tiny_run.directory).velocity.mean.dtype == np.float32


@pytest.mark.parametrize("option", [dict(depth=10**9), dict(width=10**9), dict(critic=dict(name="iql", critics=10**9))])
def test_networks_that_no_machine_makes_are_refused_at_once(tiny_run, tmp_path, option):
    folder = tmp_path / "policy"
    shutil.copytree(tiny_run.directory / "policy", folder)
    config = json.loads((folder / "config.json").read_text())
    config["method"] |= option
    write_json(folder / "config.json", config)
    assert "expected a whole number" in refused(lambda: load_policy(folder))
