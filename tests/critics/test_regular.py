"""What the critic's options against learning by heart do, where it is known what they should."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.critics import IQL, HLGauss
from qgf.critics.regular import decayed, regularised, sigma_a, steepness
from qgf.errors import UserError
from qgf.method.toy import Mixture
from qgf.networks.critic import CriticEnsemble, dropped
from qgf.training.devices import ONE
from qgf.training.late import judged
from qgf.training.learner import Learner, Program
from qgf.training.methods.bc import BC
from qgf.training.methods.goals import GC
from qgf.types import Batch, Spec

S, D, N = 3, 4, 256
SPEC = Spec(S, 2, 2)
KEY = jax.random.key(0)


def batch(std: float = 0.2) -> Batch:
    """Actions spread by `std` around a mean that depends on the state."""
    obs, noise = jax.random.normal(KEY, (N, S)), jax.random.normal(jax.random.key(1), (N, D))
    actions = jnp.pad(obs, ((0, 0), (0, D - S))) + std * noise
    return Batch(obs, actions, jnp.zeros(N), jnp.ones(N), obs)


def flow(std: float = 0.2):
    """The exact flow to those actions."""
    one = lambda obs, a, t: Mixture(jnp.pad(obs, (0, D - S))[None], jnp.ones(1), std).velocity(a, t)
    return jax.vmap(one)


def ensemble(**options) -> CriticEnsemble:
    return IQL(critics=3, **options).ensemble(BC(width=16, depth=2), SPEC, KEY)


def test_the_spread_of_the_policy_is_found_without_sampling():
    assert float(jax.jit(lambda: sigma_a(flow(0.3), batch(0.3), KEY))()) == pytest.approx(0.3, rel=0.07)


def test_noise_on_actions_is_in_that_unit():
    seen = lambda critic, seen: (jnp.std(seen.actions - batch().actions), {})
    added = jax.jit(lambda: regularised(IQL(action_noise=0.5), seen, flow(), None, batch(), KEY)[0])()
    assert float(added) == pytest.approx(0.5 * 0.2, rel=0.07)


def test_the_gradient_penalty_is_the_mean_square_of_the_slopes():
    slopes = jnp.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    critic = lambda obs, a: a @ slopes.T
    assert float(steepness(critic, batch())) == pytest.approx((5 + 9) / 2)
    loss = lambda critic, seen: (jnp.float32(1.0), {})
    value, logs = regularised(IQL(gradient_penalty=0.1), loss, flow(), critic, batch(), KEY)
    assert float(value) == pytest.approx(1.7) and float(logs["steepness"]) == pytest.approx(7.0)


@pytest.mark.parametrize("fused", [False, True])
def test_dropout_keeps_the_mean_and_draws_for_every_row_and_member(fused):
    critic = IQL(critics=2, fused=fused).ensemble(BC(width=16, depth=1), SPEC, KEY)  # after one layer Q is linear in it
    one = jnp.ones((1, S)), jnp.ones((1, D))
    many = jax.tree.map(lambda x: jnp.repeat(x, 4000, axis=0), one)
    q = np.asarray(jax.jit(lambda: dropped(critic, 0.3, KEY)(*many))())
    assert_allclose(q.mean(axis=0), np.asarray(critic(*one))[0], atol=5 * q.std() / 4000**0.5)
    assert q.std(axis=0).min() > 0.1
    assert abs(np.corrcoef(q.T)[0, 1]) < 0.06
    last = lambda net: net.weights[-1]
    assert last(critic.nets[0].stacked if fused else critic.nets[0]).size == (2 if fused else 1) * 16


def test_one_product_a_layer_is_the_same_function():
    apart, fused = ensemble(), ensemble(fused=True)
    data = batch()
    loss = lambda critic: jnp.mean((critic(data.obs, data.actions) - jnp.arange(3.0)) ** 2)
    (there, one), (here, each) = (jax.jit(jax.value_and_grad(loss))(critic) for critic in (fused, apart))
    assert float(there) == pytest.approx(float(here), rel=1e-5)
    one, each = one.nets[0].stacked.weights, [net.weights for net in each.nets]
    for layer, stacked in enumerate(one):
        assert_allclose(stacked, jnp.stack([weights[layer] for weights in each]), rtol=2e-4, atol=2e-6)
    products = lambda critic: str(jax.make_jaxpr(critic)(data.obs, data.actions)).count("dot_general")
    assert (products(apart), products(fused)) == (9, 3)


def test_the_action_reaches_every_layer():
    critic = ensemble(action_again=True)
    assert [w.shape for w in critic.nets[0].weights] == [(S + D, 16), (16 + D, 16), (16 + D, 1)]
    blind = eqx.tree_at(lambda c: c.nets[0].weights[0], critic, critic.nets[0].weights[0].at[S:].set(0.0))
    slope = jax.grad(lambda a: blind(jnp.ones(S), a)[0])(jnp.ones(D))
    assert (jnp.abs(slope) > 1e-3).all()
    own = lambda size_in, size_out, width, depth, key: lambda x: x[..., :size_out]
    with pytest.raises(UserError, match="--network mlp"):
        IQL(action_again=True).ensemble(type("M", (), dict(kind=staticmethod(own))), SPEC, KEY)


@pytest.mark.parametrize("hidden", [False, True])
def test_weight_decay_is_of_the_critic_alone(hidden):
    """Where gradients are zero Adam stands still, and what decays loses rate x decay of itself."""
    critic = IQL(weight_decay=3.0, decay_hidden=hidden)
    program = Learner(BC(width=16, depth=2, critic=critic), SPEC, 3e-4, 32).program
    nets = program.method.init(SPEC, KEY)
    nets = jax.tree.map(jnp.ones_like, program.trained(nets))
    still = jax.tree.map(jnp.zeros_like, nets)
    lost, _ = program.adam.update(still, program.adam.init(nets), nets)
    for net in (*lost["critic"].nets, lost["value"].net):
        for k, weight in enumerate(net.weights):
            assert_allclose(weight, 0.0 if hidden and k == 2 else -3e-4 * 3.0, rtol=1e-5)
        assert all(not np.any(bias) for bias in net.biases)
    assert all(not np.any(x) for x in jax.tree.leaves(lost["flow"]))


def test_a_method_of_ones_own_that_decays_need_not_say_when():
    own = type("Own", (), dict(weight_decay=2.0, decayed=lambda self, nets: jax.tree.map(lambda _: True, nets)))()
    adam = Program(own, SPEC, 3e-4, 32, frozenset(), None, ONE).adam
    nets = dict(critic=jnp.ones(3))
    lost, _ = adam.update(dict(critic=jnp.zeros(3)), adam.init(nets), nets)
    assert_allclose(lost["critic"], -3e-4 * 2.0, rtol=1e-5)


def test_late_decay_begins_after_three_intervals_in_a_row_of_learning_by_heart():
    """Until then nothing decays, then as above, and for good; each seed for itself."""
    critic = IQL(weight_decay=3.0, decay_when="memorising")
    program = Learner(BC(width=16, depth=2, critic=critic), SPEC, 3e-4, 32).program
    nets = jax.tree.map(jnp.ones_like, program.trained(program.method.init(SPEC, KEY)))
    still = jax.tree.map(jnp.zeros_like, nets)
    state, by_heart, well = (
        program.adam.init(nets),
        *({"val/critic": np.array([held]), "loss/critic": np.array([1.0])} for held in (2.1, 1.9)),
    )
    for logs, wanted in zip([by_heart] * 2 + [well] + [by_heart] * 3 + [well] * 2, [0] * 5 + [1] * 3, strict=True):
        state, on = judged(state, logs)
        assert_array_equal(on, [bool(wanted)])
        lost, state = program.adam.update(still, state, nets)
        assert_allclose(lost["critic"].nets[0].weights[0], -3e-4 * 3.0 * wanted, rtol=1e-5)
        assert not any(np.any(x) for x in (*lost["critic"].nets[0].biases, *jax.tree.leaves(lost["flow"])))
    both = jax.tree.map(lambda x: jnp.stack([x, x]), program.adam.init(nets))
    for _ in range(3):
        both, on = judged(both, {"val/critic": np.array([1.0, 3.0]), "loss/critic": np.array([1.0, 1.0])})
    assert_array_equal(on, [False, True])
    fits = by_heart | {"critic/explained": np.array([0.96])}  # its own loss is next to nothing, and so is the other
    for _ in range(3):
        fresh, on = judged(program.adam.init(nets), fits)
        assert not on.any() and not fresh[1].by_heart
    plain = Learner(BC(width=16, depth=2, critic=IQL(weight_decay=3.0)), SPEC, 3e-4, 32).program.adam.init(nets)
    assert judged(plain, by_heart) == (plain, None)


def test_decay_of_networks_of_ones_own():
    own = eqx.nn.Linear(3, 2, key=KEY)
    assert_array_equal(jax.tree.leaves(decayed(own, hidden=False)), [True, False])
    with pytest.raises(UserError, match="--decay-hidden"):
        decayed(own, hidden=True)


ALL = dict(weight_decay=0.1, dropout=0.1, action_noise=0.1, gradient_penalty=0.01, action_again=True)


@pytest.mark.parametrize("critic", [IQL(fused=True, **ALL), HLGauss(value_low=-100.0, value_high=0.0, bins=11, **ALL)])
def test_all_of_them_train_together(critic):
    learner = Learner(BC(width=8, depth=2, fourier=2, critic=critic), SPEC, 3e-4, N)
    nets = learner.init(KEY).nets
    grads, logs = jax.jit(jax.grad(learner.loss, has_aux=True))(learner.program.trained(nets), nets, batch(), KEY)
    assert {"steepness", "loss/critic", "loss/value"} <= logs.keys()
    assert all(np.isfinite(x).all() and np.any(x) for x in (*jax.tree.leaves(grads)[:2], *logs.values()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(weight_decay=-1.0), "weight_decay"),
        (dict(dropout=1.0), "dropout"),
        (dict(action_noise=float("nan")), "action_noise"),
        (dict(decay_hidden=True), "weight_decay"),
        (dict(decay_when="memorising"), "weight_decay"),
        (dict(decay_when="never", weight_decay=1.0), "always or memorising"),
        (dict(value_scale=0.0), "value_scale"),
    ],
)
def test_what_makes_no_sense(options, said):
    with pytest.raises(UserError, match=said):
        IQL(**options)


def test_values_in_parts_of_a_scale():
    """The same networks, all of whose values are so many times as large, and what is left out of them as well."""
    critic, large = ensemble(), ensemble(value_scale=50.0)
    here = jnp.ones((4, S)), jnp.ones((4, D))
    assert_allclose(large(*here), 50 * critic(*here), rtol=1e-5)
    assert_allclose(dropped(large, 0.5, KEY)(*here), 50 * dropped(critic, 0.5, KEY)(*here), rtol=1e-4)
    nets = IQL(value_scale=50.0).init(BC(width=16, depth=2), SPEC, KEY, KEY)
    assert_allclose(nets["value"](here[0]), 50 * IQL().init(BC(width=16, depth=2), SPEC, KEY, KEY)["value"](here[0]))
    assert sum(jax.tree.leaves(decayed(large, hidden=False))) == 3 * 3
    with pytest.raises(UserError, match="--value-scale 50"):
        IQL().check_lent("runs/a", IQL(value_scale=50.0))


def test_a_fused_histogram_and_a_lender_of_another_make():
    with pytest.raises(UserError, match="--fused"):
        HLGauss(fused=True)
    with pytest.raises(UserError, match="pass --action-again"):
        IQL().check_lent("runs/a", IQL(action_again=True))
    with pytest.raises(UserError, match="leave out --fused"):
        IQL(fused=True).check_lent("runs/a", IQL())
    with pytest.raises(UserError, match="pass --critic-net transformer"):
        IQL().check_lent("runs/a", IQL(critic_net="transformer"))
    with pytest.raises(UserError, match="layers of an MLP"):
        IQL(critic_net="transformer", action_again=True)
    with pytest.raises(UserError, match="network or transformer"):
        IQL(critic_net="lstm")
    long = lambda: GC(critic=IQL(critic_net="transformer"), width=8, depth=1).init(SPEC, KEY).long
    assert jax.eval_shape(lambda: long()(jnp.ones(S), jnp.ones(50))).shape == (2,)
    assert GC(critic=IQL(action_again=True, fused=True), width=8, depth=1).init(SPEC, KEY).long(
        jnp.ones(S), jnp.ones(50)
    ).shape == (2,)
