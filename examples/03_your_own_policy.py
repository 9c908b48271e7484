"""Guide a flow policy you already have: two functions of one observation are enough.

    python examples/03_your_own_policy.py

Here the "policy" is the exact flow of a Gaussian around the observation, and the "critic" wants the first coordinate
large; put your own networks in their place. Neither is trained, wrapped or converted.
"""

import jax
import jax.numpy as jnp

import qgf

STD = 0.2


def velocity(obs, a, t):
    """v(obs[S], a[d], t[]) -> [d]: the exact flow to N(obs, STD^2)."""
    return qgf.toy.Mixture(obs[None], jnp.ones(1), STD).velocity(a, t)


def critic(obs, a):
    """Q(obs[S], a[d]) -> []."""
    return 3.0 * a[0]


policy = qgf.guided_flow(velocity, critic, action_dim=2, guide="qgf", weight=0.0)
obs = jnp.zeros((512, 2))
policy = qgf.calibrate(policy, obs[:64], jax.random.key(1))  # so that pushes can be given in standard deviations
print("spread of the policy's actions and norm of the critic's gradient:", policy.calibration)

for strength in (0.0, 0.5, 1.0):
    actions = policy.guided("qgf", strength=strength)(obs, jax.random.key(0))  # [512, 1, 2]
    print(f"strength {strength}: mean action {actions.mean((0, 1)).round(3)}")

best = policy.guided("qgf", strength=0.5, best_of=4)(obs, jax.random.key(0))
assert best[..., 0].mean() > 0.1, "guidance should raise the first coordinate"
assert abs(float(best[..., 1].mean())) < 0.05, "and leave the other alone"
