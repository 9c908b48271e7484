"""Methods that train a policy with the critic beside those that only ask it at test time, where all is known.

    python examples/04_rivals.py docs/images/rivals.png

One state, actions around six points of a ring, and a critic that wants them to the upper right, Q(a) = 2 a_0 + a_1.
What a policy should then play is pi exp(Q / temperature), the shades of every panel. The critic is given, not learned.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from matplotlib.figure import Figure

from qgf.method.toy import Mixture
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.methods import METHODS
from qgf.training.trained import Trained
from qgf.types import Spec

SPEC, STEPS, N = Spec(obs_dim=1, action_dim=2, horizon=1), 2000, 1000
ANGLES = jnp.arange(6) * jnp.pi / 3
DATA = Mixture(0.62 * jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], axis=1), jnp.ones(6), 0.09)
value = lambda a: 2 * a[..., 0] + a[..., 1]
CRITIC = jax.tree_util.Partial(lambda obs, a: jnp.stack([value(a)] * 2, axis=-1))  # an ensemble of two that agree
GIVEN = dict(critic=CRITIC, target=CRITIC, value=CRITIC)


def train(name, flow=None, **options) -> Trained:
    """The method's networks after a short training beside the given critic, and the flow if it is lent."""
    method = METHODS[name](width=64, depth=2, **options)
    lent = GIVEN | (dict(flow=jax.tree.map(jnp.copy, flow)) if flow else {})
    learner = Learner(method, SPEC, optax.cosine_decay_schedule(4e-3, STEPS), 256, lent)
    a, rows = DATA.sample(jax.random.key(1), 20_001), jnp.arange(20_000)
    data = Chunks(jnp.zeros((20_001, 1)), a, rows, 0.0 * rows, 0.0 * rows)
    state = learner.init(jax.random.key(0))
    nets = learner.run(state, data, STEPS)[0].nets if learner.losses else state.nets
    return Trained(nets, jnp.zeros(1), jnp.ones(1), method, SPEC)


cloned = train("bc")
flow = cloned.nets.flow
policies = {
    "cloned flow": cloned.policy(),
    "QGF, w = 0.4": cloned.policy().guided("qgf", weight=0.4),
    "IFQL, best of 32": train("ifql", flow).policy(),
    "QAM": train("qam", flow, inverse_temperature=1.0).policy(),
    "FQL": train("fql", flow, alpha=5.0).policy(),
    "EDP": train("edp", alpha=2.0).policy(),
    "IDQL, best of 32": train("idql").policy(),
    "DAC": train("dac", alpha=5.0).policy(),
    "QSM": train("qsm", alpha=30.0, scale=3.0).policy(),
}
played = {name: policy(jnp.zeros((N, 1)), jax.random.key(2))[:, 0] for name, policy in policies.items()}
base = value(played["cloned flow"]).mean()

x = jnp.linspace(-1, 1, 161)
grid = jnp.stack(jnp.meshgrid(x, x), axis=-1)
log_density = jax.vmap(jax.vmap(lambda a: DATA.log_prob(a, jnp.array(1.0))))(grid) + value(grid)
tilted = jax.nn.softmax(log_density.ravel()).reshape(log_density.shape)
figure = Figure(figsize=(7.2, 7.8), layout="constrained")
for ax, (name, a) in zip(figure.subplots(3, 3).flat, played.items(), strict=True):
    ax.imshow(tilted**0.5, origin="lower", extent=(-1, 1, -1, 1), cmap="Blues")
    ax.scatter(*a.T, s=1.5, color="#f97316", alpha=0.6, linewidths=0)
    ax.set(title=f"{name}\nmean Q {value(a).mean():.2f}", xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1))
    print(f"{name:>17}: mean Q {value(a).mean():5.2f}; of pi exp(Q / temperature) {(tilted * value(grid)).sum():.2f}")
    assert name == "cloned flow" or value(a).mean() > base + 0.2, f"{name} should improve on cloning"
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "rivals.png", dpi=130)
