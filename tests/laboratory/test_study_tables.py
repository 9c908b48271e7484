"""Tables of a study, checked against what a made-up study says."""

from functools import cache

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose

from qgf.errors import UserError
from qgf.laboratory.tables import aggregate_table, measures, per_task_table
from qgf.pages.tables import across_tasks, markdown
from qgf.statistics import bootstrap, holm, iqm, joint_bootstrap, paired, probability_of_improvement, wilson
from studies import CUBE, FEW, MAZE, METHODS, ROWS, by, returned, triple


@cache
def per_task():
    """The whole study's table, which takes seconds."""
    return per_task_table(ROWS)


@cache
def aggregate(env=None):
    return aggregate_table(ROWS, env)


def played(method, env, task, rows=ROWS):
    """The held-out outcomes in the order of the rows, a list per policy."""
    mine = [r for r in rows if (r.method, r.env, r.task, r.split) == (method, env, task, "held-out")]
    policies = dict.fromkeys(r.policy_seed for r in mine)
    return [[c == "1" for r in mine if r.policy_seed == p for c in r.outcomes] for p in policies]


def scores(method, envs=(CUBE, MAZE), rows=ROWS):
    return np.array([played(method, env, task, rows) for env in envs for task in range(1, 6)], float).swapaxes(0, 1)


def test_per_task_table():
    table = per_task()
    assert len(table) == len(METHODS) * 10
    for method, env, task in (("qgf", CUBE, 1), ("placebo", MAZE, 4), ("none", CUBE, 5)):
        row, outcomes = by(table, method=method, env=env, task=task), np.array(played(method, env, task))
        assert (row["runs"], row["episodes"], row["successes"]) == (3, 120, outcomes.sum())
        scores = outcomes[:, None].astype(float)
        expected = 100 * np.array([outcomes.mean(), *joint_bootstrap(scores)])
        assert_allclose(triple(row, "success"), expected, atol=0.005)
        if method == "none":
            assert triple(row, "difference to none") == ["", "", ""]
        else:
            gap = paired(scores, np.array(played("none", env, task), float)[:, None])
            assert_allclose(triple(row, "difference to none"), 100 * np.array(gap[:3]), atol=0.005)


def test_a_task_with_one_training_seed_has_wilsons_interval_of_its_episodes():
    rows = [r for r in ROWS if r.policy_seed == 0 and r.method in FEW]
    row = by(per_task_table(rows), method="qgf", env=CUBE, task=1)
    assert (row["runs"], row["episodes"]) == (1, 40)
    expected = 100 * np.array(wilson(row["successes"], 40))
    assert_allclose(triple(row, "success")[1:], expected, atol=0.005)


def test_nothing_is_compared_that_was_not_paired():
    few = [r for r in ROWS if r.method in ("none", "qgf", "ood")]
    rows = [r for r in few if not (r.method == "none" and r.task == 1 and r.seed == 1001)]
    table = per_task_table(rows)
    assert by(table, method="qgf", env=CUBE, task=1)["difference to none"] == ""
    assert by(table, method="qgf", env=CUBE, task=2)["difference to none"] != ""
    assert by(per_task_table(rows, over="ood"), method="qgf", env=CUBE, task=1)["difference to ood"] > 0


def test_aggregate_table():
    """A policy is a run, whatever number of seeds its episodes have."""
    for env, envs in ((None, (CUBE, MAZE)), (MAZE, (MAZE,))):
        row = by(aggregate(env), method="qgf")
        qgf, none = scores("qgf", envs), scores("none", envs)
        assert (row["tasks"], row["runs"], row["episodes"]) == (5 * len(envs), 3, qgf.size)
        assert_allclose(row["mean"], 100 * qgf.mean(), atol=0.005)
        expected = 100 * np.array([iqm(qgf.mean(2)), *joint_bootstrap(qgf, iqm)])
        assert_allclose(triple(row, "iqm"), expected, atol=0.005)
        assert row["per seed"] == ", ".join(f"{100 * x:.0f}" for x in qgf.mean((1, 2)))
        better = probability_of_improvement(qgf.mean(2), none.mean(2))
        assert_allclose(row["better than none"], 100 * better, atol=0.005)
        assert row["mean_low"] < row["mean"] < row["mean_high"]
        assert row["gflop"] == 0.041
        assert row["decision_ms"] == pytest.approx(4.0, rel=0.1)
    assert by(aggregate(), method="none")["better than none"] == ""


