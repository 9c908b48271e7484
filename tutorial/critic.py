"""Writes src/assets/critic.json: the small critic that panel 3 of the teaser (D2) asks.

A network that sees an action and a star, fitted to Q(a) = -|a - star|^2 / 2 where the data are and nowhere else: the
actions come from the three clusters, the stars from everywhere. Values are compared, slopes never, as when a critic is
trained.

    python tutorial/critic.py
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

CLUSTERS = np.array([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]])
STD = 0.2
REACH = np.array([2.0, 1.7])
"""Of the star, as the teaser's handle has it."""
SIZES = [4, 24, 24, 1]
STEPS, BATCH, SEED = 6000, 256, 0
OUT = Path(__file__).parent / "src/assets/critic.json"


def network(weights, x: jax.Array) -> jax.Array:
    """Q of action and star, `x` [4]: tanh layers, then a linear one. Returns []."""
    for w, b in weights[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = weights[-1]
    return (x @ w + b)[0]


def draw(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Actions with stars [n, 4] and what they are worth [n]."""
    which, noise, stars = jax.random.split(key, 3)
    centres = jnp.asarray(CLUSTERS)[jax.random.randint(which, (n,), 0, len(CLUSTERS))]
    actions = centres + STD * jax.random.normal(noise, (n, 2))
    stars = jnp.asarray(REACH) * jax.random.uniform(stars, (n, 2), minval=-1, maxval=1)
    return jnp.concatenate([actions, stars], 1), -0.5 * jnp.sum((actions - stars) ** 2, 1)


def fit(seed: int):
    keys = jax.random.split(jax.random.key(seed), len(SIZES))
    shapes = zip(keys, SIZES[:-1], SIZES[1:], strict=False)
    weights = [(jax.random.normal(key, (i, o)) / np.sqrt(i), jnp.zeros(o)) for key, i, o in shapes]
    optimiser = optax.adam(optax.cosine_decay_schedule(5e-3, STEPS))

    def loss(weights, x, q):
        return jnp.mean((jax.vmap(network, (None, 0))(weights, x) - q) ** 2)

    @jax.jit
    def step(carry, key):
        weights, state = carry
        value, grads = jax.value_and_grad(loss)(weights, *draw(key, BATCH))
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(weights, updates), state), value

    (weights, _), losses = jax.lax.scan(step, (weights, optimiser.init(weights)), jax.random.split(keys[-1], STEPS))
    return weights, float(losses[-200:].mean())


def main() -> None:
    weights, error = fit(SEED)
    plain = lambda x: np.round(np.asarray(x), 4).tolist()
    layers = [{"weight": plain(w), "bias": plain(b)} for w, b in weights]
    OUT.write_text(json.dumps({"layers": layers}, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: mean squared error on the data {error:.4f}")


if __name__ == "__main__":
    main()
