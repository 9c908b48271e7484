"""What a report makes of the rows of evaluation.csv."""

import shutil

import numpy as np
import pytest
from msgspec.structs import replace

from qgf.pages.arms import default, newest
from qgf.pages.report import report
from qgf.playing.arm import Arm
from qgf.playing.rows import OWN
from qgf.playing.scores import Score, read_scores, write_scores
from qgf.statistics import joint_bootstrap, wilson


def score(arm, wins=3, episodes=10, weight=0.25, **changes):
    numbers = {k: np.full(episodes, 2.0) for k in ("returns", "lengths", "value", "ratio")}
    numbers |= dict(success=np.arange(episodes) < wins, skipped=np.zeros(episodes))
    return Score(**dict(env="maze", seed=0, seconds=1.0, decision_ms=2.0, weight=weight, arm=arm) | numbers | changes)


def row(*what, **changes):
    return score(*what, **changes).row()


def shown(rows):
    """The arms of the only environment."""
    ((env, arms),) = newest(rows).items()
    assert env == "maze"
    return arms


def test_seeds_of_one_strength_are_pooled_although_their_weights_differ():
    rows = [row(Arm("qgf", 1.0), wins, weight=0.1 * wins, policy_seed=wins) for wins in (2, 5, 8)]
    (pooled,) = shown(rows)
    assert (pooled.label, pooled.arm.strength, pooled.arm.weight) == ("qgf 1", 1.0, None)
    assert (pooled.successes, pooled.episodes, pooled.score) == (15, 30, 0.5)
    won = np.array([[[k < wins for k in range(10)]] for wins in (2, 5, 8)], float)
    assert pooled.interval == joint_bootstrap(won) != wilson(15, 30)


def test_of_one_policy_the_interval_is_of_its_episodes():
    (one,) = shown([row(Arm("qgf", 1.0), 5)])
    assert one.interval == wilson(5, 10)
    old = [replace(row(Arm("qgf", 1.0), wins, policy_seed=wins), outcomes="") for wins in (2, 8)]
    assert shown(old)[0].interval == wilson(10, 20)  # single episodes are not known


def test_episodes_of_a_run_and_those_that_all_runs_shared_are_not_the_same():
    shared, own = row(Arm("none"), 3), replace(row(Arm("none"), 4), stream=OWN)
    (both,) = shown([shared, own, shared])
    assert (both.successes, both.episodes) == (7, 20)


def test_raw_weights_schedules_and_steps_stay_apart():
    arms = [Arm("qgf", 1.0), Arm("qgf", 1.0, schedule="score"), Arm("qgf", 1.0, steps=5), Arm("qgf", 1.0, best_of=4)]
    rows = shown([row(arm) for arm in arms] + [row(Arm("qgf", weight=w), weight=w) for w in (0.1, 0.2)])
    assert [(x.episodes, x.arm.weight) for x in rows if x.arm.strength is None] == [(10, 0.1), (10, 0.2)]
    assert len(rows) == 6
    assert "qgf score 1" in {x.label for x in rows}


def test_only_the_newest_policy_counts():
    assert [x.successes for x in shown([row(Arm("none"), 1, updates=100), row(Arm("none"), 7, updates=200)])] == [7]
    assert newest([]) == {}


def test_the_cloned_policy_comes_first_and_strengths_rise_from_zero():
    arms = [Arm("gradstep", 1.0), Arm("qgf", 2.0), Arm("qgf", 0.0), Arm("none"), Arm("ood", 1.0), Arm("qgf", 0.5)]
    rows = shown([row(arm, weight=0.0 if arm.guide == "none" else 0.3) for arm in arms])
    assert [x.label for x in rows] == ["none", "ood 1", "qgf 0", "qgf 0.5", "qgf 2", "gradstep 1"]


@pytest.mark.parametrize("first", ["schedule", "steps"])
def test_the_headline_shows_the_usual_sampler(first):
    unusual = Arm("qgf", 0.5, schedule="score") if first == "schedule" else Arm("qgf", 0.5, steps=5)
    rows = shown([row(unusual, 9), row(Arm("qgf", 1.0), 4), row(Arm("qgf", 0.5), 5)])
    assert default(rows, "qgf").successes == 5
    assert default(rows[:1], "ood") is None


def test_no_episode_is_counted_twice(tmp_path):
    """Evaluated with 50, then 4 and 2 episodes of the same seed, as a first user did."""
    path = tmp_path / "evaluation.csv"
    for episodes in (50, 4, 2):
        write_scores(path, [score(Arm("none"), 0, episodes), score(Arm("qgf", 1.0), episodes, episodes)])
    assert [(x.label, x.successes, x.episodes) for x in shown(read_scores(path))] == [
        ("none", 0, 50),
        ("qgf 1", 50, 50),
    ]
    assert [x.interval for x in shown(read_scores(path))] == [wilson(0, 50), wilson(50, 50)]


def test_further_episodes_are_further_episodes():
    more = [dict(first=50), dict(seed=1), dict(policy_seed=1)]
    rows = [row(Arm("none"), 5, 50), *(row(Arm("none"), 1, 4, **change) for change in more)]
    (pooled,) = shown([*rows, row(Arm("none"), 1, 10, first=48)])  # the last begins among the first fifty
    assert (pooled.successes, pooled.episodes) == (8, 62)
    assert pooled.returns == 2.0


def test_the_mean_of_rows_of_different_length_is_that_of_their_episodes():
    long, short = row(Arm("none"), episodes=30), row(Arm("none"), first=30, episodes=10, returns=np.full(10, 6.0))
    (pooled,) = shown([long, short])
    assert pooled.returns == pytest.approx((30 * 2 + 10 * 6) / 40)


def test_two_mazes_are_never_pooled():
    rows = [row(Arm("none"), 0, 54), row(Arm("none"), 50, 50, env="other-maze")]
    counts = {env: [(x.successes, x.episodes) for x in arms] for env, arms in newest(rows).items()}
    assert counts == {"maze": [(0, 54)], "other-maze": [(50, 50)]}


def test_the_goals_of_one_maze_are():
    rows = [row(Arm("none"), k, env=f"pointmaze-medium-navigate-oraclerep-task{k}-v0") for k in range(1, 6)]
    ((env, (pooled,)),) = newest(rows).items()
    assert (env, pooled.successes, pooled.episodes) == ("pointmaze-medium-navigate-oraclerep-v0", 15, 50)
    tasks = [row(Arm("none"), k, env=f"pointmaze-medium-navigate-singletask-task{k}-v0") for k in (1, 2)]
    assert len(newest(tasks)) == 2


def test_the_page_counts_once_and_has_a_section_per_environment(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    home = tiny_run.record["dataset"]
    arms = [Arm("none"), Arm("qgf", 1.0)]
    for env, counts in (("other-maze", (50,)), (home, (50, 4, 2))):
        for n in counts:
            scores = [score(arm, wins, n, env=env) for arm, wins in zip(arms, (0, n), strict=True)]
            write_scores(tmp_path / "run" / "evaluation.csv", scores)
    page = report(tmp_path / "run").read_text()
    low, high = (round(100 * x) for x in wilson(0, 50))
    assert f"0 of 50, 95 % interval {low} to {high} %" in page and "50 of 50, 95 %" in page
    assert [part for part in ("54", "56", "104", "106") if f" of {part}" in page] == []
    assert page.count("<h2>Success in ") == 2 and f"<h2>Success in {home}</h2>" in page
    pictures = {path.name for path in (tmp_path / "run" / "figures").glob("success*")}
    assert pictures == {"success.png", "success-1.png"}