def test_one_interrupted_run_does_not_move_the_cost():
    rows = [r for r in ROWS if r.method in FEW]
    k = next(k for k, r in enumerate(rows) if r.method == "qgf" and r.split == "held-out")
    rows[k] = replace(rows[k], decision_ms=90000.0)
    assert by(aggregate_table(rows), method="qgf")["decision_ms"] < 4.5


def test_methods_are_ordered_by_their_mean_over_the_whole_study():
    order = [row["method"] for row in aggregate()]
    means = [row["mean"] for row in aggregate()]
    assert means == sorted(means, reverse=True)
    assert [row["method"] for row in aggregate(CUBE)] == order
    assert [row["method"] for row in per_task()][: len(order)] == order


def test_an_incomplete_method_has_no_aggregate():
    rows = [r for r in ROWS if r.method in FEW]
    rows = [r for r in rows if (r.method, r.env, r.task, r.policy_seed) != ("qgf", CUBE, 2, 1)]
    row = by(aggregate_table(rows), method="qgf")
    assert (row["mean"], row["iqm_low"], row["better than none"], row["runs"]) == ("", "", "", "")
    assert by(aggregate_table(rows, MAZE), method="qgf")["mean"] != ""
    assert by(per_task_table(rows), method="qgf", env=CUBE, task=2)["runs"] == 2


def test_rows_that_contradict_themselves_are_refused():
    rows = [r for r in ROWS if r.method == "none"]
    twice = [*rows, replace(rows[0], updates=50)]
    with pytest.raises(UserError, match="none on cube-single-play task 1, policy seed 0, seed 1000: two held-out rows"):
        aggregate_table(twice)
    with pytest.raises(ValueError, match="outcomes do not fit the counts"):
        replace(rows[0], outcomes=rows[0].outcomes.lstrip("0")[1:])
    with pytest.raises(UserError, match="seed 1000: no outcomes of single episodes"):
        per_task_table([replace(rows[0], outcomes=""), *rows[1:]])
    with pytest.raises(UserError, match="no held-out rows"):
        per_task_table([r for r in rows if r.split == "tuning"])
    with pytest.raises(UserError, match="unknown environment 'cube': did you mean 'cube-single-play'"):
        aggregate_table(rows, "cube")


def test_markdown():
    table = [
        dict(method="a|b", runs=3, iqm="", success=62.6, success_low=50.4, success_high=70.0, p=0.01234),
        dict(method="c", runs="", iqm="", success="", success_low="", success_high="", p=""),
    ]
    assert markdown(table).splitlines() == [
        "| method | runs | success | p |",
        "| --- | --- | --- | --- |",
        "| a\\|b | 3 | 63 [50, 70] | 0.0123 |",
        "| c |  |  |  |",
    ]
    assert markdown([]) == ""


def test_across_tasks():
    rows = [r for r in ROWS if r.method in FEW and (r.method, r.task) != ("placebo", 3)]
    wide = across_tasks(per_task_table(rows))
    assert list(wide[0]) == ["env", "method", *(f"task {k}" for k in range(1, 6))]
    assert len(wide) == 8
    low, high = joint_bootstrap(np.array(played("qgf", MAZE, 2), float)[:, None])
    expected = f"{100 * np.mean(played('qgf', MAZE, 2)):.0f} [{100 * low:.0f}, {100 * high:.0f}]"
    assert by(wide, env=MAZE, method="qgf")["task 2"] == expected
    assert by(wide, env=MAZE, method="placebo")["task 3"] == ""


