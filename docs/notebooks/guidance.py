# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A notebook: guidance where everything is known
#
# A flow and a critic in one dimension, both in closed form, so that every claim can be checked. The data are three
# peaks of actions, at -2, 0 and 1; the best action is 1. The critic is right near the data and wrong at 3.3, where it
# promises far too much.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import qgf

world = qgf.toy.world("landing")
flow = world.mixture
a = jnp.linspace(-4, 5, 400)[:, None]
density = jnp.exp(jax.vmap(lambda x: flow.log_prob(x, jnp.array(1.0)))(a))

figure, ax = plt.subplots(figsize=(7, 2.8))
ax.fill_between(a[:, 0], density / density.max(), color="0.85", label="data")
ax.plot(a, jax.vmap(world.critic)(a) / 10, label="critic / 10")
ax.plot(a, jax.vmap(world.true_return)(a) / 10, "--", label="true return / 10")
ax.set(xlabel="action", ylim=(-1, 1.2))
ax.legend()
plt.show()

# %% [markdown]
# ## The policy alone
#
# Denoising carries noise to the data, in the proportions of the data. It knows nothing of the critic.

# %%
noise = jax.random.normal(jax.random.key(0), (2000, 1))


def play(guide, weight):
    """Where 2000 samples end up, [2000]."""
    one = lambda a0: qgf.sample(flow.velocity, world.critic, a0, guide, weight, world.steps, low=-9, high=9)
    return jax.jit(jax.vmap(one))(noise)[:, 0]


figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
arms = [("none", 0.0), ("ood", 4.0), ("qgf", 4.0)]
for ax, (guide, weight) in zip(axes, arms, strict=True):
    ax.hist(play(guide, weight), bins=80, range=(-4, 5), density=True)
    ax.set(title=guide, xlabel="action")
plt.show()

# %% [markdown]
# ## The same critic, asked at two places
#
# `ood` asks for the gradient at the noisy action, where the critic was never right: it is led to 3.3. `qgf` asks at the
# one-step estimate of the clean action, where data are: it lands on the best peak. The critic prefers what `ood` found,
# the truth does not.

# %%
for guide, weight in arms:
    landed = play(guide, weight)[:, None]
    says, true = (float(jax.vmap(f)(landed).mean()) for f in (world.critic, world.true_return))
    print(f"{guide:>5}: mean action {float(landed.mean()):5.2f}, critic says {says:5.2f}, true return {true:5.2f}")

# %% [markdown]
# ## One path
#
# `trace=True` returns the whole path: noisy actions, one-step estimates and directions.

# %%
start = jnp.array([-0.4])
path = qgf.sample(flow.velocity, world.critic, start, "qgf", 4.0, world.steps, low=-9, high=9, trace=True)
figure, ax = plt.subplots(figsize=(7, 2.6))
ax.plot([*path.t, 1.0], path.a, "o-", label="noisy action")
ax.plot(path.t, path.a1_hat, "D", label="one-step estimate")
ax.axhline(1.0, color="0.7", ls=":")
ax.set(xlabel="time", ylabel="action")
ax.legend()
plt.show()
