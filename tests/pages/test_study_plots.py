"""Figures of a study, checked against its tables."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from msgspec.structs import replace
from numpy.testing import assert_allclose

from qgf.errors import UserError
from qgf.laboratory.tables import aggregate_table, per_task_table
from qgf.pages import plots
from qgf.pages.study_costs import frontier, success_against_cost
from qgf.pages.study_plots import aggregates, improvement, task_bars
from qgf.pages.study_strengths import strength_curves
from qgf.statistics import wilson
from studies import CUBE, ENVS, FEW, MAZE, METHODS, ROWS, STRENGTHS, by, returned, study, triple


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
    rows = [r for r in ROWS if r.method in FEW and (r.method, r.env, r.task) != ("placebo", CUBE, 3)]
    mean, *tasks = task_bars(rows, CUBE).axes
    y = ticks(mean).index("placebo")
    assert mean.texts[y].get_text() == "–"
    assert [len(dots(ax)) for ax in (mean, *tasks)] == [3, 4, 4, 3, 4, 4]


def test_aggregates_show_mean_and_iqm_and_name_what_they_leave_out():
    rows = [r for r in ROWS if r.method in FEW and (r.method, r.env, r.task) != ("placebo", CUBE, 3)]
    figure, table = aggregates(rows), aggregate_table(rows)
    complete = [row for row in table if row["method"] != "placebo"]
    for ax, name in zip(figure.axes, ("mean", "iqm"), strict=True):
        assert ticks(figure.axes[0]) == [row["method"] for row in complete]  # the axes share their rows
        assert_allclose(dots(ax), [(row[name], y) for y, row in enumerate(complete)])
        assert_allclose(list(intervals(ax).values()), [triple(row, name)[1:] for row in complete])
    assert words(figure).endswith("incomplete, not shown: placebo")
    assert "placebo" in ticks(aggregates(rows, MAZE).axes[0])


def test_figures_of_means_need_complete_methods():
    rows = [r for r in ROWS if r.method in FEW]
    rows = [r for r in rows if (r.method, r.env, r.task, r.policy_seed) != ("qgf", CUBE, 2, 1)]
    with pytest.raises(UserError, match="no method has the same number of policies on every task"):
        aggregates([r for r in rows if r.method == "qgf"])
    with pytest.raises(UserError, match="no complete results of 'qgf' to compare with"):
        improvement(rows, over="qgf")


def test_improvement_over_another_method():
    rows = [r for r in ROWS if r.method in FEW]
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
        rows = [r if r.method == "none" else replace(r, gflop=0.04) for r in rows]
    figure = success_against_cost(rows, x, CUBE)
    labels, centres, room = boxes(figure, figure.axes[0])
    for (_, a), (_, b) in itertools.combinations(labels.items(), 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
    for box in labels.values():
        assert not any(box.contains(*centre) for centre in centres)
        assert room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1


def test_methods_without_a_cost_are_named():
    rows = [replace(r, gflop=None) if r.method == "qgf" else r for r in ROWS if r.method in FEW]
    figure = success_against_cost(rows)
    assert {text.get_text() for text in figure.axes[0].texts} == set(FEW) - {"qgf"}
    assert words(figure).endswith("not shown: qgf")
    with pytest.raises(UserError, match="no row has a cost in its column gflop"):
        success_against_cost([replace(r, gflop=None) for r in rows])
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
    rows = [replace(r, strength=0.5) if (r.env, r.split, r.method) == (MAZE, "held-out", "qgf") else r for r in ROWS]
    shown = panels(strength_curves(rows))
    tuned = [m for m in METHODS if not m.startswith("none")]
    assert set(shown) == {(env, m) for env in ENVS for m in tuned}

    def pooled(method, strength):
        mine = [r for r in rows if (r.env, r.split, r.method) == (MAZE, "tuning", method)]
        mine = [r for r in mine if r.strength == strength]
        return sum(r.successes for r in mine), sum(r.episodes for r in mine)

    ax = shown[MAZE, "qgf"]
    (curve,) = (line for line in ax.lines if line.get_color() == plots.colour("qgf"))
    counts = [pooled("qgf", s) for s in STRENGTHS]
    assert_allclose(curve.get_xydata(), [(s, 100 * k / n) for s, (k, n) in zip(STRENGTHS, counts, strict=True)])
    band = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()])
    for s, (k, n) in zip(STRENGTHS, counts, strict=True):
        at = band[np.isclose(band[:, 0], s), 1]
        assert_allclose([at.min(), at.max()], 100 * np.array(wilson(k, n)))
    lines = {style: [line for line in ax.lines if line.get_linestyle() == style] for style in (":", "--")}
    k, n = pooled("none", None)
    assert_allclose(lines[":"][0].get_ydata(), 100 * k / n)
    assert [line.get_xdata()[0] for line in lines["--"]] == [0.5]
    assert [line.get_xdata()[0] for line in shown[CUBE, "qgf"].lines if line.get_linestyle() == "--"] == [1.0]


def test_strength_curves_leave_out_what_has_no_strength():
    rows = [replace(r, strength=None) if r.method == "placebo" else r for r in ROWS if r.method in FEW]
    tuning = [r for r in rows if r.split == "tuning"]
    shown = panels(strength_curves(tuning))
    assert {method for _, method in shown} == {"qgf", "qgf best-of-4"}
    assert not [line for ax in shown.values() for line in ax.lines if line.get_linestyle() == "--"]  # nothing chosen
    with pytest.raises(UserError, match="no tuning rows with a strength"):
        strength_curves([r for r in rows if r.split == "held-out"])
    with pytest.raises(UserError, match=r"two tuning rows of .* cube-single-play 1 0 7 0 none 0.0"):
        strength_curves([*tuning, replace(tuning[0], updates=5)])


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


def test_returns_have_axes_of_their_own():
    rows = returned([r for r in ROWS if r.env == CUBE and r.method in FEW], CUBE)
    low, high = (f([x for r in rows for x in r.scores]) for f in (min, max))
    for figure in (task_bars(rows, CUBE), aggregates(rows), success_against_cost(rows), strength_curves(rows)):
        said = " ".join([words(figure), *(ax.get_ylabel() for ax in figure.axes)])
        assert "return" in said and "%" not in said.replace("95 %", "")
    table = aggregate_table(rows)
    ax = aggregates(rows).axes[0]
    assert sorted(x for x, _ in dots(ax)) == pytest.approx(sorted(row["mean"] for row in table))
    assert all(low <= x <= high for x, _ in dots(ax)) and ax.get_xlim()[1] < 20
