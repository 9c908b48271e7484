"""Figures of a study, from the rows of its results file: success on tasks and over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qgf.errors import UserError
from qgf.laboratory.tables import Interval, Line, aggregate_table, measure_of, per_task_table
from qgf.pages import plots
from qgf.playing.rows import Row


def word(method: str) -> str:
    return re.split("[ :]", method)[0]


def look(method: str) -> dict[str, Any]:
    """Colour and marker of the guide that a method is named after; variants of it (best-of-n, a schedule) are open."""
    colour = plots.colour(word(method))
    face = colour if method == word(method) else "white"
    marker = plots.MARKERS.get(word(method), "P")
    return dict(marker=marker, color=colour, mfc=face, mec=colour, ms=6.5 if marker == "*" else 4.2, mew=1.0)


def label(rows: Iterable[Row], env: str | None = None) -> str:
    """What an axis is called on which methods are compared."""
    return "success, %" if measure_of(rows, env) == "success" else "return"


def _column(
    ax, methods: Sequence[str], values: Mapping[str, Interval | None], title: str, numbers: bool = False,
    percent: bool = True,
):  # fmt: skip
    """A dot with its interval per method, from top to bottom; values in %, or returns."""
    for y, method in enumerate(methods):
        if y % 2:
            ax.axhspan(y - 0.5, y + 0.5, color="#f1f5f9", lw=0, zorder=0)
        value = values.get(method)
        if value is not None:
            estimate, low, high = value
            ax.plot([low, high], [y, y], color=plots.colour(word(method)), lw=1.6, solid_capstyle="butt", zorder=2)
            ax.plot(estimate, y, ls="none", zorder=3, clip_on=False, **look(method))
        if numbers:
            text = "–" if value is None else f"{estimate:.0f}"
            ax.text(1.03, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=plots.INK)
    ax.set(yticks=range(len(methods)), ylim=(len(methods) - 0.5, -0.5))
    if percent:
        ax.set(xlim=(0, 100), xticks=(0, 50, 100))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.set_yticklabels(methods)
    ax.set_title(title, fontsize=9)
    ax.tick_params(axis="y", length=0, labelcolor=plots.INK)
    ax.tick_params(labelsize=8)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)


def values(table: Iterable[Line], name: str) -> dict[str, Interval | None]:
    return {r["method"]: None if r[name] == "" else (r[name], r[f"{name}_low"], r[f"{name}_high"]) for r in table}


def _columns(number: int, methods: int, width: float):
    figure = Figure(figsize=(1.5 + width * number, 0.21 * methods + 0.95), layout="constrained")
    return figure, figure.subplots(ncols=number, sharey=True, squeeze=False)[0]


@plots.style()
def task_bars(rows: Iterable[Row], env: str, reference: str = "none") -> Figure:
    """Success of every method on each task of an env, and the mean over tasks first; best method of the study on top.

    Intervals are those of the tables: over training seeds and episodes, or over the episodes of a single seed. A
    dotted line marks the reference.
    """
    rows = list(rows)
    means, measure = values(aggregate_table(rows, env), "mean"), measure_of(rows, env)
    table = [row for row in per_task_table(rows) if row["env"] == env]
    tasks = sorted({row["task"] for row in table})
    columns = {"mean": means} | {
        f"task {task}": values([row for row in table if row["task"] == task], measure) for task in tasks
    }
    figure, axes = _columns(len(columns), len(means), 1.02)
    for ax, (title, shown) in zip(axes, columns.items(), strict=True):
        _column(ax, list(means), shown, title, ax is axes[0], measure == "success")
        if (base := shown.get(reference)) is not None:
            ax.axvline(base[0], color=plots.colour(reference), ls=":", lw=1.2, zorder=1)
    figure.supxlabel(f"{env}: {label(rows, env)}, with 95 % intervals", fontsize=9, color=plots.INK)
    return figure


@plots.style()
def aggregates(rows: Iterable[Row], env: str | None = None) -> Figure:
    """Mean and, with three training seeds or more, interquartile mean over tasks and runs of every method."""
    rows = list(rows)
    table, percent = aggregate_table(rows, env), measure_of(rows, env) == "success"
    titles = dict(mean="mean", iqm="interquartile mean")
    shown = [name for name in titles if any(row[name] != "" for row in table)] or ["mean"]
    figure, axes = _columns(len(shown), len(complete(table)), 2.4)
    for ax, name in zip(axes, shown, strict=True):
        _column(ax, complete(table), values(table, name), titles[name], True, percent)
        if percent:
            ax.set_xticks(range(0, 101, 25))
    foot(figure, table, f"{label(rows, env)}, {env or 'all environments'}, with 95 % intervals")
    return figure


@plots.style()
def improvement(rows: Iterable[Row], over: str = "none", env: str | None = None) -> Figure:
    """Probability that a run of each method beats a run of `over` on a task; 50 % is no difference.

    Raises UserError for less than three training seeds, which say too little of runs.
    """
    table = aggregate_table(rows, env, over)
    if over not in complete(table):
        raise UserError(f"no complete results of {over!r} to compare with (complete: {', '.join(complete(table))})")
    others = [row for row in table if row["method"] != over]
    if all(row[f"better than {over}"] == "" for row in others):
        raise UserError("a probability over runs needs at least three training seeds on every task")
    figure, (ax,) = _columns(1, len(complete(others)), 3.4)
    _column(ax, complete(others), values(others, f"better than {over}"), "", numbers=True)
    ax.axvline(50, color=plots.INK, ls=":", lw=1.2, zorder=1)
    ax.set_xticks(range(0, 101, 25))
    foot(figure, others, f"probability of improvement over {over}, %,\n{env or 'all environments'}, 95 % intervals")
    return figure


def complete(table: Iterable[Line]) -> list[str]:
    table = list(table)
    names = [row["method"] for row in table if row["mean"] != ""]
    if not names:
        raise UserError("no method has the same number of policies on every task: name one environment, or finish runs")
    return names


def foot(figure: Figure, table: Sequence[Line], text: str, missing: Iterable[str] = ()) -> None:
    """The label below all axes; names what is left out."""
    left_out = [row["method"] for row in table if row["mean"] == "" or row["method"] in missing]
    note = fill(f"incomplete, not shown: {', '.join(left_out)}", int(12 * figure.get_figwidth()))
    figure.supxlabel(f"{text}\n{note}" if left_out else text, fontsize=9, color=plots.INK)
