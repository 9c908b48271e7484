"""Policies that see: a target's place is in the picture alone, and what acting and training do with pictures."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgf.data import Dataset
from qgf.data.fingerprint import fingerprint
from qgf.errors import UserError
from qgf.method.flops import flops
from qgf.method.policy import Policy
from qgf.networks import ENCODERS
from qgf.networks.encoders import Encoded
from qgf.playing.arm import Arm
from qgf.training.augment import PADDING, shifted
from qgf.training.config import TrainConfig
from qgf.training.export import export
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.options import make_method
from qgf.training.run import Run
from qgf.training.setup import prepare
from qgf.training.trained import skeleton_of
from qgf.training.validation import held_out
from qgf.types import Batch

SIZE = 8
COUNTED: list[tuple[int, ...]] = []
"""The shapes of all pictures that encoders were traced with."""


@pytest.fixture(scope="module", autouse=True)
def linear():
    """An encoder that costs no time to compile."""

    @ENCODERS("linear")
    class Linear(eqx.Module):
        weight: jax.Array

        def __init__(self, shape, key):
            size = shape[0] * shape[1] * shape[2]
            self.weight = jax.random.normal(key, (size, 16)) / size**0.5

        def __call__(self, x):
            COUNTED.append(x.shape)
            return jax.nn.gelu(x.reshape(*x.shape[:-3], -1) @ self.weight)

    yield
    del ENCODERS["linear"]


def dots(n=1200, state=False):
    """Rows of a world in which the reward is minus the distance of the action from a dot's place, and the behaviour
    knows nothing; every second row ends an episode."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, SIZE, (n, 2))
    pictures = np.full((n, SIZE, SIZE, 1), 100, np.uint8)
    pictures[np.arange(n), place[:, 0], place[:, 1]] = 255
    actions = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    wanted = 1.6 * place / (SIZE - 1) - 0.8
    arrays = {
        "images/top": pictures,
        "actions": actions,
        "rewards": -np.linalg.norm(actions - wanted, axis=1).astype(np.float32),
        "terminals": np.arange(n) % 2 == 1,
    }
    arrays |= dict(observations=rng.normal(size=(n, 3)).astype(np.float32)) if state else {}
    return Dataset.from_arrays(arrays, "dots"), wanted


