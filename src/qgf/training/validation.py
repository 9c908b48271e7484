"""A critic judged on held-out episodes, without a simulator: is it right, do its members agree, can it be followed?

`held_out` gives what `train(evaluate=...)` takes: the best policy by `explained` is kept in best/, and patience ends a
training after whose best nothing better came. Each measure has a closed form in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.stats import rankdata

from qgf.data import Dataset
from qgf.data.stored import Stored
from qgf.errors import UserError
from qgf.method.guides import agreements
from qgf.method.observations import looked
from qgf.method.policy import Policy, without_guidance
from qgf.training.config import TrainConfig
from qgf.training.device import returns_of
from qgf.training.health import explained
from qgf.training.watch import Evaluate
from qgf.types import Batch, Members, ability

STATES = 512
ACTIONS = 8
"""Of the reference flow, at each state."""
STEEP = 1e-3
"""A state has a gradient if a push by one standard deviation changes Q by more than so much of its range."""
FLAT = 0.1
FALLEN = 0.1


def held_out(dataset: Dataset | Stored, config: TrainConfig) -> Evaluate:
    """evaluate(policy) -> the measures of `measured` on a fixed draw of the dataset's held-out chunks.

    Raises UserError for data without held-out episodes, without rewards, or with goals.
    """
    data = dataset.validation and dataset.validation.scaled()
    if data is None:
        raise UserError(
            f"{dataset.name} has no held-out episodes to judge by: train with --held-out 0.2, or "
            "put them beside it, in a file NAME-val.npz"
        )
    if data.goals is not None:
        raise UserError(f"{dataset.name} has goals, and held-out data judge critics of one task: play episodes instead")
    starts = data.starts(config.horizon)
    rng = np.random.default_rng(0)
    starts = np.sort(rng.choice(starts, min(STATES, len(starts)), replace=False))
    to_the_end = config.method.critic.to_the_end
    returns, bootstrap = returns_of(data, starts, config.horizon, config.discount, to_the_end)
    actions = data.chunk_actions(starts, config.horizon)
    cast = lambda x: jnp.asarray(x, x.dtype if x.dtype == np.uint8 else jnp.float32)
    obs, after = (jax.tree.map(cast, data.seen(rows, rng)) for rows in (starts, starts + config.horizon))
    batch = Batch(obs, cast(actions), cast(returns), cast(bootstrap), after)
    solved = succeeds_later(data)[starts]

    def evaluate(policy: Policy) -> dict[str, float]:
        return measured(policy, batch, solved)

    return evaluate


def succeeds_later(data: Dataset) -> np.ndarray:
    """Of every row whether the task is solved in its episode from then on, [N] bool."""
    solved = np.zeros(len(data.ends), bool) if data.masks is None else (data.masks == 0) & ~data.ends
    if data.rewarded == "success-to-go" and data.rewards is not None:  # failures end, too
        solved &= data.rewards > 0
    episode = data.numbers
    last = np.full(episode[-1] + 1, -1)
    np.maximum.at(last, episode[solved], np.flatnonzero(solved))
    return np.arange(len(solved)) <= last[episode]


def measured(policy: Policy, batch: Batch, solved: np.ndarray) -> dict[str, float]:
    """What can be told of a critic Q and its reference flow on a batch of raw observations that were not trained
    on; the first decides which policy is best.

    explained: 1 - Var(y - Q) / Var y (`health.explained`), y = R + gamma^H M Q(s', a'), a' an action of the reference
      flow;
    agreement: the mean cosine of the members' gradients (`guides.agreement`);
    ranks: how alike the members order the flow's actions at a state, the mean of their rank correlations;
    order: the chance that Q is larger where the episode will be solved than where it will not, 1/2 by guessing;
    steep: the share of states at which a push by one standard deviation of the flow's actions changes Q by more than a
      thousandth of its range, or of what it should say, if that is more;
    low, high: Q's 1 % and 99 % quantiles.

    agreement and ranks are told of ensembles, order where there are both kinds of episodes.
    """
    plain = without_guidance(policy, samples=1, calibration=None, members=None, choose=None)
    found = _measured(plain, batch, jax.random.key(0))
    q = np.asarray(found.pop("q"))
    told = dict(explained=float(found.pop("explained"))) | {name: float(x) for name, x in found.items()}
    if solved.any() and not solved.all():
        told["order"] = order(q, solved)
    low, high = np.quantile(q, [0.01, 0.99])
    return told | dict(low=float(low), high=float(high))


@eqx.filter_jit
def _measured(policy: Policy, batch: Batch, key: Array) -> dict[str, Array]:
    n, here, there = len(batch.actions), *jax.random.split(key)
    (_, obs), (policy, then) = looked(policy, batch.obs), looked(policy, batch.next_obs)
    batch = batch._replace(obs=obs, next_obs=then)
    after = policy._denoise(batch.next_obs, there)[0].reshape(n, -1)
    each = jax.vmap(policy.critic)
    q, target = each(batch.obs, batch.actions), batch.returns + batch.bootstrap * each(batch.next_obs, after)
    many = jax.tree.map(lambda x: jnp.repeat(x, ACTIONS, axis=0), batch.obs)
    a = policy._denoise(many, here)[0].reshape(n * ACTIONS, -1)
    sigma = jnp.mean(jnp.std(a.reshape(n, ACTIONS, -1), axis=1))
    slopes = jax.vmap(jax.grad(policy.critic, argnums=1))(batch.obs, a.reshape(n, ACTIONS, -1)[:, 0])
    found = dict(q=q, explained=explained(q, target))
    if members := ability(policy.critic, Members):
        found["agreement"] = jnp.mean(agreements(members, batch.obs, batch.actions))
        found["ranks"] = alike(jax.vmap(members)(many, a).reshape(n, ACTIONS, -1))
    push = sigma * slopes.shape[1] ** 0.5 * jnp.linalg.norm(slopes, axis=1)
    range = lambda x: jnp.quantile(x, 0.99) - jnp.quantile(x, 0.01)  # a critic that is one number has none of its own
    return found | dict(steep=jnp.mean(push > STEEP * jnp.maximum(range(q), range(target))))


def alike(values: Array) -> Array:
    """The mean over states of the rank correlation of every two members, of values[n, k, m] of k actions; 1 of one."""
    rank = jnp.argsort(jnp.argsort(values, axis=1), axis=1).astype(float)
    rank = rank - jnp.mean(rank, axis=1, keepdims=True)
    rank = rank / jnp.linalg.norm(rank, axis=1, keepdims=True)
    m = values.shape[2]
    pairs = jnp.sum(jnp.sum(rank, axis=2) ** 2, axis=1) - m
    return jnp.mean(pairs) / (m * (m - 1)) if m > 1 else jnp.ones(())


def order(q: np.ndarray, solved: np.ndarray) -> float:
    """The chance that a q[n] of the solved is larger than one of the others, ties counting half (Mann-Whitney)."""
    wins = int(solved.sum())
    return float((rankdata(q)[solved].sum() - wins * (wins + 1) / 2) / (wins * (len(q) - wins)))


def verdicts(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """What to say of a training whose measures these were, the oldest first: critics that went flat, or that were
    better on held-out data before.
    """
    if not rows or "explained" not in rows[0]:
        return []
    if rows[-1]["steep"] < FLAT:
        return [
            f"the critic has gone flat: it has a gradient at {100 * rows[-1]['steep']:.0f} % of the states; less "
            "--weight-decay, or --value-scale"
        ]
    best = max(rows, key=lambda row: row["explained"])
    if best["explained"] > 0 and best["explained"] - rows[-1]["explained"] > FALLEN:
        return [
            f"the critic learns the data by heart: on held-out data it explains {100 * rows[-1]['explained']:.0f} % of "
            f"what it should, after {best['step']:.0f} updates it was {100 * best['explained']:.0f} %; take that one "
            "(qgf export --best), or regularise it (--weight-decay, --dropout)"
        ]
    return []
