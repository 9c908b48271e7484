"""Figures and tables of a study, checked against what a made-up study says."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.testing import assert_allclose

from qgf import plots
from qgf.errors import UserError
from qgf.statistics import iqm, mcnemar, probability_of_improvement, stratified_bootstrap, wilson
from qgf.study_plots import (
    across_tasks,
    aggregate_table,
    aggregates,
    frontier,
    improvement,
    markdown,
    per_task_table,
    strength_curves,
    success_against_cost,
    task_bars,
)

METHODS = {  # name: gain in the logit of success, GFLOP per action, ms per decision
    "none": (0, 0.012, 2.1), "ood": (-0.9, 0.04, 3.9), "bptt": (0.7, 0.31, 19.0), "chain": (0.4, 0.22, 12.5),
    "jacobian": (0.9, 0.052, 5.1), "qgf": (1.1, 0.041, 4.0), "placebo": (-0.3, 0.041, 4.1),
    "zero": (0.0, 0.041, 4.0), "gate": (1.0, 0.09, 6.6), "gradstep": (0.5, 0.021, 3.0), "robustq": (0.2, 0.04, 4.0),
    "cfgrl": (0.3, 0.024, 2.9), "none best-of-4": (0.8, 0.055, 3.2), "none best-of-16": (1.2, 0.22, 5.5),
    "qgf best-of-4": (1.6, 0.171, 8.2), "qgf linear": (1.0, 0.041, 4.0),
}  # fmt: skip
ENVS = {"cube-single-play": (-1.5, -0.5, 0.2, -2.2, -1.0), "pointmaze-medium-navigate": (-2.5, 0.1, 0.6, -0.4, 1.2)}
STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


def study(methods=METHODS, envs=ENVS, policies=3, seeds=1, episodes=50, seed=0):
    """The rows of a whole study, as strings, the way that a CSV gives them."""
    random, rows = np.random.default_rng(seed), []

    def row(env, task, policy, method, split, strength, logit, episode_seed):
        outcomes = random.random(episodes) < 1 / (1 + np.exp(-logit))
        gflop, ms = METHODS[method][1:]
        rows.append(
            dict(
                env=env, task=task, policy_seed=policy, updates=100_000, method=method, guide=method.split()[0],
                strength=strength, weight=0.1, schedule="constant", best_of=1, split=split, seed=episode_seed,
                episodes=episodes, successes=outcomes.sum(), outcomes="".join("01"[int(o)] for o in outcomes),
                ratio=0.2, value=-3.0, decision_ms=f"{ms * random.uniform(0.9, 1.1):.3f}", gflop=gflop,
            )
        )  # fmt: skip

    for (env, bases), method in ((e, m) for e in envs.items() for m in methods):
        gain, guided = METHODS[method][0], not method.startswith("none")
        for task, base in enumerate(bases, 1):
            for policy in range(policies):
                logit = base + gain + 0.4 * random.standard_normal()
                for episode_seed in range(seeds):
                    row(env, task, policy, method, "held-out", 1.0 if guided else "", logit, 1000 + episode_seed)
            for strength in STRENGTHS if guided else ("",) if method == "none" else ():
                fit = gain * (1 - np.log2(strength) ** 2 / 6) if guided else 0
                row(env, task, 0, method, "tuning", strength, base + fit, 7)
    return [{name: str(value) for name, value in r.items()} for r in rows]


ROWS = study(seeds=2, episodes=20)
FEW = ("none", "qgf", "placebo", "qgf best-of-4")
CUBE, MAZE = ENVS


def played(method, env, task, rows=ROWS):
    """The held-out outcomes in the order of the rows, a list per policy."""
    mine = [r for r in rows if (r["method"], r["env"], r["task"], r["split"]) == (method, env, str(task), "held-out")]
    policies = dict.fromkeys(r["policy_seed"] for r in mine)
    return [[c == "1" for r in mine if r["policy_seed"] == p for c in r["outcomes"]] for p in policies]


def scores(method, envs=(CUBE, MAZE), rows=ROWS):
    return np.array([played(method, env, task, rows) for env in envs for task in range(1, 6)], float).swapaxes(0, 1)


def by(table, **wanted):
    (row,) = (r for r in table if all(r[k] == v for k, v in wanted.items()))
    return row


def triple(row, name):
    return [row[name], row[f"{name}_low"], row[f"{name}_high"]]


def test_per_task_table():
    table = per_task_table(ROWS)
    assert len(table) == len(METHODS) * 10
    for method, env, task in (("qgf", CUBE, 1), ("placebo", MAZE, 4), ("none", CUBE, 5)):
        row, outcomes = by(table, method=method, env=env, task=task), np.array(played(method, env, task))
        assert (row["runs"], row["episodes"], row["successes"]) == (3, 120, outcomes.sum())
        expected = 100 * np.array([outcomes.mean(), *wilson(int(outcomes.sum()), 120)])
        assert_allclose(triple(row, "success"), expected, atol=0.005)
        p = "" if method == "none" else pytest.approx(mcnemar(outcomes, played("none", env, task)), rel=0.01)
        assert row["p against none"] == p


def test_no_paired_test_of_episodes_that_were_not_paired():
    rows = [r for r in ROWS if not (r["method"] == "none" and r["task"] == "1" and r["seed"] == "1001")]
    table = per_task_table(rows)
    assert by(table, method="qgf", env=CUBE, task=1)["p against none"] == ""
    assert by(table, method="qgf", env=CUBE, task=2)["p against none"] != ""
    assert by(per_task_table(rows, over="ood"), method="qgf", env=CUBE, task=1)["p against ood"] < 1


def test_aggregate_table():
    """A policy is a run, whatever number of seeds its episodes have."""
    for env, envs in ((None, (CUBE, MAZE)), (MAZE, (MAZE,))):
        row = by(aggregate_table(ROWS, env), method="qgf")
        qgf, none = scores("qgf", envs), scores("none", envs)
        assert (row["tasks"], row["runs"], row["episodes"]) == (5 * len(envs), 3, qgf.size)
        assert_allclose(row["mean"], 100 * qgf.mean(), atol=0.005)
        assert_allclose(
            triple(row, "iqm"), 100 * np.array([iqm(qgf.mean(2)), *stratified_bootstrap(qgf, iqm)]), atol=0.005
        )
        better = probability_of_improvement(qgf.mean(2), none.mean(2))
        assert_allclose(row["better than none"], 100 * better, atol=0.005)
        assert row["mean_low"] < row["mean"] < row["mean_high"]
        assert row["gflop"] == 0.041
        assert row["decision_ms"] == pytest.approx(4.0, rel=0.1)
    assert by(aggregate_table(ROWS), method="none")["better than none"] == ""


def test_one_interrupted_run_does_not_move_the_cost():
    rows = [dict(r) for r in ROWS if r["method"] in FEW]
    next(r for r in rows if r["method"] == "qgf" and r["split"] == "held-out")["decision_ms"] = "90000"
    assert by(aggregate_table(rows), method="qgf")["decision_ms"] < 4.5


def test_methods_are_ordered_by_their_mean_over_the_whole_study():
    order = [row["method"] for row in aggregate_table(ROWS)]
    means = [row["mean"] for row in aggregate_table(ROWS)]
    assert means == sorted(means, reverse=True)
    assert [row["method"] for row in aggregate_table(ROWS, CUBE)] == order
    assert [row["method"] for row in per_task_table(ROWS)][: len(order)] == order


def test_an_incomplete_method_has_no_aggregate():
    rows = [r for r in ROWS if r["method"] in FEW]
    rows = [r for r in rows if (r["method"], r["env"], r["task"], r["policy_seed"]) != ("qgf", CUBE, "2", "1")]
    row = by(aggregate_table(rows), method="qgf")
    assert (row["mean"], row["iqm_low"], row["better than none"], row["runs"]) == ("", "", "", "")
    assert by(aggregate_table(rows, MAZE), method="qgf")["mean"] != ""
    assert by(per_task_table(rows), method="qgf", env=CUBE, task=2)["runs"] == 2
    with pytest.raises(UserError, match="no method has the same number of policies on every task"):
        aggregates([r for r in rows if r["method"] == "qgf"])
    with pytest.raises(UserError, match="no complete results of 'qgf' to compare with"):
        improvement(rows, over="qgf")


def test_rows_that_contradict_themselves_are_refused():
    rows = [r for r in ROWS if r["method"] == "none"]
    twice = [*rows, dict(rows[0], updates="50")]
    with pytest.raises(UserError, match="none on cube-single-play task 1, policy seed 0, seed 1000: two held-out rows"):
        aggregate_table(twice)
    with pytest.raises(UserError, match="outcomes do not fit the counts"):
        per_task_table([dict(rows[0], outcomes=rows[0]["outcomes"].lstrip("0")[1:]), *rows[1:]])
    with pytest.raises(UserError, match="no held-out rows"):
        per_task_table([r for r in rows if r["split"] == "tuning"])
    with pytest.raises(UserError, match="unknown environment 'cube': did you mean 'cube-single-play'"):
        aggregate_table(rows, "cube")


def test_markdown():
    table = [
        dict(method="a|b", runs=3, success=62.6, success_low=50.4, success_high=70.0, p=0.01234),
        dict(method="c", runs="", success="", success_low="", success_high="", p=""),
    ]
    assert markdown(table).splitlines() == [
        "| method | runs | success | p |",
        "| --- | --- | --- | --- |",
        "| a\\|b | 3 | 63 [50, 70] | 0.0123 |",
        "| c |  |  |  |",
    ]
    assert markdown([]) == ""


def test_across_tasks():
    rows = [r for r in ROWS if r["method"] in FEW and (r["method"], r["task"]) != ("placebo", "3")]
    wide = across_tasks(per_task_table(rows))
    assert list(wide[0]) == ["env", "method", *(f"task {k}" for k in range(1, 6))]
    assert len(wide) == 8
    low, high = wilson(int(np.sum(played("qgf", MAZE, 2))), 120)
    expected = f"{100 * np.mean(played('qgf', MAZE, 2)):.0f} [{100 * low:.0f}, {100 * high:.0f}]"
    assert by(wide, env=MAZE, method="qgf")["task 2"] == expected
    assert by(wide, env=MAZE, method="placebo")["task 3"] == ""


def dots(ax):
    return [tuple(np.ravel(line.get_xydata())) for line in ax.lines if line.get_linestyle() == "None"]


def intervals(ax):
    """The horizontal lines of an axis by height."""
    lines = [np.asarray(line.get_xydata()) for line in ax.lines if line.get_linestyle() == "-"]
    return {line[0, 1]: tuple(line[:, 0]) for line in lines}


def ticks(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def words(figure):
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_task_bars_show_the_table():
    figure, table, means = task_bars(ROWS, CUBE), per_task_table(ROWS), aggregate_table(ROWS, CUBE)
    order = [row["method"] for row in means]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["mean", *(f"task {k}" for k in range(1, 6))]
    assert ticks(figure.axes[0]) == order
    assert figure.axes[0].get_ylim() == (len(order) - 0.5, -0.5)  # the best on top
    for k, ax in enumerate(figure.axes):
        shown = means if k == 0 else [by(table, env=CUBE, task=k, method=m) for m in order]
        expected = [triple(row, "success" if k else "mean") for row in shown]
        assert_allclose(dots(ax), [(row[0], y) for y, row in enumerate(expected)])
        assert_allclose([intervals(ax)[y] for y in range(len(order))], [row[1:] for row in expected])
        (reference,) = (line for line in ax.lines if line.get_linestyle() == ":")
        assert_allclose(reference.get_xdata(), expected[order.index("none")][0])
    assert [t.get_text() for t in figure.axes[0].texts] == [f"{row['mean']:.0f}" for row in means]
    assert CUBE in words(figure) and "95 %" in words(figure)


def test_task_bars_leave_gaps_where_results_are_missing():
    rows = [r for r in ROWS if r["method"] in FEW and (r["method"], r["env"], r["task"]) != ("placebo", CUBE, "3")]
    mean, *tasks = task_bars(rows, CUBE).axes
    y = ticks(mean).index("placebo")
    assert mean.texts[y].get_text() == "–"
    assert [len(dots(ax)) for ax in (mean, *tasks)] == [3, 4, 4, 3, 4, 4]


def test_aggregates_show_mean_and_iqm_and_name_what_they_leave_out():
    rows = [r for r in ROWS if r["method"] in FEW and (r["method"], r["env"], r["task"]) != ("placebo", CUBE, "3")]
    figure, table = aggregates(rows), aggregate_table(rows)
    complete = [row for row in table if row["method"] != "placebo"]
    for ax, name in zip(figure.axes, ("mean", "iqm"), strict=True):
        assert ticks(figure.axes[0]) == [row["method"] for row in complete]  # the axes share their rows
        assert_allclose(dots(ax), [(row[name], y) for y, row in enumerate(complete)])
        assert_allclose(list(intervals(ax).values()), [triple(row, name)[1:] for row in complete])
    assert words(figure).endswith("incomplete, not shown: placebo")
    assert "placebo" in ticks(aggregates(rows, MAZE).axes[0])


def test_improvement_over_another_method():
    rows = [r for r in ROWS if r["method"] in FEW]
    figure, table = improvement(rows, over="placebo"), aggregate_table(rows, over="placebo")
    (ax,) = figure.axes
    others = [row for row in table if row["method"] != "placebo"]
    assert ticks(ax) == [row["method"] for row in others]
    assert_allclose(dots(ax), [(row["better than placebo"], y) for y, row in enumerate(others)])
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [50]
    assert "probability of improvement over placebo" in words(figure)


def test_frontier():
    points = dict(cheap=(1, 30), beaten=(2, 20), better=(3, 40), tied=(3, 40), dear=(4, 40), best=(9, 41), same=(3, 39))
    assert frontier(points) == ["cheap", "better", "best"]


@pytest.mark.parametrize("x", ["gflop", "decision_ms"])
def test_success_against_cost(x):
    (ax,) = success_against_cost(ROWS, x).axes
    table = {row["method"]: row for row in aggregate_table(ROWS)}
    shown = {line.get_label(): line.get_xydata()[0] for line in ax.lines if line.get_label() in METHODS}
    assert ax.get_xscale() == "log"
    assert set(shown) == set(METHODS) == {text.get_text() for text in ax.texts}
    for method, at in shown.items():
        assert_allclose(at, (table[method][x], table[method]["mean"]))
    (line,) = (line for line in ax.lines if line.get_label() == "_frontier")
    best = frontier({method: tuple(at) for method, at in shown.items()})
    assert best[0] == "none" and "qgf best-of-4" in best
    assert_allclose(line.get_xydata()[::2], [shown[method] for method in best])
    assert np.all(np.diff(line.get_ydata()) >= 0)
    assert {text.get_text() for text in ax.texts if text.get_fontweight() == "bold"} == set(best)


def boxes(figure, ax):
    """Extents of the labels, of the dots and of the axis as they are drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = {text.get_text(): text.get_window_extent(canvas.get_renderer()) for text in ax.texts}
    centres = [ax.transData.transform(line.get_xydata()[0]) for line in ax.lines if line.get_label() in METHODS]
    return labels, centres, ax.get_window_extent()


