"""Critics whose members agree or do not, and arms that were not played on the same episodes."""

import jax.numpy as jnp
import numpy as np
import pytest

import qgf
from qgf.playing.decisions import agreement_at
from qgf.playing.doubts import unpaired
from qgf.playing.rows import OWN, Row


def critic_of(*directions):
    """Members that each want another direction, whatever the state."""
    w = jnp.array(directions)

    def critic(obs, a):
        return jnp.min(w @ a)

    critic.members = lambda obs, a: w @ a
    return critic


@pytest.mark.parametrize(
    "directions, wanted",
    [
        ([[1.0, 0.0], [1.0, 0.0]], 1.0),
        ([[1.0, 0.0], [0.0, 1.0]], 0.0),
        ([[1.0, 0.0], [-1.0, 0.0]], -1.0),
        ([[1.0, 0.0], [0.5, np.sqrt(0.75)]], 0.5),
    ],
)
def test_agreement_is_the_mean_cosine_of_the_members_gradients(directions, wanted):
    policy = qgf.guided_flow(lambda obs, a, t: -a, critic_of(*directions), action_dim=2, weight=0.1)
    found = agreement_at(policy, np.zeros((5, 3), np.float32), np.zeros((5, 1, 2), np.float32))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_single_critic_has_none_to_agree_with():
    policy = qgf.guided_flow(lambda obs, a, t: -a, lambda obs, a: a[0], action_dim=2, weight=0.1)
    assert np.isnan(agreement_at(policy, np.zeros((5, 3)), np.zeros((5, 1, 2))))


def row(guide, episodes, first=0, **more):
    means = dict(returns=0.0, lengths=1.0, value=0.0, ratio=0.0, skipped=0)
    return Row(
        env="x", guide=guide, best_of=1, seed=0, first=first, episodes=episodes, successes=0, success=0.0, low=0.0,
        high=1.0, **means, **more,
    )  # fmt: skip


def test_arms_of_other_episodes_are_doubted():
    assert unpaired([row("none", 50), row("qgf", 50), row("qgf", 20, updates=0)]) == []
    assert unpaired([row("none", 25), row("none", 25, first=25), row("qgf", 50)]) == []
    assert unpaired([row("none", 50), row("qgf", 20)]) == [
        "the arms in x were not played on the same episodes (none 50, qgf 0.5 20): what tells them apart may be luck"
    ]
    assert unpaired([row("none", 50, updates=9), row("qgf", 20)]) == []  # of an older policy
    assert unpaired([row("none", 50), row("qgf", 50, first=50)])
    assert unpaired([row("none", 50), row("qgf", 50, stream=OWN)])  # of an older file, whose episodes all runs shared
    assert unpaired([row("none", 50, stream=OWN), row("qgf", 50, stream=OWN)]) == []
