"""What a set of episodes says about a method: intervals, paired tests and aggregates over tasks and runs.

A run is one trained policy (one training seed). Scores are fractions between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import scipy  # its submodules load on first use: commands that need no statistics start fast
from numpy.typing import ArrayLike

from qgf.errors import UserError


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a proportion: (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n), z = 1.96.

    Wilson 1927; never empty, even at 0 or n successes. It knows only the episodes, not the spread between runs.
    """
    interval = scipy.stats.binomtest(successes, episodes).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def wilson_of(rate: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval by its formula, for a rate that is no count of successes: of a mean over tasks."""
    z = scipy.stats.norm.ppf((1 + confidence) / 2)
    centre, scale = rate + z * z / (2 * trials), 1 + z * z / trials
    half = z * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return float((centre - half) / scale), float((centre + half) / scale)


def _pairs(a: ArrayLike, b: ArrayLike, kind: type) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, kind).ravel(), np.asarray(b, kind).ravel()
    if a.shape != b.shape:
        raise UserError(f"a paired test needs the same episodes on both sides, got {a.size} and {b.size}")
    return a, b


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Exact two-sided McNemar test of paired booleans, P(|B - n/2| >= |b₁₀ - n/2|), B ~ Binomial(n, 1/2).

    n counts the pairs that differ, b₁₀ those with a and not b; 1.0 if none differ. McNemar 1947. Raises UserError if
    the two are not of one length.
    """
    a, b = _pairs(a, b, bool)
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    return float(scipy.stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


class Sequential(NamedTuple):
    """Paired successes, looked at after every pair."""

    wins: int  # pairs in which only the first succeeded
    losses: int
    evidence: float  # against no difference, the largest so far; a bet's winnings
    p: float  # valid at any time, 1 / evidence
    decided: bool  # whether the evidence ever reached 1 / alpha


def sequential(a: ArrayLike, b: ArrayLike, alpha: float = 0.05) -> Sequential:
    """The sequential test of paired booleans a, b [n], in the order in which they were played: of two that do not
    differ it ever decides, at any of any number of looks, with probability alpha at most.

    Of the n pairs that differ k are wins; the evidence is the mixture likelihood ratio against 1/2,
    2^n B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) (Robbins 1970; the bet of Krichevsky & Trofimov), a martingale of mean 1
    if wins and losses are equally likely, however often pairs differ; so it reaches 1/alpha with probability alpha at
    most (Ville 1939). Raises UserError if the two are not of one length.
    """
    a, b = _pairs(a, b, bool)
    k, lost = np.cumsum(a & ~b), np.cumsum(~a & b)
    ratio = (k + lost) * np.log(2) + scipy.special.betaln(k + 0.5, lost + 0.5) - scipy.special.betaln(0.5, 0.5)
    most = float(np.exp(min(np.max(ratio, initial=0.0), 700.0)))
    return Sequential(int(k[-1:].sum()), int(lost[-1:].sum()), most, 1 / most, most >= 1 / alpha)


def bootstrap(x: ArrayLike, samples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of x [n], drawn again n at a time (Efron 1979); nan of fewer than two.

    It knows only the episodes, not the spread between runs; of fewer than some 20 it is too narrow.
    """
    x = np.asarray(x, float).ravel()
    if len(x) < 2:
        return float("nan"), float("nan")
    rng, drawn = np.random.default_rng(seed), np.empty(samples)
    for k in range(0, samples, 1000):
        rows = rng.integers(len(x), size=(min(1000, samples - k), len(x)))
        drawn[k : k + len(rows)] = x[rows].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


EXACT = 12
"""Pairs up to which all ways of exchanging are gone through."""


def paired_permutation(a: ArrayLike, b: ArrayLike, samples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of no difference between paired numbers a, b [n]: how often the mean of a - b is as far from 0 when
    in each pair the two are exchanged at random (Fisher 1935). Exact for up to `EXACT` pairs, else
    (1 + k) / (1 + samples).

    Raises UserError if the two are not of one length.
    """
    a, b = _pairs(a, b, float)
    difference = a - b
    far = np.abs(difference.sum()) * (1 - 1e-12)
    if len(a) <= EXACT:
        signs = np.array(np.meshgrid(*[(-1, 1)] * len(a))).reshape(len(a), -1).T
        return float(np.mean(np.abs(signs @ difference) >= far))
    rng, beyond = np.random.default_rng(seed), 0
    for k in range(0, samples, 1000):
        signs = rng.choice((-1.0, 1.0), size=(min(1000, samples - k), len(a)))
        beyond += int(np.sum(np.abs(signs @ difference) >= far))
    return (1 + beyond) / (1 + samples)


def mean(scores: np.ndarray) -> np.ndarray:
    """Mean over runs and tasks of scores [..., runs, tasks]; every task counts the same."""
    return np.mean(scores, axis=(-2, -1))


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean of scores [..., runs, tasks]: of the middle half of all runs x tasks, ⌊n/4⌋ cut at each end.

    Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice", §4.3; `rliable`'s aggregate_iqm.
    """
    ordered = np.sort(np.reshape(scores, (*np.shape(scores)[:-2], -1)))
    cut = ordered.shape[-1] // 4
    return np.mean(ordered[..., cut : ordered.shape[-1] - cut], axis=-1)


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P(X > Y) + P(X = Y)/2 for a run of each, averaged over tasks; x [..., runs, tasks], y [..., other runs, tasks].

    Per task the Mann-Whitney U divided by the number of pairs. Agarwal et al. 2021, §4.3.
    """
    x, y = x[..., :, None, :], y[..., None, :, :]
    return np.mean((x > y) + 0.5 * (x == y), axis=(-3, -2, -1))


def rates(scores: ArrayLike) -> np.ndarray:
    """[runs, tasks, episodes] of 0 and 1, nan where a run has fewer episodes -> the fraction solved [runs, tasks]."""
    return np.nanmean(np.asarray(scores, float), axis=2)


def ragged(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Scores of several runs' episodes as one array [runs, episodes], nan where a run has fewer."""
    longest = max(map(len, runs))
    return np.stack([np.pad(np.asarray(x, float), (0, longest - len(x)), constant_values=np.nan) for x in runs])


def difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """mean(x) - mean(y) of scores [..., runs, tasks]."""
    return mean(x) - mean(y)


def joint_bootstrap(
    scores: ArrayLike | tuple[ArrayLike, ...],
    statistic: Callable[..., np.ndarray] = mean,
    samples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    of: Literal["rate", "difference", "number"] = "rate",
    trials: int | None = None,
) -> tuple[float, float]:
    """Interval of statistic(`rates` of the scores) for new training seeds and new episodes of the same tasks.

    Scores are [runs, tasks, episodes] of 0 and 1, or returns (nan: not played). Run j of every task has one training
    seed, and with it one flow; episode k may be the same random stream in every run. So both are drawn once for all
    tasks, and once for all of a tuple of arrays of one size (two arms on the same episodes), which is passed as so many
    arguments: J - 1 of the J seeds with replacement, which makes the spread of a mean unbiased (Rao & Wu 1988), and as
    many episodes as there are. Tasks are the benchmark's and are not drawn. The samples' quantiles, as distances from
    the estimate, are stretched by t(3 J) / z, as few seeds make percentiles too narrow: between t(J - 1), where all
    luck is the training's, and z, where all is the episodes'. In simulated studies of 2, 3 and 5 seeds, which share
    flows and episodes, "95 %" holds in 94 to 98 %; where training seeds differ by 12 points, in 83 to 92 %. One seed
    has its episodes' luck alone in its interval, unstretched.

    The interval of a rate contains Wilson's for as many `trials` (tasks x episodes), that of a difference of rates the
    0 ± 3/n of n pairs that do not differ, so that neither is a point. Of returns and their differences it is as drawn.
    The statistic maps [samples, runs, tasks] to [samples].
    """
    estimate, (low, high), distinct = _stretched(scores, statistic, samples, seed, confidence)
    trials = trials or distinct
    if of == "number":
        return float(low), float(high)
    if of == "rate":
        least = wilson_of(estimate, trials, confidence)
    else:
        none = 1 - ((1 - confidence) / 2) ** (1 / trials)  # P(no pair of n differs | this rate of them) = 2.5 %
        least = estimate - none, estimate + none
    lowest = 0.0 if of == "rate" else -np.inf  # p wants the ends of a difference as they are
    return float(max(min(low, least[0]), lowest)), float(min(max(high, least[1]), 1.0 - lowest))


class Paired(NamedTuple):
    """mean(x) - mean(y) of two arms on the same episodes."""

    difference: float
    low: float
    high: float
    p: float  # two-sided, nan for one training seed


def paired(x: ArrayLike, y: ArrayLike, samples: int = 2000, seed: int = 0, returns: bool = False) -> Paired:
    """The difference of two arms, successes or `returns` [runs, tasks, episodes] of each, with its 95 %
    `joint_bootstrap` interval.

    p is that of a t-test with 3 J degrees of freedom whose standard error is the interval's: the runs are its unit,
    not the episodes. Raises UserError if the two are not of one size.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape:
        raise UserError(f"a paired test needs the same episodes on both sides, got {list(x.shape)} and {list(y.shape)}")
    found = float(difference(rates(x), rates(y)))
    low, high = joint_bootstrap((x, y), difference, samples, seed, of="number" if returns else "difference")
    runs = len(x)
    critical = scipy.stats.t.ppf(0.975, 3 * runs)
    side = found - low if found > 0 else high - found  # of the interval, towards no difference
    distance = abs(found) / side if side > 0 else np.inf if found else 0.0  # in half intervals
    p = float(2 * scipy.stats.t.sf(critical * distance, 3 * runs)) if runs > 1 else float("nan")
    return Paired(found, low, high, p) if returns else Paired(found, max(low, -1.0), min(high, 1.0), p)


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's 1979 correction of p-values for their number, step-down; nan stays nan and does not count."""
    p = np.asarray(p, float)
    corrected, known = p.copy(), np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _stretched(scores, statistic, samples: int, seed: int, confidence: float):
    """The estimate, the stretched quantiles of the samples, and the number of trials (tasks x episodes)."""
    groups = [np.asarray(group, float) for group in (scores if isinstance(scores, tuple) else (scores,))]
    if any(group.ndim != 3 for group in groups):
        raise UserError("scores are [runs, tasks, episodes] of 0 and 1")
    drawn = _draws(samples, seed, tuple(dict.fromkeys((len(group), group.shape[2]) for group in groups)))
    values = statistic(*(_resampled(group, *drawn[group.shape[0], group.shape[2]]) for group in groups))
    if np.shape(values) != (samples,):
        raise UserError(f"the statistic gave {np.shape(values)}, not one number for each of {samples} samples")
    estimate, level = float(statistic(*map(rates, groups))), (1 + confidence) / 2
    runs = min(len(group) for group in groups)
    stretch = scipy.stats.t.ppf(level, 3 * runs) / scipy.stats.norm.ppf(level) if runs > 1 else 1.0
    ends = estimate + stretch * (np.quantile(values, [1 - level, level]) - estimate)
    trials = min(int(np.sum(~np.isnan(group), axis=2).max(axis=0).sum()) for group in groups)
    return estimate, ends, trials


@lru_cache(maxsize=8)
def _draws(
    samples: int, seed: int, sizes: tuple[tuple[int, int], ...]
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """For each size, of runs and episodes: which runs [samples, drawn] and how often each episode [samples, episodes].
    A table asks for the same ones in most of its cells.
    """
    random = np.random.default_rng(seed)
    return {
        (runs, episodes): (
            random.integers(runs, size=(samples, max(runs - 1, 1))),
            random.multinomial(episodes, np.full(episodes, 1 / episodes), size=samples),
        )
        for runs, episodes in sizes
    }


def _resampled(scores: np.ndarray, seeds: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Scores [runs, tasks, episodes], which seeds [samples, drawn], how often each episode [samples, episodes] ->
    [samples, drawn, tasks]. A run of whose episodes none was drawn keeps its rate.
    """
    known = ~np.isnan(scores)
    solved = np.einsum("bk,jik->bji", times, np.where(known, scores, 0.0))
    played = np.einsum("bk,jik->bji", times, known.astype(float))
    rate = np.where(played > 0, solved / np.maximum(played, 1), rates(scores))
    return np.take_along_axis(rate, seeds[:, :, None], axis=1)


def selection_bias(success: ArrayLike, splits: int = 1000, seed: int = 0) -> float:
    """How much choosing an arm on the episodes that are reported flatters it: success[arms, episodes] of one group of
    paired episodes; the mean over random halves A, B of max_k mean_A(k) - mean_B(argmax_k mean_A(k)).

    Ties in A go to the earlier arm. For half as many episodes as given; more episodes, or arms that differ more, are
    flattered less. Raises UserError for fewer than two episodes.
    """
    success = np.asarray(success, float)
    episodes = success.shape[1]
    if episodes < 2:
        raise UserError(f"halves of the episodes are compared, got {episodes}")
    rng = np.random.default_rng(seed)
    half, found = episodes // 2, []
    for _ in range(splits):
        order = rng.permutation(episodes)
        a, b = success[:, order[:half]].mean(axis=1), success[:, order[half : 2 * half]].mean(axis=1)
        found.append(a.max() - b[a.argmax()])
    return float(np.mean(found))