@pytest.mark.parametrize("x, seed", [("gflop", 0), ("decision_ms", 1), ("gflop", 2)])
def test_labels_cover_neither_each_other_nor_dots(x, seed):
    rows = study(seed=seed)
    if seed == 2:  # nearly everything costs the same
        rows = [r if r["method"] == "none" else dict(r, gflop="0.04") for r in rows]
    figure = success_against_cost(rows, x, CUBE)
    labels, centres, room = boxes(figure, figure.axes[0])
    for (_, a), (_, b) in itertools.combinations(labels.items(), 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
    for box in labels.values():
        assert not any(box.contains(*centre) for centre in centres)
        assert room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1


def test_methods_without_a_cost_are_named():
    rows = [dict(r, gflop="") if r["method"] == "qgf" else r for r in ROWS if r["method"] in FEW]
    figure = success_against_cost(rows)
    assert {text.get_text() for text in figure.axes[0].texts} == set(FEW) - {"qgf"}
    assert words(figure).endswith("not shown: qgf")
    with pytest.raises(UserError, match="no row has a cost in its column gflop"):
        success_against_cost([dict(r, gflop="") for r in rows])
    with pytest.raises(UserError, match="unknown cost 'flops': did you mean 'gflop'"):
        success_against_cost(rows, "flops")


def panels(figure):
    """(env, method) -> axis of every visible panel."""
    return {
        (part.get_suptitle(), ax.get_title(loc="left")): ax
        for part in figure.subfigs
        for ax in part.axes
        if ax.get_visible()
    }


def test_strength_curves_show_the_tuning_rows_only():
    rows = [
        dict(r, strength="0.5") if (r["env"], r["split"], r["method"]) == (MAZE, "held-out", "qgf") else r for r in ROWS
    ]
    shown = panels(strength_curves(rows))
    tuned = [m for m in METHODS if not m.startswith("none")]
    assert set(shown) == {(env, m) for env in ENVS for m in tuned}

    def pooled(method, strength):
        mine = [r for r in rows if (r["env"], r["split"], r["method"]) == (MAZE, "tuning", method)]
        mine = [r for r in mine if r["strength"] == strength]
        return sum(int(r["successes"]) for r in mine), sum(int(r["episodes"]) for r in mine)

    ax = shown[MAZE, "qgf"]
    (curve,) = (line for line in ax.lines if line.get_color() == plots.colour("qgf"))
    counts = [pooled("qgf", str(s)) for s in STRENGTHS]
    assert_allclose(curve.get_xydata(), [(s, 100 * k / n) for s, (k, n) in zip(STRENGTHS, counts, strict=True)])
    band = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()])
    for s, (k, n) in zip(STRENGTHS, counts, strict=True):
        at = band[np.isclose(band[:, 0], s), 1]
        assert_allclose([at.min(), at.max()], 100 * np.array(wilson(k, n)))
    lines = {style: [line for line in ax.lines if line.get_linestyle() == style] for style in (":", "--")}
    k, n = pooled("none", "")
    assert_allclose(lines[":"][0].get_ydata(), 100 * k / n)
    assert [line.get_xdata()[0] for line in lines["--"]] == [0.5]
    assert [line.get_xdata()[0] for line in shown[CUBE, "qgf"].lines if line.get_linestyle() == "--"] == [1.0]


