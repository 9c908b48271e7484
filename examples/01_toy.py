"""The whole method on a world where everything is known: does guidance reach the best action, or a flaw of the critic?

    python examples/01_toy.py

Actions come from three peaks at -2, 0 and 1; the best action is 1. The critic is right near the data and wrong at
3.3, where it promises far too much. Asking it at the noisy action falls for that; asking at the clean estimate does not.
"""

import jax
import jax.numpy as jnp

import qgf

world = qgf.toy.world("landing")
flow = world.mixture
noise = jax.random.normal(jax.random.key(0), (2000, 1))


def landings(guide: str, weight: float) -> jax.Array:
    """Where 2000 guided samples end up, [2000, 1]."""

    def one(a0):
        return qgf.sample(flow.velocity, world.critic, a0, guide, weight, world.steps, low=-jnp.inf, high=jnp.inf)

    return jax.jit(jax.vmap(one))(noise)


print(f"{'guide':>10} {'weight':>7} {'mean':>7} {'fooled':>7} {'critic says':>12} {'true return':>12}")
results = {}
for guide, weight in [("none", 0.0)] + [(g, w) for w in (2.0, 4.0) for g in ("ood", "bptt", "jacobian", "qgf")]:
    a = landings(guide, weight)
    fooled, value, true = jnp.mean(a > 2), *(jnp.mean(jax.vmap(f)(a)) for f in (world.critic, world.true_return))
    results[guide, weight] = dict(mean=float(a.mean()), fooled=float(fooled), critic=float(value), true=float(true))
    print(f"{guide:>10} {weight:>7} {a.mean():>7.2f} {fooled:>7.1%} {value:>12.2f} {true:>12.2f}")

plain, ood, guided = results["none", 0.0], results["ood", 4.0], results["qgf", 4.0]
assert guided["true"] > -0.3 > plain["true"], "guidance by QGF should reach the best peak"
assert ood["critic"] > guided["critic"] and ood["true"] < -2.5, "the OOD gradient should exploit the critic"
print("\nQGF lands on the best peak; the OOD gradient scores higher with the critic and does worse in truth.")
