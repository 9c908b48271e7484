"""Cost: operations are those counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgf.critics.losses import Pessimistic
from qgf.errors import UserError
from qgf.laboratory.cost import cost
from qgf.method.flops import flops
from qgf.method.guided import guided_flow
from qgf.networks.critic import CriticEnsemble
from qgf.networks.velocity import VelocityField
from qgf.playing.arm import arms
from qgf.types import Calibration

KEY = jax.random.key(3)


def test_flops_of_products_batches_and_loops():
    w, x = jnp.ones((4, 5)), jnp.ones(4)
    assert flops(lambda x: x @ w, x) == 2 * 4 * 5
    assert flops(lambda x: x @ w, jax.ShapeDtypeStruct((7, 4), np.float32)) == 7 * 2 * 4 * 5
    assert flops(jax.jit(jax.vmap(lambda x: x @ w)), jnp.ones((3, 4))) == 3 * 2 * 4 * 5
    assert flops(lambda x, y: jnp.einsum("bij,bjk->bik", x, y), jnp.ones((2, 3, 4)), jnp.ones((2, 4, 5))) == 240
    square = jnp.ones((4, 4))
    assert flops(lambda x: jax.lax.scan(lambda a, _: (a @ square, a), x, None, 6), x) == 6 * 32
    assert flops(lambda x: jax.lax.fori_loop(0, 3, lambda _, a: a @ square, x), x) == 3 * 32
    assert flops(jax.grad(lambda x: jnp.sum(jnp.tanh(x @ w))), x) == 2 * 2 * 4 * 5


def test_flops_leave_out_what_the_result_does_not_need():
    w, x = jnp.ones((4, 4)), jnp.ones(4)
    assert flops(lambda x: (x @ w, 2 * x)[1], x) == 0
    both = lambda x: jax.lax.scan(lambda a, _: (a + 1, a @ w), x, None, 5)
    assert flops(both, x) == 5 * 32
    assert flops(lambda x: both(x)[0], x) == 0
    assert flops(lambda x: 1.0, x) == 0


def test_flops_take_the_branch_that_is_executed():
    w = jnp.ones((4, 4))

    def countdown(x, start, w=w):
        step = lambda a, k: (jax.lax.cond(k < start, lambda a: a @ w, lambda a: a, a), None)
        return jax.lax.scan(step, x, jnp.arange(10))[0]

    assert flops(lambda x: countdown(x, 3), jnp.ones(4)) == 3 * 32
    assert flops(jax.vmap(lambda x: countdown(x, 3)), jnp.ones((2, 4))) == 2 * 3 * 32
    assert flops(jax.grad(lambda x, w: (countdown(x, 3, w) ** 2).sum()), jnp.ones(4), w) == 2 * 3 * 32
    assert flops(countdown, jnp.ones(4), 3) == 10 * 32  # could be any

    def crossing(carry, k):
        a, c = carry
        return (jax.lax.cond(k > c, lambda a: a @ w, lambda a: a, a), c + 1), None

    for backwards, number in ((False, 0), (True, 5)):
        cross = lambda x, reverse=backwards: jax.lax.scan(crossing, (x, 0), jnp.arange(10), reverse=reverse)[0][0]
        assert flops(cross, jnp.ones(4)) == number * 32
    with pytest.raises(UserError, match="while"):
        flops(lambda x: jax.lax.while_loop(lambda a: a.sum() > 0, lambda a: a - 1, x), jnp.ones(4))


OBS, D, WIDTH, T = 3, 4, 8, 6
FLOW = 2 * ((OBS + D + 9) * WIDTH + WIDTH * WIDTH + WIDTH * D)  # forward pass, in -> 8 -> 8 -> out
CRITIC = 2 * 2 * ((OBS + D) * WIDTH + WIDTH * WIDTH + WIDTH)  # of both critics
BY_HAND = dict(
    none=T * FLOW,
    ood=T * (FLOW + 2 * CRITIC),
    qgf=T * (FLOW + 2 * CRITIC),
    jacobian=T * (FLOW + 2 * FLOW + 2 * CRITIC),  # the derivative has a forward pass of its own
    chain=T * (FLOW + 2 * CRITIC) + T * (T - 1) // 2 * FLOW,  # the sampler's own velocity is its first step
    bptt=T * (FLOW + 2 * CRITIC) + T * (T + 1) // 2 * 2 * FLOW,
    gradstep=T * FLOW + 3 * 2 * CRITIC,
)


@pytest.fixture(scope="module")
def networks():
    """A small policy of real networks."""
    flow, critic = jax.random.split(jax.random.key(0))
    velocity = VelocityField(OBS, D, WIDTH, 2, flow)
    q = Pessimistic(CriticEnsemble(OBS, D, WIDTH, 2, 2, critic))
    return guided_flow(velocity, q, 2, "none", 0.0, horizon=2, steps=T, calibration=Calibration(0.3, 1.0))


@pytest.mark.parametrize("guide", BY_HAND)
def test_flops_of_every_guide_by_hand(guide, networks):
    act = lambda obs: networks.guided(guide, weight=0.1).act(obs, KEY)[0]
    # Of one observation no member is masked: the derivative of a read-out is its weights, whatever is asked
    spared = 2 * 2 * WIDTH * dict(none=0, gradstep=3).get(guide, T)
    assert flops(act, np.zeros((1, OBS), np.float32)) == BY_HAND[guide] - spared
    assert flops(act, np.zeros((5, OBS), np.float32)) == 5 * BY_HAND[guide]
    several = lambda obs: networks.guided(guide, weight=0.1, best_of=3).act(obs, KEY)[0]
    assert flops(several, np.zeros((1, OBS), np.float32)) == 3 * (BY_HAND[guide] + CRITIC)


def test_cost_measures_every_arm(networks):
    rows = cost(networks, np.zeros((9, OBS), np.float32), KEY, arms(("none", "bptt"), best_of=(1, 4)), calls=3)
    assert [(row.guide, row.best_of) for row in rows] == [("none", 1), ("bptt", 1), ("none", 4), ("bptt", 4)]
    assert rows[0].flop == BY_HAND["none"]
    assert rows[3].flop == 4 * (BY_HAND["bptt"] + CRITIC)
    assert all(0 < row.milliseconds < 1000 for row in rows)
    assert rows[0].bytes < rows[1].bytes < rows[3].bytes