def test_strength_curves_leave_out_what_has_no_strength():
    rows = [dict(r, strength="") if r["method"] == "placebo" else r for r in ROWS if r["method"] in FEW]
    tuning = [r for r in rows if r["split"] == "tuning"]
    shown = panels(strength_curves(tuning))
    assert {method for _, method in shown} == {"qgf", "qgf best-of-4"}
    assert not [line for ax in shown.values() for line in ax.lines if line.get_linestyle() == "--"]  # nothing chosen
    with pytest.raises(UserError, match="no tuning rows with a strength"):
        strength_curves([r for r in rows if r["split"] == "held-out"])
    with pytest.raises(UserError, match=r"two tuning rows of .* cube-single-play 1 0 7  none"):
        strength_curves([*tuning, dict(tuning[0], updates="5")])


def test_every_column_of_panels_has_numbers_below():
    figure = strength_curves(ROWS)  # 13 methods in rows of 5: the last row has 3
    FigureCanvasAgg(figure).draw()
    axes = figure.subfigs[0].axes
    below = [bool(ax.xaxis.get_tick_params(which="major").get("labelbottom")) for ax in axes]
    assert len(axes) == 15
    assert [k for k, shown in enumerate(below) if shown and axes[k].get_visible()] == [8, 9, 10, 11, 12]


def test_looks_tell_guides_and_their_variants_apart():
    (ax,) = success_against_cost(ROWS).axes
    lines = {line.get_label(): line for line in ax.lines if line.get_label() in METHODS}
    qgf, variant, unknown = lines["qgf"], lines["qgf best-of-4"], lines["cfgrl"]
    assert qgf.get_marker() == variant.get_marker() == plots.MARKERS["qgf"]
    assert qgf.get_markerfacecolor() == variant.get_markeredgecolor() == plots.colour("qgf")
    assert variant.get_markerfacecolor() == "white"
    assert unknown.get_markerfacecolor() == plots.colour("cfgrl")
    assert unknown.get_marker() == plots.MARKERS.get("cfgrl", "P")
