"""One small network that says what a guide would say: regression on the guide's directions along its paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qgf.data import Dataset
from qgf.data.stored import Stored, held
from qgf.errors import UserError, at_least_one
from qgf.method.guides import find
from qgf.method.policy import Policy
from qgf.method.sampling import At, denoise
from qgf.networks.learned import LearnedGuide
from qgf.training.trained import Normalised, Trained
from qgf.types import AMORTISED, Taught

PUSHES = 2.0
"""Paths are guided by up to so many times the strength that is asked for: another strength is asked for later."""
TOGETHER = 256
"""States whose paths are computed at once."""
STRIDE = 500
"""Updates of one compiled call."""


@dataclass(frozen=True)
class Study:
    """How a guide is learned."""

    states: int = 16_384  # each with one unguided path, and one guided
    updates: int = 20_000
    batch_size: int = 512
    learning_rate: float = 1e-3  # at the start; it falls to 0 as a cosine
    width: int | None = None  # of the network; None: half of the flow's, from 64 to 256
    seed: int = 0

    def __post_init__(self):
        at_least_one(self, "states", "updates", "batch_size")


class Points(NamedTuple):
    """What a teacher said: n states, k points of the paths of each."""

    obs: Any  # [n, S]
    a: Array  # [n, k, d]
    t: Array  # [n, k]
    g: Array  # [n, k, d]


class Held(NamedTuple):
    """How a learned guide does at states that it was not taught at."""

    error: float  # sum |g' - g|^2 / sum |g|^2
    cosine: float  # mean over the points where the teacher says something
    norm: float  # mean |g'| / mean |g|


def check_teacher(trained: Trained, policy: Policy) -> None:
    """Raises UserError for what cannot be learned from."""
    guide = find(policy.guide)
    if trained.spec.images:
        raise UserError("this policy sees pictures; a guide is learned from states that are numbers")
    if policy.guide == "none" or AMORTISED in str(policy.guide):
        raise UserError(f"{policy.guide} says nothing of its own: name a guide that asks a critic")
    if trait := next((x for x in ("climbs", "reference", "scale_free") if hasattr(guide, x)), ""):
        why = dict(climbs="acts after denoising", reference="has a flow of its own").get(trait, "has its own unit")
        raise UserError(f"a guide that only adds a direction while denoising can be learned, and {policy.guide} {why}")


@eqx.filter_jit
def _paths(policy: Policy, obs: Any, key: Array) -> tuple[Array, Array, Array]:
    """Of every state an unguided path and one guided by 0 to PUSHES times the policy's weight; (a, t, g)."""
    n = len(jax.tree.leaves(obs)[0])
    start, push = jax.random.split(key)
    a0 = jax.random.normal(start, (n, 2, policy.horizon * policy.action_dim))
    factors = PUSHES * jax.random.uniform(push, (n, 2)) * jnp.array([0.0, 1.0])

    def path(o, a0, factor):
        v, q = At(policy.velocity, o), At(policy.guiding, o)
        how = (policy.guide, factor * policy.weight, policy.steps, policy.low, policy.high, policy.schedule)
        found = denoise(v, q, a0, *how)
        return found.a[:-1], found.t, found.g

    a, t, g = jax.vmap(jax.vmap(path, (None, 0, 0)))(obs, a0, factors)
    return tuple(x.reshape(n, -1, *x.shape[3:]) for x in (a, t, g))


def points(policy: Policy, obs: Any, key: Array, progress: Callable[[int, int], None]) -> Points:
    """What the policy's guide says along paths from obs [n, S]. Raises UserError where that is not finite."""
    n, parts = len(obs), []
    for k, first in enumerate(range(0, n, TOGETHER)):
        some = obs[np.arange(first, first + TOGETHER) % n]  # always as many: one program
        parts.append([np.asarray(x)[: n - first] for x in _paths(policy, some, jax.random.fold_in(key, k))])
        progress(min(first + TOGETHER, n), n)
    a, t, g = (np.concatenate(x) for x in zip(*parts, strict=True))
    if not np.isfinite(a).all() or not g.any():
        raise UserError(f"{policy.guide} says nothing at all, or its paths are not finite: there is nothing to learn")
    return Points(jnp.asarray(obs), jnp.asarray(a), jnp.asarray(t), jnp.asarray(g))