METHOD = dict(width=32, depth=1, encoder="linear", augment=0.0)
CONFIG = dict(batch_size=64, horizon=1, discount=0.5, log_every=300, checkpoint_every=300, learning_rate=3e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data, _ = dots()
    return train(data, TrainConfig(steps=600, method=BC(**METHOD), **CONFIG), tmp_path_factory.mktemp("runs") / "dots")


def test_guidance_finds_what_only_the_picture_shows(run):
    data, wanted = dots()
    obs = {"top": data.images["top"][:256]}
    far = {guide: np.asarray(run.policy(guide=guide, strength=2)(obs, 0))[:, 0] for guide in ("none", "qgf")}
    far = {guide: np.linalg.norm(a - wanted[:256], axis=1).mean() for guide, a in far.items()}
    assert far["qgf"] < 0.6 * far["none"], far


def test_several_seeds_in_one_program_see_each_with_encoders_of_its_own(tmp_path):
    data, wanted = dots()
    run = train(data, TrainConfig(steps=600, seeds=2, method=BC(**METHOD), **CONFIG), tmp_path / "two")
    obs, found = {"top": data.images["top"][:256]}, []
    for seed in (0, 1):
        far = [np.asarray(run.policy(seed, guide=guide, strength=2)(obs, 0))[:, 0] for guide in ("none", "qgf")]
        plain, guided = (np.linalg.norm(a - wanted[:256], axis=1).mean() for a in far)
        assert guided < 0.75 * plain, (seed, guided, plain)
        found.append(far[1])
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_a_policy_knows_its_pictures(run):
    policy, picture = run.policy(), dots()[0].images["top"][:3]
    assert policy({"top": picture[0]}, 0).shape == (1, 2)
    assert policy({"top": picture}, 0).shape == (3, 1, 2)
    for wrong, said in (
        ({"top": picture / 255}, "picture of type float.*expected uint8"),
        ({"top": picture[:, :4]}, r"shape \[3, 4, 8, 1\], expected \[8, 8, 1\]"),
        ({"front": picture}, "expected"),
        (picture, "expected"),
    ):
        with pytest.raises(UserError, match=said):
            policy(wrong, 0)
    assert run.q({"top": picture}, np.zeros((3, 1, 2))).shape == (3,) == run.v({"top": picture}).shape


@pytest.mark.parametrize("arm", [Arm("none"), Arm("qgf"), Arm("qgf", best_of=4)], ids=lambda arm: arm.label)
def test_acting_looks_once_at_an_observation(run, arm):
    """Once by the flow's encoder and once by the critic's, however many steps, samples and gradients there are."""
    policy, obs = arm.of(run.policy()), {"top": jax.ShapeDtypeStruct((1, SIZE, SIZE, 1), np.uint8)}
    act = lambda obs, key: policy.act(obs, key)[0]
    weights = policy.velocity.f.encoders["top"].weight.size
    COUNTED.clear()
    total = flops(act, obs, jax.random.key(0))
    assert COUNTED.count((1, SIZE, SIZE, 1)) == 2
    # What is left without the two looks is made of networks of vectors alone.
    features = jax.ShapeDtypeStruct((1, 16), np.float32)
    vectors = Policy(
        policy.velocity.f.net, _lowest(policy), policy.weight, -1.0, 1.0, 2,
        guide=policy.guide, samples=policy.samples,
    )  # fmt: skip
    rest = flops(lambda obs, key: vectors.act(obs, key)[0], features, jax.random.key(0))
    assert total == rest + (2 if arm.guide != "none" or arm.best_of > 1 else 1) * 2 * weights


def _lowest(policy):
    members = policy.critic.f.members.net
    return lambda obs, a: jnp.min(members(obs, a), axis=-1)


def test_it_is_saved_loaded_exported_and_continued(run, tmp_path):
    data, _ = dots()
    obs = {"top": data.images["top"][:4]}
    policy = run.policy(strength=2.0)
    policy.save(tmp_path / "policy")
    np.testing.assert_array_equal(Policy.load(tmp_path / "policy")(obs, 1), policy(obs, 1))
    before = (run.directory / "policy" / "model.safetensors").read_bytes()
    export(run, data)
    assert (run.directory / "policy" / "model.safetensors").read_bytes() == before
    half = train(data, TrainConfig(steps=300, method=BC(**METHOD), **CONFIG), tmp_path / "half")
    whole = train(data, TrainConfig(steps=600, method=BC(**METHOD), **CONFIG), half.directory)
    assert (whole.directory / "policy" / "model.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="pass --encoder linear"):
        other = BC(**METHOD | dict(encoder="nature"))
        train(data, TrainConfig(steps=300, method=other, **CONFIG), tmp_path / "other", flow=run.directory)


def test_every_network_has_encoders_of_its_own_used_to_the_datas_pictures(run):
    nets, pictures = Run(run.directory).trained().nets, dots()[0].images["top"] / 255
    weights = {name: np.asarray(net.encoders["top"].weight) for name, net in vars(nets).items()}
    assert set(weights) == {"flow", "critic", "value", "target"}
    assert all(np.abs(weights["flow"] - weights[name]).max() > 1e-4 for name in ("critic", "value", "target"))
    for net in vars(nets).values():
        assert isinstance(net, Encoded)
        mean, std = net.usual["top"]
        np.testing.assert_allclose(mean, pictures.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(std, np.sqrt(((pictures - pictures.mean(axis=0)) ** 2).mean()), rtol=1e-5)


@pytest.mark.parametrize("method", ["lab", "fql", "qam", "dac", "gc"])
def test_methods_and_critics_take_pictures(method):
    """Every loss of an update, and what acts in the end, traced."""
    data, _ = dots(240, state=True)
    critic = dict(lab="hl-gauss", fql="td").get(method)
    own = dict(long=1) if method == "gc" else {}
    made = make_method(method, critic, width=8, depth=1, encoder="linear", **own)
    if method == "gc":
        data = replace(data, rewards=None, masks=None, goals=data.observations[:, :2])
    setup = prepare(data, TrainConfig(batch_size=8, horizon=1, method=made))
    state = jax.eval_shape(setup.start)
    after, logs = jax.eval_shape(setup.learner.update, state, setup.chunks)
    assert jax.tree.structure(after) == jax.tree.structure(state) and len(logs) > 2
    policy = skeleton_of(setup.learner.method, setup.learner.spec).policy()
    actions, _ = eqx.filter_eval_shape(lambda p, *x: p.act(*x), policy, policy.obs_spec.batch(3), jax.random.key(0))
    assert actions.shape == (3, 1, 2)
    assert set(policy.obs_spec.one) == {"top", "state"}


REGULAR = dict(weight_decay=1.0, decay_hidden=True, dropout=0.1, action_noise=0.1, gradient_penalty=0.1, fused=True)


def test_what_keeps_a_critic_from_learning_by_heart_knows_pictures():
    data, _ = dots(240)
    setup = prepare(data, TrainConfig(batch_size=8, horizon=1, method=make_method("lab", "iql", **METHOD, **REGULAR)))
    state, method = jax.eval_shape(setup.start), setup.learner.method
    after, _ = jax.eval_shape(setup.learner.update, state, setup.chunks)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    critic = method.decayed(dict(critic=state.nets.critic))["critic"]
    assert critic.encoders["top"].weight is True and critic.usual == {"top": (False, False)}
    assert jax.tree.leaves(critic.net) == [True, False, False, False]  # hidden and last weights, two biases


def test_held_out_pictures_judge_a_critic(run):
    data, _ = dots()
    found = held_out(replace(data, validation=data), run.config)(run.policy())
    assert found["explained"] > 0.5 and found["steep"] > 0.5 and found["agreement"] > 0.5, found


def test_shifts_move_pictures_as_their_border_repeats_and_nothing_else():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, 9, 9, 2), np.uint8)
    obs = dict(top=jnp.asarray(pictures), state=jnp.ones((64, 3)))
    batch = Batch(obs, jnp.zeros((64, 2)), jnp.zeros(64), jnp.zeros(64), obs)
    moved = shifted(batch, 0.5, jax.random.key(0))
    assert moved.obs["state"] is obs["state"] and moved.obs["top"].dtype == jnp.uint8
    np.testing.assert_array_equal(moved.obs["top"], moved.next_obs["top"])
    wide = np.pad(pictures, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="edge")
    places = []
    for before, after in zip(wide, np.asarray(moved.obs["top"]), strict=True):
        hits = [(i, j) for i in range(7) for j in range(7) if (before[i : i + 9, j : j + 9] == after).all()]
        places.append(hits[0])
    assert 16 < sum(place != (PADDING, PADDING) for place in places) < 48
    assert len(set(places)) > 15
    vectors = Batch(jnp.ones((4, 3)), jnp.zeros((4, 2)), jnp.zeros(4), jnp.zeros(4), jnp.ones((4, 3)))
    assert shifted(vectors, 0.5, jax.random.key(0)) is vectors and shifted(batch, 0, jax.random.key(0)) is batch


def test_a_picture_more_is_other_data():
    data, _ = dots(40)
    changed = data.images["top"].copy()
    changed[3, 0, 0] += 1
    assert fingerprint(replace(data, images=dict(top=changed))) != fingerprint(data)
    called = replace(data, images=dict(actions=data.images["top"]))  # as what is done is, too
    assert fingerprint(replace(called, actions=-called.actions)) != fingerprint(called)
    with pytest.raises(UserError, match="augment is a share"):
        BC(augment=2)
