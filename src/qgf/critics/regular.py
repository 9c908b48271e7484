"""What keeps a critic from learning its data by heart, each an option of the critic and off by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from qgf.errors import UserError
from qgf.networks.blocks import MLP, Again, Fourier, Network, Scaled
from qgf.networks.critic import dropped
from qgf.networks.encoders import Encoded
from qgf.networks.transformer import Transformer
from qgf.types import Batch, Spec, StateVelocity

Loss = Callable[[Any, Batch], tuple[Array, dict[str, Array]]]
"""loss(critic, batch) -> (scalar, logs)."""


def sigma_a(velocity: StateVelocity, batch: Batch, key: Array) -> Array:
    """The standard deviation of a flow's actions at a state, root mean square over states and dimensions, [].

    Measured at the data's actions a without sampling: at t = 0 a flow's one-step estimate a_0 + v(s, a_0, 0) is
    E[a | s], as a_0 tells nothing, so that sigma^2 = E (a - E[a | s])^2.
    """
    a0 = jax.random.normal(key, batch.actions.shape)
    mean = a0 + velocity(batch.obs, a0, jnp.zeros(len(a0)))
    return jax.lax.stop_gradient(jnp.sqrt(jnp.mean((batch.actions - mean) ** 2)))


def regularised(options: Any, loss: Loss, velocity: StateVelocity | None, critic: Any, batch: Batch, key: Array):
    """loss(critic, batch) under `options` (`Critic`): (scalar, logs). `velocity` is the reference flow's, for
    noise on actions.
    """
    noise, drop, scale = jax.random.split(jax.random.fold_in(key, 7), 3)
    seen, asked = batch, critic
    if options.action_noise and velocity is not None:
        size = options.action_noise * sigma_a(velocity, batch, scale)
        seen = batch._replace(actions=batch.actions + size * jax.random.normal(noise, batch.actions.shape))
    if options.dropout:
        asked = dropped(critic, options.dropout, drop)
    value, logs = loss(asked, seen)
    if options.gradient_penalty:
        steep = steepness(critic, batch)
        value, logs = value + options.gradient_penalty * steep, logs | dict(steepness=steep)
    return value, logs


def steepness(critic: Any, batch: Batch) -> Array:
    """The mean over batch and members of |grad_a Q_i(s, a)|^2, []."""
    slopes = jax.vmap(jax.jacrev(critic, argnums=1))(batch.obs, batch.actions)
    return jnp.mean(jnp.sum(slopes**2, axis=-1))


def network_of(options: Any, m: Any, spec: Spec, d: int) -> Network:
    """What makes a critic's networks beside the method m, of chunks of d numbers. Raises UserError where their kind has
    no layers to give an action to.
    """
    if options.critic_net == "transformer":
        return scaled(options, m.seeing(partial(Transformer, d=d, action_dim=spec.action_dim), spec))
    if options.action_again and m.kind is not MLP:
        raise UserError("--action-again gives the action to every layer of --network mlp, and there is another network")
    return scaled(options, m.seeing(partial(Again, d=d) if options.action_again else m.kind, spec))


def scaled(options: Any, network: Network) -> Network:
    """The network, or one that says values in parts of `value_scale`."""
    if options.value_scale == 1:
        return network
    return lambda *sizes_and_key: Scaled(network(*sizes_and_key), options.value_scale)


def decayed(part: Any, hidden: bool) -> Any:
    """Which arrays of a network decay, a tree of True and False: the weight matrices, not those of read-outs where only
    the `hidden` layers' do, and no biases. Raises UserError for networks of which it cannot be told.
    """

    def one(net: Any) -> Any:
        if isinstance(net, Encoded):  # an encoder is all hidden, and the usual picture no weight
            usual = jax.tree.map(lambda _: False, net.usual)
            return Encoded(decayed(net.encoders, False), decayed(net.net, hidden), usual)
        if isinstance(net, Fourier):
            return eqx.tree_at(lambda n: (n.net, n.frequencies), net, (decayed(net.net, hidden), False))
        if isinstance(net, MLP):
            last = len(net.weights) - 1
            of_weights = tuple(not (hidden and k == last) for k in range(last + 1))
            return eqx.tree_at(lambda n: (n.weights, n.biases), net, (of_weights, (False,) * len(net.biases)))
        if not eqx.is_array(net) and not isinstance(net, jax.ShapeDtypeStruct):
            return False
        if hidden:
            raise UserError("--decay-hidden knows the layers of --network mlp, and this critic has other networks")
        return net.ndim >= 2

    return jax.tree.map(one, part, is_leaf=lambda x: isinstance(x, (MLP, Encoded, Fourier)))