def learn(
    trained: Trained, taught: Points, study: Study, width: int, progress: Callable[[int, int], None]
) -> LearnedGuide:
    """The network of least mean |g' - g|^2 over the points, by Adam."""
    spec, (n, k) = trained.spec, taught.t.shape
    net = LearnedGuide(spec.obs_dim, spec.d, width, jax.random.key(study.seed))
    scale = jnp.sqrt(jnp.mean(taught.g**2))
    adam = optax.adam(optax.cosine_decay_schedule(study.learning_rate, study.updates))

    def loss(net, i, j):
        said = _says(trained.raw(net), taught.obs[i], taught.a[i, j], taught.t[i, j])
        return jnp.mean((said - taught.g[i, j] / scale) ** 2)

    def update(carry, key):
        net, state = carry
        rows, columns = jax.random.split(key)
        size = (study.batch_size,)
        g = jax.grad(loss)(net, jax.random.randint(rows, size, 0, n), jax.random.randint(columns, size, 0, k))
        g = eqx.tree_at(lambda x: x.scale, g, jnp.zeros(()))
        change, state = adam.update(g, state)
        return (optax.apply_updates(net, change), state), None

    many = jax.jit(lambda carry, keys: jax.lax.scan(update, carry, keys)[0])
    carry, keys = (net, adam.init(net)), jax.random.split(jax.random.key(study.seed + 1), study.updates)
    for first in range(0, study.updates, STRIDE):
        carry = jax.block_until_ready(many(carry, keys[first : first + STRIDE]))
        progress(min(first + STRIDE, study.updates), study.updates)
    return eqx.tree_at(lambda x: x.scale, carry[0], scale)


def _says(guide: Normalised, obs: Array, a: Array, t: Array) -> Array:
    return jax.vmap(guide)(obs, a, t)


def held_out(guide: Normalised, taught: Points) -> Held:
    """Against what the teacher says."""
    k = taught.t.shape[1]
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    answer = eqx.filter_jit(_says)(guide, jnp.repeat(taught.obs, k, axis=0), flat(taught.a), flat(taught.t))
    g, said = (np.asarray(x, np.float64) for x in (flat(taught.g), answer))
    norms, sizes = np.linalg.norm(g, axis=1), np.linalg.norm(said, axis=1)
    says = (norms > 0) & (sizes > 0)
    cosine = np.sum(g * said, axis=1)[says] / (norms * sizes)[says]
    return Held(float(((said - g) ** 2).sum() / (g**2).sum()), float(cosine.mean()), float(sizes.mean() / norms.mean()))


def states_of(dataset: Dataset | Stored, horizon: int, study: Study) -> tuple[np.ndarray, np.ndarray]:
    """States to learn at [n, S] and to be examined at [n / 16, S]: these of episodes that nothing was trained on, if
    there are any. Raises UserError for data of pictures.
    """
    if dataset.cameras:
        raise UserError(f"{dataset.name} has pictures; a guide is learned from states that are numbers")
    rng = np.random.default_rng(study.seed)
    source, few = held(dataset), max(study.states // 16, 1)
    starts = rng.permutation(source.starts(horizon))
    other = dataset.validation or source
    examined = rng.permutation(other.starts(horizon))[:few] if dataset.validation else starts[:few]
    rest = starts if dataset.validation else starts[few:]
    if not len(rest):
        raise UserError(f"{dataset.name} has too few states to learn from")
    rows = np.resize(rest, study.states)  # again and again where they are fewer: their noise is another each time
    return np.asarray(source.seen(rows, rng)), np.asarray(other.seen(examined, rng))


def distilled(
    trained: Trained,
    policy: Policy,
    obs: np.ndarray,
    others: np.ndarray,
    study: Study = Study(),
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> tuple[tuple[LearnedGuide, Taught], Held]:
    """A guide learned from that of `policy`, one of what was trained, at the states `obs` [n, S] and examined at
    `others`; to be used as `Trained.lesson`. Raises UserError for a guide that cannot be learned.
    """
    check_teacher(trained, policy)
    key, held = jax.random.split(jax.random.key(study.seed))
    taught = points(policy, obs, key, lambda *at: progress("asking the teacher", *at))
    asked = points(policy, others, held, lambda *at: progress("asking it where it is examined", *at))
    width = study.width or int(np.clip(getattr(trained.method, "width", 256) // 2, 64, 256))
    net = learn(trained, taught, study, width, lambda *at: progress("learning", *at))
    found = held_out(trained.raw(net), asked)
    name = policy.guide if isinstance(policy.guide, str) else policy.guide.__name__
    return (net, Taught(name, policy.members, width, found.error)), found
