"""Statistics against hand-worked cases, published numbers, simulation and rliable."""

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from rliable import library, metrics

from qgf.errors import UserError
from qgf.statistics import (
    bootstrap,
    iqm,
    mcnemar,
    mean,
    paired_permutation,
    probability_of_improvement,
    rates,
    selection_bias,
    stratified_bootstrap,
    wilson,
)


@pytest.mark.parametrize(
    "successes, episodes, low, high",
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombes_table(successes, episodes, low, high):
    assert_allclose(wilson(successes, episodes), (low, high), atol=5e-5)
    assert_allclose(wilson(episodes - successes, episodes), (1 - high, 1 - low), atol=5e-5)


def pairs(both, only_a, only_b, neither):
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def test_mcnemar_by_hand():
    assert_allclose(mcnemar(*pairs(10, 0, 6, 4)), 2 / 2**6)  # P(0 or 6 heads of 6)
    assert_allclose(mcnemar(*pairs(0, 1, 5, 0)), 2 * (1 + 6) / 2**6)
    assert mcnemar(*pairs(3, 4, 4, 1)) == 1
    assert mcnemar(*pairs(5, 0, 0, 5)) == 1  # none differ


def test_mcnemar_agrees_with_statsmodels_whichever_way_round():
    from statsmodels.stats.contingency_tables import mcnemar as reference

    for table in ([[101, 121], [59, 33]], [[30, 12], [3, 55]], [[2, 0], [9, 0]]):
        (both, only_a), (only_b, neither) = table
        a, b = pairs(both, only_a, only_b, neither)
        assert_allclose([mcnemar(a, b), mcnemar(b, a)], reference(table, exact=True).pvalue, rtol=1e-10)


def test_mcnemar_refuses_unpaired_episodes():
    with pytest.raises(UserError, match="same episodes on both sides, got 3 and 2"):
        mcnemar([True, False, True], [True, False])


def test_iqm_by_hand():
    assert iqm(np.array([[0, 1, 2, 3], [4, 5, 6, 700]])) == 3.5  # of 2, 3, 4, 5
    assert iqm(np.array([[5, 1, 0]])) == 2  # too few to cut any


def test_probability_of_improvement_by_hand():
    x, y = np.array([[0.5, 1], [0.7, 1]]), np.array([[0.5, 0], [0.6, 1], [0.1, 1]])
    assert_allclose(probability_of_improvement(x, y), ((0.5 + 0 + 1 + 3) / 6 + (1 + 0.5 + 0.5) / 3) / 2)
    assert probability_of_improvement(x, x) == 0.5


def test_point_estimates_agree_with_rliable():
    random = np.random.default_rng(0)
    for runs, tasks in ((1, 3), (3, 5), (7, 4)):
        x, y = random.integers(11, size=(runs, tasks)) / 10, random.integers(11, size=(runs + 1, tasks)) / 10
        assert_allclose(iqm(x), metrics.aggregate_iqm(x))
        assert_allclose(mean(x), metrics.aggregate_mean(x))
        assert_allclose(probability_of_improvement(x, y), metrics.probability_of_improvement(x, y))


SCORES = np.random.default_rng(1).beta(2, 1, size=(8, 5))
OTHER = np.random.default_rng(2).beta(1, 1, size=(6, 5))


@pytest.mark.parametrize(
    "scores, ours, theirs",
    [
        (SCORES, mean, metrics.aggregate_mean),
        (SCORES, iqm, metrics.aggregate_iqm),
        ((SCORES, OTHER), probability_of_improvement, metrics.probability_of_improvement),
    ],
    ids=["mean", "iqm", "improvement"],
)
def test_intervals_agree_with_rliable(scores, ours, theirs):
    np.random.seed(0)  # rliable draws from numpy's global generator
    reps = 3000 if isinstance(scores, tuple) else 20_000
    _, expected = library.get_interval_estimates(
        {"x": list(scores) if isinstance(scores, tuple) else scores}, lambda *x: np.array([theirs(*x)]), reps=reps
    )
    got = stratified_bootstrap(scores, ours, samples=20_000)
    width = np.ptp(expected["x"])
    assert_allclose(got, expected["x"].ravel(), atol=0.05 * width)  # some 4 standard errors of a 2.5 % quantile


def test_bootstrap_resamples_runs_within_each_task():
    """Two runs, two tasks: each task's mean is its low, middle or high value with odds 1:2:1, on its own."""
    scores = np.array([[0.0, 10.0], [1.0, 30.0]])
    seen = []
    stratified_bootstrap(scores, lambda s: seen.append(s) or mean(s), samples=4000)
    values, counts = np.unique(seen[0].mean(1), axis=0, return_counts=True)
    odds = [1, 2, 1, 2, 4, 2, 1, 2, 1]
    assert_allclose(values, [[a, b] for a in (0, 0.5, 1) for b in (10, 20, 30)])
    assert_allclose(counts / 4000, np.array(odds) / 16, atol=0.03)


def test_a_single_run_resamples_its_episodes():
    """The number of successes in a resample is binomial; the interval of a proportion follows."""
    from scipy.stats import binom

    scores = np.zeros((1, 1, 40))
    scores[..., :12] = 1
    got = stratified_bootstrap(scores, mean, samples=20_000)
    assert_allclose(got, binom.ppf([0.025, 0.975], 40, 0.3) / 40, atol=1 / 40)
    with pytest.raises(UserError, match="one run per task has no spread between runs"):
        stratified_bootstrap(rates(scores), mean)


def test_episodes_not_played_do_not_count():
    scores = np.full((2, 2, 8), np.nan)
    scores[0, 0, :4], scores[1, 0, :8], scores[:, 1, :2] = [1, 0, 0, 0], 1, [1, 0]
    assert_allclose(rates(scores), [[0.25, 0.5], [1, 0.5]])
    seen = []
    stratified_bootstrap(scores, lambda s: seen.append(s) or mean(s), samples=200)
    drawn = seen[0]
    assert set(np.unique(drawn[..., 1])) == {0, 0.5, 1}
    assert set(np.unique(drawn[..., 0])) <= {0, 0.25, 0.5, 0.75, 1}


def test_a_statistic_that_mixes_the_samples_is_refused():
    with pytest.raises(UserError, match="not one number for each of 2000 samples"):
        stratified_bootstrap(SCORES, np.max)


def test_statistics_take_leading_axes():
    x, y = SCORES.reshape(2, 4, 5), OTHER.reshape(2, 3, 5)
    for statistic, scores in ((mean, (x,)), (iqm, (x,)), (probability_of_improvement, (x, y))):
        assert_allclose(statistic(*scores), [statistic(*part) for part in zip(*scores, strict=True)])


def test_reproducible_from_its_seed_and_wider_with_confidence():
    got = stratified_bootstrap(SCORES, iqm, seed=3)
    assert got == stratified_bootstrap(SCORES, iqm, seed=3) != stratified_bootstrap(SCORES, iqm, seed=4)
    low, high = stratified_bootstrap(SCORES, iqm, seed=3, confidence=0.5)
    assert got[0] < low < iqm(SCORES) < high < got[1]


@pytest.mark.parametrize(
    "runs, spread, least, most", [(1, 0.0, 0.91, 0.98), (3, 0.3, 0.93, 0.995), (5, 0.6, 0.89, 0.97)]
)
def test_coverage(runs, spread, least, most):
    """How often the 95 % interval holds the mean; runs differ by `spread` in the logit of their success."""
    random = np.random.default_rng(0)
    logit = np.log(1 / np.array([0.1, 0.3, 0.5, 0.7, 0.9]) - 1)
    chance = lambda n: 1 / (1 + np.exp(logit + spread * random.standard_normal((n, 5))))
    truth, held, studies = chance(50_000).mean(), 0, 400
    for seed in range(studies):
        played = random.random((runs, 5, 50)) < chance(runs)[..., None]
        low, high = stratified_bootstrap(played, mean, samples=300, seed=seed)
        held += low <= truth <= high
    assert least <= held / studies <= most


def test_without_episodes_few_runs_give_too_narrow_an_interval():
    """The reason why the study resamples episodes too."""
    random, held = np.random.default_rng(0), 0
    for seed in range(400):
        played = random.random((3, 5, 50)) < 0.5
        low, high = stratified_bootstrap(rates(played), mean, samples=300, seed=seed)
        held += low <= 0.5 <= high
    assert 0.78 <= held / 400 <= 0.91


def test_choosing_on_the_reported_episodes_flatters_equal_arms_by_their_expected_maximum():
    """Four arms of one probability: E max of four Binomial(25, p) / 25 above p, and nothing for a single arm."""
    rng, p, k, n = np.random.default_rng(0), 0.6, 4, 25
    found = [selection_bias(rng.random((k, 2 * n)) < p, splits=20) for _ in range(400)]
    cdf = scipy.stats.binom.cdf(np.arange(n + 1), n, p) ** k
    expected = np.sum(np.arange(n + 1) * np.diff(cdf, prepend=0)) / n - p
    assert expected > 0.08
    assert_allclose(np.mean(found), expected, atol=0.01)
    alone = [selection_bias(rng.random((1, 2 * n)) < p, splits=20) for _ in range(400)]
    assert_allclose(np.mean(alone), 0, atol=0.01)


def test_an_arm_that_is_always_better_is_chosen_and_hardly_flattered():
    arms = np.array([np.zeros(50), np.ones(50)])
    assert selection_bias(arms, splits=10) == 0
    with pytest.raises(UserError, match="halves of the episodes are compared, got 1"):
        selection_bias(np.ones((2, 1)))


def test_the_bootstrap_of_a_mean():
    """Against scipy's percentile interval, and against what it says it does: 95 % of intervals hold the mean."""
    x = np.random.default_rng(0).gamma(2, 5, 60)
    wanted = scipy.stats.bootstrap((x,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert_allclose(bootstrap(x), wanted, rtol=0.01)
    assert bootstrap(x) == bootstrap(x) and bootstrap([3, 3, 3]) == (3, 3)
    assert np.isnan(bootstrap([1.0])).all()
    many = np.random.default_rng(2).normal(size=(300, 40))
    held = [low <= 0 <= high for low, high in (bootstrap(row, samples=1000) for row in many)]
    assert 0.9 < np.mean(held) < 0.98


def test_a_permutation_of_pairs():
    """All 2^n signs by hand, scipy's own test, and no smaller p than its draws can tell."""
    assert paired_permutation([1, 2, 3], [0, 0, 0]) == 2 / 8  # only +++ and --- are as far
    assert paired_permutation([1, 2], [1, 2]) == 1
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.4, 1, 30), rng.normal(size=30)
    difference = lambda x, y: np.mean(x - y)
    wanted = scipy.stats.permutation_test((a, b), difference, permutation_type="samples", rng=1).pvalue
    assert_allclose(paired_permutation(a, b), wanted, atol=0.015)
    assert paired_permutation(a, b) == paired_permutation(b, a)
    assert paired_permutation(a + 9, b) == 1 / 10_001
    with pytest.raises(UserError, match="the same episodes on both sides, got 2 and 3"):
        paired_permutation([1, 2], [1, 2, 3])


def test_episodes_of_returns_are_drawn_again():
    """One run of n returns: the interval is the bootstrap's of its mean, whatever the numbers are."""
    x = np.random.default_rng(0).normal(-200, 30, 50)
    assert_allclose(stratified_bootstrap(x[None, None], mean), bootstrap(x), rtol=0.01)
    ragged = np.array([[x, np.append(x[:40], [np.nan] * 10)]]).swapaxes(0, 1)  # two runs of one task
    low, high = stratified_bootstrap(ragged, mean)
    assert low < np.nanmean(rates(ragged)) < high
