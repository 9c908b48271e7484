"""Fourier features of the observation, which every network of a method may see."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from qgf.critics import IQL
from qgf.critics.regular import decayed
from qgf.errors import UserError
from qgf.networks.critic import dropped
from qgf.networks.velocity import waves
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC
from qgf.types import Spec

S, D, N = 3, 4, 32
SPEC, KEY = Spec(S, 2, 2), jax.random.key(0)
OBS, ACTIONS = jax.random.normal(KEY, (N, S)), jax.random.normal(jax.random.key(1), (N, D))


def features(frequencies):
    phase = 2 * jnp.pi * OBS @ frequencies
    return [jnp.sin(phase), jnp.cos(phase), OBS]


def test_flow_critic_and_value_see_the_observation_so_and_frequencies_stay_as_they_were_drawn():
    nets = BC(16, 2, fourier=5, fourier_scale=0.3).init(SPEC, KEY)
    for net in (nets.critic.nets[0], nets.value.net, nets.flow.net):
        assert net.frequencies.shape == (S, 5) and 0.1 < float(jnp.std(net.frequencies)) < 0.6
    net, time = nets.critic.nets[0], jnp.linspace(0, 1, N)
    wanted = net.net(jnp.concatenate([*features(net.frequencies), ACTIONS], axis=-1))
    assert_allclose(nets.critic(OBS, ACTIONS)[:, 0], wanted[:, 0], rtol=1e-4, atol=1e-5)
    seen = jnp.concatenate([*features(nets.flow.net.frequencies), ACTIONS, *waves(time)], axis=-1)
    assert_allclose(nets.flow(OBS, ACTIONS, time), nets.flow.net.net(seen), rtol=1e-4, atol=1e-5)
    slopes = jax.grad(lambda nets: jnp.sum(nets.critic(OBS, ACTIONS)) + jnp.sum(nets.flow(OBS, ACTIONS, time)))(nets)
    for net in (slopes.critic.nets[0], slopes.flow.net):
        assert not np.any(net.frequencies) and np.any(net.net.weights[0])


def test_they_neither_decay_nor_drop_and_the_layers_behind_them_do():
    critic = BC(16, 2, fourier=5).init(SPEC, KEY).critic
    decays = decayed(critic, hidden=False).nets[0]
    assert decays.frequencies is False and decays.net.weights == (True,) * 3
    without = dropped(critic, 0.5, KEY)
    assert np.any(without(OBS, ACTIONS) != critic(OBS, ACTIONS))
    assert_allclose(without.nets[0].frequencies, critic.nets[0].frequencies)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_with_them(method):
    spec = Spec(S, 2, 2, goal_dim=1 if method == "gc" else 0)
    made = METHODS.find(method)(8, 1, fourier=5)
    drawn = jax.eval_shape(lambda: made.init(spec, KEY))
    shapes = {x.shape for x in jax.tree.leaves(drawn) if x.shape[-1:] == (5,)}
    assert shapes == {(S, 5)} | ({(S - 1, 5)} if method == "gc" else set())  # its flow does not see the goal


def test_with_them_a_value_may_change_fast_from_place_to_place():
    """A value with eight steps, as behind thin walls: after as many updates most of it is explained, and else not."""
    x = jnp.linspace(-1.5, 1.5, 256)[:, None]
    value = jnp.sign(jnp.sin(8 * jnp.pi * x[:, 0] / 3))

    def left(**options):
        net, adam = BC(32, 2, **options).init(Spec(1, 2, 2), KEY).value, optax.adam(3e-3)

        def update(carry, _):
            net, state = carry
            loss, slope = jax.value_and_grad(lambda net: jnp.mean((net(x) - value) ** 2))(net)
            step, state = adam.update(slope, state)
            return (optax.apply_updates(net, step), state), loss

        return float(jax.jit(lambda: jax.lax.scan(update, (net, adam.init(net)), None, 150))()[1][-1])

    assert left(fourier=16) < 0.5 * left()


def test_what_makes_no_sense():
    with pytest.raises(UserError, match="these data have pictures"):
        BC(8, 1, fourier=5).init(Spec(S, 2, 2, images=(("top", (8, 8, 1)),)), KEY)
    for options in (dict(fourier=-1), dict(fourier=8, fourier_scale=0.0), dict(fourier=8, fourier_scale=float("nan"))):
        with pytest.raises(UserError, match="fourier"):
            BC(8, 1, critic=IQL(), **options)
