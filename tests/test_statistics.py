"""Statistics against hand-worked cases, published numbers, simulation and rliable."""

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from rliable import metrics

from qgf.errors import UserError
from qgf.statistics import (
    bootstrap,
    difference,
    holm,
    iqm,
    joint_bootstrap,
    mcnemar,
    mean,
    paired,
    paired_permutation,
    probability_of_improvement,
    rates,
    selection_bias,
    wilson,
    wilson_of,
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


def played(successes, episodes):
    """successes [runs, tasks] of so many episodes as [runs, tasks, episodes]."""
    return (np.arange(episodes) < np.asarray(successes)[..., None]).astype(float)


def seen_by(scores, samples=4000):
    """What `joint_bootstrap` hands to its statistic."""
    seen = []
    joint_bootstrap(scores, lambda *s: seen.append(s) or mean(s[0]), samples=samples)
    return seen[0]


def test_the_bootstrap_draws_a_seed_for_all_tasks_at_once():
    """Two seeds, of which one is drawn: tasks move together, each pair of rates with the odds 1:1."""
    (drawn,) = seen_by(played([[0, 10], [10, 0]], 10))
    assert drawn.shape == (4000, 1, 2)
    values, counts = np.unique(drawn[:, 0], axis=0, return_counts=True)
    assert_allclose(values, [[0, 1], [1, 0]])
    assert_allclose(counts / 4000, 0.5, atol=0.03)
    (three,) = seen_by(played([[0, 0], [5, 5], [10, 10]], 10))
    assert three.shape[1] == 2
    assert_allclose(three[..., 0], three[..., 1], atol=0.6)


def test_the_bootstrap_draws_an_episode_for_all_runs_and_arms_at_once():
    """Where the same episodes are solved in all runs, nothing averages out: the spread is that of a single run's."""
    shared = np.tile(played([[6]], 20)[0, 0], (3, 4, 1))
    mine, other = seen_by((shared, 1 - shared))
    assert_allclose(mine, mine[:, :1, :1] + np.zeros_like(mine))
    assert_allclose(mine + other, 1)
    assert np.std(mine[:, 0, 0]) == pytest.approx(np.sqrt(0.3 * 0.7 / 20), rel=0.05)


def test_the_spread_of_a_mean_over_seeds_is_unbiased():
    """J - 1 of J seeds: the drawn means vary by s² / J; J of J would give (J - 1) / J of that."""
    (drawn,) = seen_by(played([[0], [0], [8]], 8), samples=40_000)  # no luck of episodes
    assert np.var(drawn.mean((1, 2))) == pytest.approx(np.var([0, 0, 1], ddof=1) / 3, rel=0.02)


def test_a_single_run_resamples_its_episodes():
    """The number of successes in a resample is binomial; the interval of a proportion follows, or Wilson's."""
    from scipy.stats import binom

    scores = played([[12]], 40)
    low, high = joint_bootstrap(scores, samples=20_000)
    expected = binom.ppf([0.025, 0.975], 40, 0.3) / 40
    assert_allclose((low, high), (min(expected[0], wilson(12, 40)[0]), max(expected[1], wilson(12, 40)[1])), atol=0.026)


def test_no_interval_is_a_point():
    """Episodes that all end alike leave Wilson's interval of tasks x episodes, not of runs x tasks x episodes."""
    always = np.ones((3, 5, 50))
    assert_allclose(joint_bootstrap(always), wilson(250, 250))
    assert_allclose(joint_bootstrap(1 - always, iqm), wilson(0, 250))
    assert_allclose(joint_bootstrap((always, 0 * always), probability_of_improvement, trials=15), wilson(15, 15))
    same = paired(always, always)
    assert same.difference == 0 and same.low == -same.high < 0 and same.p == 1
    assert (1 - same.high) ** 250 == pytest.approx(0.025)  # so many pairs of which none differs are this likely


def test_wilsons_formula_is_that_of_counts():
    for won, n in ((0, 20), (7, 20), (81, 263)):
        assert_allclose(wilson_of(won / n, n), wilson(won, n), rtol=1e-9)
    assert wilson_of(0.5, 10, 0.5)[0] > wilson_of(0.5, 10)[0]


def test_episodes_not_played_do_not_count():
    scores = np.full((2, 2, 8), np.nan)
    scores[0, 0, :4], scores[1, 0, :8], scores[:, 1, :2] = [1, 0, 0, 0], 1, [1, 0]
    assert_allclose(rates(scores), [[0.25, 0.5], [1, 0.5]])
    (drawn,) = seen_by(scores, 400)
    assert np.isfinite(drawn).all()
    assert set(np.unique(drawn[..., 0])) > {0, 1}


def test_what_is_no_set_of_episodes_is_refused():
    with pytest.raises(UserError, match="not one number for each of 2000 samples"):
        joint_bootstrap(played(np.ones((2, 2)), 3), np.max)
    with pytest.raises(UserError, match=r"scores are \[runs, tasks, episodes\]"):
        joint_bootstrap(np.ones((3, 5)))
    with pytest.raises(UserError, match="same episodes on both sides"):
        paired(np.ones((2, 1, 5)), np.ones((2, 1, 6)))


def test_statistics_take_leading_axes():
    random = np.random.default_rng(1)
    x, y = random.random((2, 4, 5)), random.random((2, 3, 5))
    for statistic, scores in ((mean, (x,)), (iqm, (x,)), (probability_of_improvement, (x, y)), (difference, (x, y))):
        assert_allclose(statistic(*scores), [statistic(*part) for part in zip(*scores, strict=True)])


def test_reproducible_from_its_seed_and_wider_with_confidence():
    scores = np.random.default_rng(1).random((4, 3, 200)) < np.array([0.2, 0.4, 0.6, 0.9])[:, None, None]
    got = joint_bootstrap(scores, iqm, seed=3)
    assert got == joint_bootstrap(scores, iqm, seed=3) != joint_bootstrap(scores, iqm, seed=4)
    low, high = joint_bootstrap(scores, iqm, seed=3, confidence=0.5)
    assert got[0] < low < iqm(rates(scores)) < high < got[1]


def made_study(random, seeds, run=0.05, flow=0.04, apart=0.0):
    """Success [2 arms, seeds, 5 tasks, 50 episodes] made as a study is: one flow for all tasks of a seed, the same 50
    episodes in every run (correlation .06 over tasks, .17 within one), and the second arm `apart` from the first.
    """
    base = np.array([0.95, 0.9, 0.85, 0.8, 0.6])
    chance = base + flow * random.standard_normal((seeds, 1)) + run * random.standard_normal((2, seeds, 5))
    chance[1] += apart
    parts = (1, 1, 1, 50), (1, 1, 5, 50), (1, seeds, 5, 50), (2, seeds, 5, 50)
    luck = [np.sqrt(v) * random.standard_normal(p) for v, p in zip((0.06, 0.11, 0.5, 0.33), parts, strict=True)]
    return sum(luck) < scipy.stats.norm.ppf(np.clip(chance, 0.001, 0.999))[..., None]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_holds_the_truth_of_studies_that_share_flows_and_episodes(seeds):
    random, held, difference_held, studies = np.random.default_rng(seeds), 0, 0, 300
    many = np.random.default_rng(0).standard_normal((2, 200_000))
    base = np.array([0.95, 0.9, 0.85, 0.8, 0.6])[:, None]
    truth = np.clip(base + 0.04 * many[0] + 0.05 * many[1], 0.001, 0.999).mean()
    for k in range(studies):
        x, y = made_study(random, seeds)
        low, high = joint_bootstrap(x, samples=300, seed=k)
        held += low <= truth <= high
        gap = paired(x, y, samples=300, seed=k)
        difference_held += gap.low <= 0 <= gap.high
        assert (gap.p < 0.05) == (gap.low > 0 or gap.high < 0)
    assert held / studies >= 0.92
    assert 0.92 <= difference_held / studies < 1


def test_drawing_runs_apart_would_leave_the_seeds_out():
    """What the joint draw is for: the same studies, with the runs of each task taken for independent."""
    random, width = np.random.default_rng(0), []
    for k in range(20):
        x, _ = made_study(random, 3, run=0.0, flow=0.15)
        apart = np.stack([x[np.random.default_rng([k, t]).permutation(3), t] for t in range(5)], axis=1)
        width.append([np.ptp(joint_bootstrap(s, samples=300)) for s in (x, apart)])
    joint, mixed = np.mean(width, axis=0)
    assert joint > 1.3 * mixed


def test_a_gap_that_is_there_is_found():
    found = [paired(*made_study(np.random.default_rng(k), 3, apart=-0.3), samples=300) for k in range(20)]
    assert all(gap.p < 0.01 and gap.low > 0 for gap in found)
    assert np.mean([gap.difference for gap in found]) == pytest.approx(0.3, abs=0.05)
    alone = paired(*made_study(np.random.default_rng(0), 1, apart=-0.3))
    assert np.isnan(alone.p) and alone.low > 0


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.array([0.04, 0.001, np.nan, 0.02, 0.9, 0.011])
    known = np.isfinite(p)
    assert_allclose(holm(p)[known], multipletests(p[known], method="holm")[1])
    assert np.isnan(holm(p)[2])


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
    assert_allclose(joint_bootstrap(x[None, None], mean, of="number"), bootstrap(x), rtol=0.01)
    ragged = np.array([[x, np.append(x[:40], [np.nan] * 10)]]).swapaxes(0, 1)  # two runs of one task
    low, high = joint_bootstrap(ragged, mean, of="number")
    assert low < np.nanmean(rates(ragged)) < high
