"""Whether a run's critic may steer a robot: what can be known before it moves, from held-out episodes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qgf.data import Dataset
from qgf.data.stored import Stored
from qgf.deployment.bench import bench
from qgf.errors import UserError
from qgf.method.guides import agreements
from qgf.method.policy import Policy, without_guidance
from qgf.playing.rows import Measured
from qgf.statistics import bootstrap, wilson_of
from qgf.training.validation import succeeds_later
from qgf.types import Members, ability

CHUNKS = 1024
"""Held-out chunks that the critic is asked about, at most."""
SAMPLES = 2000
ABOVE, BELOW = "above 0", "below 1"


class Check(msgspec.Struct, kw_only=True):
    """A row of sanity.csv."""

    name: str
    value: Measured | None = None
    low: Measured | None = None  # of its 95 % interval, for new episodes of the same kind
    high: Measured | None = None
    asks: str  # what it has to be
    passed: bool | None = None  # none: it cannot be told, or nothing was asked
    why: str  # what that says


def sanity(
    policy: Policy, dataset: Dataset | Stored, hz: float | None = None, calls: int = 100, seed: int = 0
) -> list[Check]:
    """What can be known of a guided policy without moving a robot, on the held-out episodes of `dataset`:

    order: the chance that Q, averaged over an episode, is larger in one that succeeds than in one that fails
      (Mann-Whitney); its interval, no narrower than Wilson's of as many trials as there are of the rarer, above 1/2.
    shuffled: by how much Q falls, in standard deviations of Q, when a state's actions are those of another episode;
      above 0, or Q does not look at actions.
    agreement: the mean cosine of the members' gradients (`guides.agreement`); above 0. Of ensembles.
    push: mean over the steps of |w g| / |v|; below 1, or the critic steers more than the cloned policy does.
    latency: the 99th percentile of a decision, in ms; with `hz` below the time in which a chunk is executed.

    Intervals draw episodes anew (`statistics.bootstrap`). Raises UserError for data without held-out episodes or
    rewards.
    """
    data = dataset.validation and dataset.validation.scaled()
    if data is None:
        raise UserError(
            f"{dataset.name} has no held-out episodes to judge by: train with --held-out 0.2, or put "
            "them beside it, in NAME-val.npz"
        )
    if data.goals is not None:
        raise UserError(f"{dataset.name} has goals: a critic of one task can be checked, play episodes instead")
    rng = np.random.default_rng(seed)
    starts = data.starts(policy.horizon)
    starts = np.sort(rng.choice(starts, min(CHUNKS, len(starts)), replace=False))
    episode = data.numbers[starts]
    per = lambda x: _means(np.asarray(x), episode)
    chunk = lambda rows: jnp.asarray(data.chunk_actions(rows, policy.horizon), jnp.float32)
    own, other = chunk(starts), chunk(_elsewhere(starts, episode, rng))
    obs = jax.tree.map(jnp.asarray, data.seen(starts, rng))
    plain = without_guidance(policy, samples=1, calibration=None, members=None, choose=None)
    q, shuffled, agreement = _asked(plain, obs, own, other)
    fall = (q - shuffled) / jnp.maximum(jnp.std(q), 1e-12)
    ratio = policy.act(obs, jax.random.key(seed))[1].ratio
    return [
        _order(per(q), succeeds_later(data)[data.first[np.unique(episode)]]),
        _mean("shuffled", per(fall), ABOVE, "Q falls when actions are those of another episode",
               "Q does not fall when actions are those of another episode: it does not look at them"),
        Check(name="agreement", asks=ABOVE, why="the critic has one member, which none contradicts")
        if agreement is None else
        _mean("agreement", per(agreement), ABOVE, "members agree which way is better",
               "members do not agree which way is better"),
        _mean("push", per(ratio), BELOW, "the cloned policy leads",
              "the critic steers more than the cloned policy: lower the strength"),
        _latency(policy, data, hz, calls),
    ]  # fmt: skip


def verdict(checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether to go, and a line that says why: if all that is asked is so, and order and shuffled could be told."""
    failed = [check for check in checks if check.passed is False]
    if failed:
        return False, "no go: " + "; ".join(check.why for check in failed)
    unknown = [check.why for check in checks if check.passed is None and check.name in ("order", "shuffled")]
    if unknown:
        return False, "no go: " + "; ".join(unknown)
    return True, "go: nothing here speaks against it; whether guidance helps, `qgf ab` finds out"


def _elsewhere(starts: np.ndarray, episode: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of the starts that of a chunk of another episode, where there is one."""
    drawn = rng.permutation(len(starts))
    for _ in range(100):
        same = episode[drawn] == episode
        if not same.any():
            break
        drawn[same] = rng.integers(len(starts), size=same.sum())
    return starts[drawn]


@eqx.filter_jit
def _asked(policy: Policy, obs: Any, own: jax.Array, other: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Q of both actions, and how far the members' gradients agree at the first."""
    q = jax.vmap(policy.critic)
    members = ability(policy.critic, Members)
    return q(obs, own), q(obs, other), None if members is None else agreements(members, obs, own)


def _means(x: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """The mean of every episode, [E]."""
    _, number = np.unique(episode, return_inverse=True)
    return np.bincount(number, x) / np.bincount(number)


def _order(q: np.ndarray, solved: np.ndarray) -> Check:
    check = Check(name="order", asks="above 1/2", why="")
    wins, fails = q[solved], q[~solved]
    if min(len(wins), len(fails)) < 2:
        check.why = (
            f"{len(wins)} held-out episodes succeed and {len(fails)} fail: it takes two of each to tell them apart"
        )
        return check
    larger = (wins[:, None] > fails) + 0.5 * (wins[:, None] == fails)
    rng = np.random.default_rng(0)
    times = lambda n: rng.multinomial(n, np.full(n, 1 / n), size=SAMPLES) / n
    drawn = np.einsum("bi,ij,bj->b", times(len(wins)), larger, times(len(fails)))
    check.value = float(larger.mean())
    least = wilson_of(check.value, min(len(wins), len(fails)))  # where all are told apart, drawing anew says nothing
    low, high = np.quantile(drawn, [0.025, 0.975])
    check.low, check.high = float(min(low, least[0])), float(max(high, least[1]))
    check.passed = check.low > 0.5
    told = "tells" if check.passed else "does not tell"
    check.why = f"Q {told} the {len(wins)} episodes that succeed from the {len(fails)} that fail"
    return check


def _mean(name: str, x: np.ndarray, asks: str, good: str, bad: str) -> Check:
    """A check of numbers of episodes, the interval of whose mean has to lie ABOVE 0 or BELOW 1."""
    low, high = bootstrap(x)
    passed = bool(low > 0 if asks == ABOVE else high < 1)
    why = good if passed else bad
    return Check(name=name, value=float(x.mean()), low=low, high=high, asks=asks, passed=passed, why=why)


def _latency(policy: Policy, data: Dataset, hz: float | None, calls: int) -> Check:
    one = jax.tree.map(lambda x: np.asarray(x)[0], data.seen(data.first[:1], np.random.default_rng(0)))
    row = bench(policy, one, (1,), calls)[0]
    check = Check(
        name="latency",
        value=float(row.p99_ms),
        asks="–",
        why=f"a decision takes {row.median_ms:.1f} ms, one in 100 longer than {row.p99_ms:.1f}",
    )
    if hz is not None:
        time = 1e3 * policy.horizon / hz
        check.asks, check.passed = f"below {time:g} ms", bool(row.p99_ms < time)
        check.why += f"; {policy.horizon} actions at {hz:g} Hz take {time:g}"
    return check
