"""Choosing a weight: halving on known odds, no choice on the episodes reported, data alone in a known world."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from qgf.errors import UserError
from qgf.files import read_json
from qgf.method.guided import guided_flow
from qgf.method.policy import act_jit
from qgf.method.toy import Mixture
from qgf.playing.arm import Arm
from qgf.playing.offline import offline
from qgf.playing.scores import Score
from qgf.playing.tune import SCALES, STRENGTHS, Saved, candidates, halving, save, tune
from qgf.types import Calibration

LUCK = np.random.default_rng(0).uniform(size=500)  # of each episode, the same for every arm


def strengths(*values, guide="qgf", **more):
    return [Arm(guide, strength=s, **more) for s in values]


class Odds:
    """Arms that succeed in an episode if its luck is below their odds; keeps what was asked for."""

    def __init__(self, odds):
        self.odds, self.asked = odds, []

    def __call__(self, arms, first, episodes):
        self.asked.append((list(arms), first, episodes))
        return {arm: LUCK[first : first + episodes] < self.odds(arm) for arm in arms}

    @property
    def sizes(self):
        return [(len(arms), first, episodes) for arms, first, episodes in self.asked]


# The grid


def test_every_guide_brings_its_own_grid_and_none_has_one_arm():
    assert candidates(["qgf"]) == strengths(*STRENGTHS)
    assert candidates(["cfgrl"]) == strengths(*SCALES, guide="cfgrl")
    ood = [Arm("ood", weight=w) for w in (0.1, 0.2)]
    assert candidates(["none", "ood"], weights=[0.1, 0.2]) == [Arm("none"), *ood]


def test_the_grid_has_every_combination_once():
    arms = candidates(["none", "qgf", "qgf"], [0.5, 1, 1.0], best_of=[1, 4], schedules=["constant", "linear"])
    guided = itertools.product((1, 4), ("constant", "linear"), (0.5, 1.0))
    expected = {Arm("qgf", s, best_of=n, schedule=how) for n, how, s in guided} | {Arm("none"), Arm("none", best_of=4)}
    assert set(arms) == expected and len(arms) == len(expected)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(strengths=[1.0], weights=[0.1]), "strengths or weights, not both"),
        (dict(guides=["qfg"], strengths=[1.0]), "did you mean 'qgf'"),
        (dict(guides=["none", "oood"], weights=[1.0]), "did you mean 'ood'"),
        (dict(schedules=["lineer"], strengths=[1.0]), "did you mean 'linear'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_is_played(wrong, message):
    with pytest.raises(UserError, match=message):
        candidates(**dict(guides=["qgf"]) | wrong)


# Successive halving


@pytest.mark.parametrize("best", [0, 5, 11])
def test_halving_finds_the_best_arm(best):
    arms = strengths(*np.linspace(0.1, 3, 12))
    odds = dict(zip(arms, np.linspace(0.1, 0.5, 12), strict=True)) | {arms[best]: 0.9}
    winners, _ = halving(dict(all=arms), Odds(odds.get), (10, 15, 25))
    assert winners == dict(all=arms[best])


def test_every_rung_plays_the_better_third_on_new_episodes():
    arms = strengths(*range(1, 28))
    play = Odds(lambda arm: arm.strength / 30)
    winners, played = halving(dict(all=arms), play, (40, 50, 60))
    assert play.sizes == [(27, 0, 40), (9, 40, 50), (3, 90, 60)]
    assert winners["all"] == arms[-1]
    assert {len(played[arm]) for arm in arms[:18]} == {40}
    assert {len(played[arm]) for arm in arms[24:]} == {150}
    assert_array_equal(played[arms[-1]], LUCK[:150] < 27 / 30)


def test_the_better_third_is_chosen_by_all_episodes_so_far():
    """An arm that was far ahead after the first rung keeps its lead through a second one that is a little worse."""
    early, late, weak = strengths(1.0, 2.0, 3.0)
    tables = {early: "1111111111" + "1110", late: "1000000000" + "1111", weak: "0" * 14}

    def play(arms, first, n):
        return {arm: np.array([x == "1" for x in tables[arm][first : first + n]]) for arm in arms}

    groups = dict(all=[early, late, weak, *strengths(4, 5, 6)])
    tables |= dict.fromkeys(groups["all"][3:], "0" * 14)
    assert halving(groups, play, (10, 4))[0]["all"] == early


def test_two_arms_stay_until_the_last_rung_is_played():
    play = Odds(lambda arm: arm.strength / 5)
    winners, played = halving(dict(all=strengths(1, 2, 3, 4)), play, (10, 20, 30))
    assert play.sizes == [(4, 0, 10), (2, 10, 20), (2, 30, 30)]
    assert winners["all"].strength == 4 and [len(played[arm]) for arm in strengths(1, 2, 3, 4)] == [10, 10, 60, 60]


def test_groups_of_one_play_nothing():
    play = Odds(lambda arm: 0.5)
    groups = dict(none=[Arm("none")], fixed=strengths(1.0))
    assert halving(groups, play, (10, 15)) == (dict(none=Arm("none"), fixed=Arm(strength=1.0)), {})
    assert play.asked == []


def test_arms_that_groups_share_are_played_once():
    low, middle, high = strengths(0.5, 1.0, 2.0)
    play = Odds(lambda arm: {low: 0.2, middle: 0.5, high: 0.8}[arm])
    winners, played = halving(dict(one=[low, middle], other=[high, middle], single=[low]), play, (20, 30))
    assert winners == dict(one=middle, other=high, single=low)
    assert play.sizes == [(3, 0, 20), (3, 20, 30)] and len(set(play.asked[0][0])) == 3
    assert {len(x) for x in played.values()} == {50}


def test_rivals_of_all_groups_meet_the_same_episodes():
    first, second = strengths(*range(1, 10)), strengths(*range(1, 7), guide="ood")
    play = Odds(lambda arm: arm.strength / 10)
    halving(dict(first=first, second=second), play, (10, 20))
    assert play.sizes == [(15, 0, 10), (5, 10, 20)]  # all at once, so that nobody plays other episodes


def test_ties_go_to_strength_one_then_to_fewer_samples():
    everyone = Odds(lambda arm: 1.0)
    arms = candidates(["qgf"], [0.1, 0.4, 1, 2, 4], best_of=[8, 1, 4])
    for order in (arms, arms[::-1]):
        assert halving(dict(all=order), everyone, (5,))[0]["all"] == Arm("qgf", 1)
    assert halving(dict(all=strengths(0.1, 0.4, 2, 4)), everyone, (5,))[0]["all"].strength == 2  # nearest in factors
    assert halving(dict(all=strengths(4, 0.5, 0.1)), everyone, (5,))[0]["all"].strength == 0.5
    assert halving(dict(all=strengths(0.0, 4.0)), everyone, (5,))[0]["all"].strength == 4.0  # zero is no factor away
    several = [Arm("qgf", weight=0.1, best_of=n) for n in (4, 1, 2)]
    assert halving(dict(all=several), everyone, (5,))[0]["all"].best_of == 1


def test_success_counts_before_ties():
    arms = strengths(1.0, 4.0)
    assert halving(dict(all=arms), Odds(lambda arm: 0.5 + 0.1 * arm.strength), (50,))[0]["all"] == arms[1]


@pytest.mark.parametrize("rungs", [(), (0,), (10, -5)])
def test_rungs_without_episodes_are_refused(rungs):
    with pytest.raises(UserError, match="rungs must be"):
        halving(dict(all=strengths(1, 2)), Odds(lambda arm: 1.0), rungs)


# Tuning and reporting


class Player:
    """Plays by the odds of an arm, which may differ between tuning and held-out episodes; keeps what was asked for."""

    def __init__(self, tuning, held_out=None, ratio=0.2):
        self.odds = {"tuning": tuning, "held-out": held_out or tuning}
        self.ratio, self.asked = ratio, []

    def play(self, arm, split, seed, first, episodes):
        self.asked.append((arm, split, seed, first, episodes))
        luck = np.random.default_rng(seed).uniform(size=first + episodes)[first:]
        won = luck < self.odds[split](arm)
        numbers = {k: np.full(episodes, self.ratio) for k in ("returns", "lengths", "value", "ratio", "skipped")}
        return Score("maze", seed, won, **numbers, seconds=1.0, decision_ms=1.0, weight=1.0, arm=arm).row()


def near(strength):
    """Odds that are best at one strength; no guidance and random directions succeed in a fifth of the episodes."""

    def odds(arm):
        if arm.guide in ("none", "placebo:qgf") or arm.strength is None:
            return 0.2
        return 0.9 - 0.2 * abs(math.log(arm.strength / strength))

    return odds


GRID = strengths(0.25, 0.5, 1.0, 2.0, 4.0)


def test_equal_seeds_and_empty_grids_are_refused_before_anything_is_played():
    player = Player(near(1))
    with pytest.raises(UserError, match="seed and tuning seed are both 3"):
        tune(player, GRID, seed=3, tuning_seed=3)
    with pytest.raises(UserError, match="nothing to choose from"):
        tune(player, [])
    assert player.asked == []


def test_arms_are_chosen_on_tuning_episodes_only():
    player = Player(tuning=near(2.0), held_out=near(0.5))
    tuned = tune(player, GRID, rungs=(30, 40), episodes=60, seed=7, tuning_seed=8)
    assert tuned.arm == Arm("qgf", 2.0)
    assert {(split, seed) for _, split, seed, _, _ in player.asked} == {("tuning", 8), ("held-out", 7)}
    assert {arm for arm, split, *_ in player.asked if split == "tuning"} == set(GRID)
    assert all((first, n) == (0, 60) for _, split, _, first, n in player.asked if split == "held-out")
    wins = {name: row.successes for name, (_, row) in tuned.reports.items()}
    assert wins["default"] > wins["chosen"]  # told as it is, though it speaks against the choice
    splits = [split for _, split, *_ in player.asked]
    assert splits == sorted(splits, reverse=True)  # nothing is tuned after the first held-out episode


def test_the_report_has_the_controls_of_the_chosen_arm():
    tuned = tune(Player(near(2.0)), candidates(["qgf"], [1, 2, 4], best_of=[4]), rungs=(40,))
    arms = {name: arm for name, (arm, _) in tuned.reports.items()}
    assert arms == dict(
        chosen=Arm("qgf", 2, best_of=4),
        none=Arm("none"),
        placebo=Arm("placebo:qgf", 2, best_of=4),
        default=Arm("qgf", 0.5, best_of=4),
    )
    assert set(tuned.p) == {"none", "placebo", "default"}
    assert {arm: len(x) for arm, x in tuned.trials.items()} == dict.fromkeys(
        candidates(["qgf"], [1, 2, 4], [], [4]), 40
    )


def test_p_is_mcnemars_on_the_held_out_episodes():
    tuned = tune(Player(near(4.0)), GRID, rungs=(50,), episodes=40)
    won = {name: [x == "1" for x in row.outcomes] for name, (_, row) in tuned.reports.items()}
    assert set(tuned.p.values()) != {1.0}
    for name, p in tuned.p.items():
        pairs = list(zip(won["chosen"], won[name], strict=True))
        b, c = pairs.count((True, False)), pairs.count((False, True))
        tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
        assert_allclose(p, min(1.0, 2 * tail), rtol=1e-12)


@pytest.mark.parametrize(
    "arm, controls",
    [
        (Arm("none"), {}),
        (Arm("none", best_of=4), {}),
        (Arm("gradstep", 2.0), dict(default=Arm("gradstep", 0.5))),  # no direction that could be random
        (Arm("ood", weight=0.3), dict(placebo=Arm("placebo:ood", weight=0.3), default=Arm("ood", 0.5))),
        (
            Arm("qgf", 2.0, schedule="linear"),
            dict(placebo=Arm("placebo:qgf", 2.0, schedule="linear"), default=Arm("qgf", 0.5, schedule="linear")),
        ),
        (Arm("gate", 2.0), dict(placebo=Arm("placebo:gate", 2.0), default=Arm("gate", 0.5))),
        (Arm("placebo:ood", 2.0), dict(default=Arm("placebo:ood", 0.5))),  # a control of its own
        (Arm("gate:ood", 2.0), dict(default=Arm("gate:ood", 0.5))),
    ],
)
def test_controls(arm, controls):
    tuned = tune(Player(lambda arm: 0.5), [arm], episodes=5)
    assert {name: arm for name, (arm, _) in tuned.reports.items()} == dict(chosen=arm, none=Arm("none")) | controls
    for other, _ in tuned.reports.values():
        other.of(world(slope, slope))  # every one of them exists


def said(tuned):
    words = dict(negligible="negligible", dominant="dominates", edge="edge", placebo="random direction")
    return {name for name, word in words.items() if any(word in note for note in tuned.cautions)}


@pytest.mark.parametrize(
    "odds, ratio, cautions",
    [
        (near(1.0), 0.2, set()),
        (near(1.0), 0.0099, {"negligible"}),
        (near(1.0), 0.0101, set()),
        (near(1.0), 1.01, {"dominant"}),
        (near(1.0), 0.99, set()),
        (near(0.25), 0.2, {"edge"}),
        (near(4.0), 0.2, {"edge"}),
        (near(2.0), 0.2, set()),
        (lambda arm: 0.5, 0.2, {"placebo"}),
        (lambda arm: 0.5 + 0.1 * (arm.guide == "placebo:qgf"), 0.2, {"placebo"}),
        (lambda arm: 0.9 - 0.6 * (arm.guide == "placebo:qgf"), 0.2, set()),
    ],
)
def test_cautions_are_raised_when_they_should_be(odds, ratio, cautions):
    tuned = tune(Player(odds, ratio=ratio), GRID, rungs=(100,), episodes=100)
    assert said(tuned) == cautions
    assert len(tuned.cautions) == len(cautions)


def test_no_guidance_is_neither_negligible_nor_at_an_edge():
    grid = candidates(["none", "qgf"], [1, 2])
    tuned = tune(Player(lambda arm: 0.9 if arm.guide == "none" else 0.1, ratio=0.0), grid, rungs=(20,), episodes=20)
    assert (tuned.arm, tuned.cautions) == (Arm("none"), [])


def test_guidance_after_denoising_is_not_negligible():
    tuned = tune(Player(near(1.0), ratio=0.0), strengths(0.5, 1, 2, guide="gradstep"), rungs=(100,))
    assert (tuned.arm.guide, tuned.cautions) == ("gradstep", [])


def test_the_edge_is_that_of_the_chosen_guides_own_grid():
    grid = [*strengths(0.1, 8, guide="ood"), *strengths(0.5, 1, 2)]
    assert said(tune(Player(lambda arm: 0.9 * (arm == Arm("qgf", 1)), ratio=0.2), grid, rungs=(50,))) == set()
    assert said(tune(Player(lambda arm: 0.9 * (arm == Arm("qgf", 2)), ratio=0.2), grid, rungs=(50,))) == {"edge"}


def test_the_edge_of_raw_weights_is_called_by_its_name():
    grid = [Arm("qgf", weight=w) for w in (0.01, 0.1, 1.0)]
    tuned = tune(Player(lambda arm: 0.9 * (arm.guide == "qgf" and arm.weight == 1)), grid, rungs=(50,))
    assert tuned.cautions == ["the best weight, 1, lies at the edge of the grid: try a wider one"]
    inside = Player(lambda arm: 0.9 * (arm == Arm("qgf", weight=0.1)))
    assert said(tune(inside, grid, rungs=(50,))) == set()


def test_one_arm_is_reported_without_tuning():
    player = Player(lambda arm: 0.9 - 0.5 * (arm.guide != "qgf"))
    tuned = tune(player, strengths(4.0))
    assert (tuned.trials, tuned.cautions) == ({}, [])
    assert {split for _, split, *_ in player.asked} == {"held-out"}


def test_what_was_tuned_is_saved_as_it_is(tmp_path):
    tuned = tune(Player(near(2.0)), GRID, rungs=(10, 20), episodes=30)
    save(tuned, tmp_path / "tuned.json")
    saved = json.loads((tmp_path / "tuned.json").read_text())
    assert (saved["arm"]["guide"], saved["arm"]["strength"]) == ("qgf", tuned.arm.strength)
    trials = {(t["strength"], t["successes"], t["episodes"]) for t in saved["trials"]}
    assert trials == {(arm.strength, x.sum(), len(x)) for arm, x in tuned.trials.items()}
    assert [(r["name"], r["p"]) for r in saved["reports"]] == [(n, tuned.p.get(n)) for n in tuned.reports]
    assert {r["episodes"] for r in saved["reports"]} == {30}
    read = read_json(tmp_path / "tuned.json", Saved)
    assert read.arm == tuned.arm and {trial.arm for trial in read.trials} == set(tuned.trials)
    assert not {"members", "choose", "robust", "execute"} & {*saved["arm"], *saved["trials"][0]}  # as files always were


def test_ways_to_ask_an_ensemble_are_told_apart_and_kept(tmp_path):
    grid = candidates(["qgf"], (1.0,), best_of=(4,), members=("own", "0"), choose=("own", "min"), robust=True)
    best = Arm("qgf", 1.0, best_of=4, members="0", choose="min", robust=True)
    tuned = tune(Player(lambda arm: 0.9 if arm == best or arm.guide == "none" else 0.1), grid, rungs=(20,), episodes=30)
    save(tuned, tmp_path / "tuned.json")
    assert tuned.arm == best == read_json(tmp_path / "tuned.json", Saved).arm
    assert tuned.reports["placebo"][0].label == "placebo:qgf 1 best-of-4 members 0 choose min robust"


# Without an environment: two dimensions, actions N(0, 0.3^2 I), a true slope along the first


class Ensemble:
    """Critics q_i(obs, a), the lowest as the value."""

    def __init__(self, *critics, **more):
        self.critics = critics
        vars(self).update(more)

    def __call__(self, obs, a):
        return jnp.min(self.members(obs, a))

    def members(self, obs, a):
        return jnp.stack([q(obs, a) for q in self.critics])


def slope(obs, a):
    """What is true."""
    return a[0]


def flawed(side):
    """The truth, and a cliff that only this critic believes in: it starts far out on one side, and rises for ever."""
    return lambda obs, a: a[0] + 2.0 * jnp.maximum(side * a[1], 0) ** 2


def hill(obs, a):
    """True value with an end, so steep that large steps jump across it."""
    return -20 * (a[0] - 0.5) ** 2


def world(*critics, **more):
    mixture = Mixture(jnp.zeros((1, 2)), jnp.ones(1), 0.3)
    return guided_flow(
        lambda obs, a, t: mixture.velocity(a, t), Ensemble(*critics, **more), action_dim=2, weight=0.0,
        low=-jnp.inf, high=jnp.inf, calibration=Calibration(0.3, 1.0, dict(mean=(1.0, 1.0))),
    )  # fmt: skip


OBS, KEY = jnp.zeros((200, 1)), jax.random.key(3)
LEFT, RIGHT = flawed(-1), flawed(1)
PARTING = world(LEFT, RIGHT)


def gains(policy, own, other, arm, grid):
    """[strengths, 2]: what the actions guided by `own` gain by `own` and by `other`, computed by itself."""

    def values(strength):
        guided = guided_flow(
            policy.velocity, own, 2, arm.guide, strength=strength, best_of=arm.best_of, schedule=arm.schedule,
            low=-jnp.inf, high=jnp.inf, calibration=policy.calibration,
        )  # fmt: skip
        a = act_jit(guided, OBS, KEY)[0][:, 0]
        return np.array([jax.vmap(q)(OBS, a).mean() for q in (own, other)])

    return np.array([values(s) - values(0.0) for s in grid])


@pytest.mark.parametrize("arm", [Arm(), Arm("ood", schedule="linear"), Arm("qgf", best_of=3)])
def test_claimed_and_confirmed_are_means_over_both_halves(arm):
    grid = (0.5, 2.0)
    found = offline(PARTING, OBS, KEY, arm, grid)
    expected = (gains(PARTING, LEFT, RIGHT, arm, grid) + gains(PARTING, RIGHT, LEFT, arm, grid)) / 2
    assert_allclose(np.stack([found.claimed, found.confirmed], 1), expected, rtol=1e-3, atol=1e-5)
    assert (found.strengths, found.claimed.shape) == (grid, (2,))


def test_the_strength_is_taken_before_the_halves_part():
    """A larger strength would have a larger confirmed gain too, but only as the smaller part of what is claimed."""
    found = offline(PARTING, OBS, KEY)
    confirmed = dict(zip(found.strengths, found.confirmed, strict=True))
    trusted = [s for s, c, q in zip(found.strengths, found.claimed, found.confirmed, strict=True) if q >= c / 2]
    assert trusted == list(found.strengths[: len(trusted)]) and 0 < len(trusted) < len(STRENGTHS)
    assert found.strength == max(trusted)
    assert max(confirmed, key=confirmed.get) > found.strength


def test_equal_critics_confirm_each_other_and_the_largest_gain_wins():
    found = offline(world(hill, hill), OBS, KEY)
    assert_array_equal(found.claimed, found.confirmed)
    gain = dict(zip(found.strengths, found.claimed, strict=True))
    assert found.strength == max(gain, key=gain.get)
    assert min(STRENGTHS) < found.strength < max(STRENGTHS)
    assert gain[4.0] < 0  # beyond the hill: less than without guidance, though both agree about that
    far = offline(world(slope, slope), OBS, KEY)
    assert far.strength == max(STRENGTHS)


def test_critics_that_part_at_once_leave_the_least_strength():
    opposite = [lambda obs, a: a[0], lambda obs, a: -a[0]]
    found = offline(world(*opposite), OBS, KEY)
    assert (found.confirmed < 0).all() and (found.claimed > 0).all()
    assert found.strength == min(STRENGTHS)


def test_the_two_halves_are_alike_and_the_key_decides_everything():
    found, swapped, again = (offline(policy, OBS, KEY) for policy in (PARTING, world(RIGHT, LEFT), PARTING))
    assert found.strength == swapped.strength == again.strength
    assert_allclose(found.claimed, swapped.claimed, rtol=1e-5)
    assert_allclose(found.confirmed, swapped.confirmed, rtol=1e-5)
    assert_array_equal(found.claimed, again.claimed)
    assert_array_equal(found.confirmed, again.confirmed)
    other = offline(PARTING, OBS, jax.random.key(4))
    assert not np.array_equal(found.claimed, other.claimed)


def test_four_critics_are_two_halves_of_two():
    """Each half is as pessimistic as its lowest member."""
    high = lambda q: lambda obs, a: q(obs, a) + 1e4
    four = offline(world(LEFT, RIGHT, high(slope), high(slope)), OBS, KEY)
    two = offline(PARTING, OBS, KEY)
    assert_allclose(four.claimed, two.claimed, rtol=1e-5)
    assert_allclose(four.confirmed, two.confirmed, rtol=1e-5)


def test_the_order_of_the_strengths_does_not_matter():
    up, down = (offline(PARTING, OBS, KEY, strengths=grid) for grid in (STRENGTHS, STRENGTHS[::-1]))
    assert (up.strength, up.strengths) == (down.strength, down.strengths)


def test_guides_that_ask_for_more_find_it_in_a_half():
    noisy = lambda obs, a, t: a[0]
    assert offline(world(slope, slope, noisy=noisy), OBS, KEY, Arm("robustq")).strength == max(STRENGTHS)
    assert offline(world(*[slope] * 4), OBS, KEY, Arm("gate")).strength == max(STRENGTHS)
    with pytest.raises(UserError, match="critic ensemble"):
        offline(world(slope, slope), OBS, KEY, Arm("gate"))  # one critic in each half cannot disagree with itself


def test_what_cannot_be_chosen_offline_is_refused():
    with pytest.raises(UserError, match="two critics that can disagree; this policy has 1"):
        offline(world(slope), OBS, KEY)
    alone = guided_flow(lambda obs, a, t: -a, slope, 2, weight=0.0, calibration=Calibration(1.0, 1.0))
    with pytest.raises(UserError, match="two critics that can disagree; this policy has 1"):
        offline(alone, OBS, KEY)
    with pytest.raises(UserError, match="none has no strengths"):
        offline(world(slope, slope), OBS, KEY, Arm("none"))
    with pytest.raises(UserError, match="nothing to choose from"):
        offline(world(slope, slope), OBS, KEY, strengths=())


def test_halves_of_the_critics_can_be_asked_in_ways_but_not_by_number():
    found = offline(world(slope, hill), OBS, KEY, Arm("qgf", members="mean"), grid := (0.5, 1.0))
    assert found.strengths == grid
    with pytest.raises(UserError, match="leave members out"):
        offline(world(slope, hill), OBS, KEY, Arm("qgf", members="0"))