def test_the_p_of_an_aggregate_has_runs_for_its_unit_and_is_corrected_for_the_table():
    names = [row["method"] for row in aggregate()]
    pairs = [(name, other) for name in names for other in ("none", "placebo") if name != other]
    p = holm([paired(scores(name), scores(other)).p for name, other in pairs])
    for (name, other), value in zip(pairs, p, strict=True):
        expected = "< 0.001" if value < 0.001 else f"{value:.2g}"
        assert by(aggregate(), method=name)[f"p against {other}"] == expected
    assert len(set(p)) > 5
    assert by(aggregate(), method="none")["p against none"] == ""
    less = [row for row in ROWS if not (row.method == "placebo" and row.task == 2)]
    assert by(aggregate_table(less), method="qgf")["p against placebo"] == ""
    assert "p against placebo" not in aggregate_table([row for row in ROWS if row.method != "placebo"])[0]


def test_where_success_is_not_known_tables_are_of_returns():
    rows = returned([r for r in ROWS if r.env == CUBE and r.method in FEW], CUBE)
    table = per_task_table(rows)
    row = by(table, method="qgf", env=CUBE, task=1)

    def of(name):
        """[runs, 1, episodes]"""
        mine = [r for r in rows if (r.method, r.task, r.split) == (name, 1, "held-out")]
        by_run = [[x for r in mine if r.policy_seed == p for x in r.scores] for p in range(3)]
        return np.array(by_run)[:, None]

    mine, plain = of("qgf"), of("none")
    assert "success" not in row and row["episodes"] == mine.size == 120
    assert_allclose(triple(row, "return"), [mine.mean(), *joint_bootstrap(mine, of="number")], atol=0.005)
    assert_allclose(triple(row, "difference to none"), paired(mine, plain, returns=True)[:3], atol=0.005)
    whole = by(aggregate_table(rows), method="qgf")
    assert whole["mean"] == pytest.approx(np.mean([r["return"] for r in table if r["method"] == "qgf"]), abs=0.01)
    assert whole["better than none"] == pytest.approx(by(aggregate(CUBE), method="qgf")["better than none"])
    assert f"{row['return']:.0f} [" in markdown(across_tasks(table))
    single = by(per_task_table([r for r in rows if r.policy_seed == 0]), method="qgf", env=CUBE, task=1)
    assert_allclose(triple(single, "return")[1:], bootstrap(mine[0]), atol=0.005)


def test_success_and_return_have_no_mean():
    rows = returned([r for r in ROWS if r.method in FEW], CUBE)
    assert measures(rows) == ["return", "success"] and measures(rows, MAZE) == ["success"]
    with pytest.raises(UserError, match="no mean of both"):
        aggregate_table(rows)
    few = [r for r in ROWS if r.method in FEW]
    assert by(aggregate_table(rows, MAZE), method="qgf") == by(aggregate_table(few, MAZE), method="qgf")
    table = per_task_table(rows)
    assert (
        by(table, method="qgf", env=CUBE, task=1)["success"]
        == ""
        == by(table, method="qgf", env=MAZE, task=1)["return"]
    )


def test_few_training_seeds_say_nothing_of_their_spread():
    two = by(aggregate_table([r for r in ROWS if r.policy_seed < 2 and r.method in FEW]), method="qgf")
    assert (two["iqm"], two["better than none"], two["better than none_low"]) == ("", "", "")
    assert two["p against none"] != "" and two["mean"] != ""
    one = by(aggregate_table([r for r in ROWS if r.policy_seed < 1 and r.method in FEW]), method="qgf")
    assert (one["iqm"], one["p against none"]) == ("", "")
    assert one["mean_low"] < one["mean"] < one["mean_high"]


def test_methods_of_other_training_seeds_are_left_out():
    """The third run of every task has to be of the same seed: its flow serves all tasks."""
    rows = [replace(r, policy_seed=7) if (r.task, r.policy_seed, r.env) == (3, 2, CUBE) else r for r in ROWS]
    assert by(aggregate_table(rows), method="qgf")["mean"] == ""
    assert by(aggregate_table(rows, MAZE), method="qgf")["mean"] != ""
