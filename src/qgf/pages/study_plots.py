"""Figures of a study, from the rows of its results file (`study_tables` says what they are)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from qgf.errors import UserError, unknown
from qgf.laboratory.tables import Interval, Row, aggregate_table, per_task_table
from qgf.pages import plots
from qgf.statistics import wilson


def _word(method: str) -> str:
    return re.split("[ :]", method)[0]


def _look(method: str) -> dict[str, Any]:
    """Colour and marker of the guide that a method is named after; variants of it (best-of-n, a schedule) are open."""
    colour = plots.colour(_word(method))
    face = colour if method == _word(method) else "white"
    marker = plots.MARKERS.get(_word(method), "P")
    return dict(marker=marker, color=colour, mfc=face, mec=colour, ms=6.5 if marker == "*" else 4.2, mew=1.0)


def _column(ax, methods: Sequence[str], values: Mapping[str, Interval | None], title: str, numbers: bool = False):
    """A dot with its interval per method, from top to bottom; values in %."""
    for y, method in enumerate(methods):
        if y % 2:
            ax.axhspan(y - 0.5, y + 0.5, color="#f1f5f9", lw=0, zorder=0)
        value = values.get(method)
        if value is not None:
            estimate, low, high = value
            ax.plot([low, high], [y, y], color=plots.colour(_word(method)), lw=1.6, solid_capstyle="butt", zorder=2)
            ax.plot(estimate, y, ls="none", zorder=3, clip_on=False, **_look(method))
        if numbers:
            text = "–" if value is None else f"{estimate:.0f}"
            ax.text(1.03, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=plots.INK)
    ax.set(yticks=range(len(methods)), ylim=(len(methods) - 0.5, -0.5), xlim=(0, 100), xticks=(0, 50, 100))
    ax.set_yticklabels(methods)
    ax.set_title(title, fontsize=9)
    ax.tick_params(axis="y", length=0, labelcolor=plots.INK)
    ax.tick_params(labelsize=8)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)


def _values(table: Iterable[Row], name: str) -> dict[str, Interval | None]:
    return {r["method"]: None if r[name] == "" else (r[name], r[f"{name}_low"], r[f"{name}_high"]) for r in table}


def _columns(number: int, methods: int, width: float):
    figure = Figure(figsize=(1.5 + width * number, 0.21 * methods + 0.95), layout="constrained")
    return figure, figure.subplots(ncols=number, sharey=True, squeeze=False)[0]


@plots.style()
def task_bars(rows: Iterable[Row], env: str, reference: str = "none") -> Figure:
    """Success of every method on each task of an env, and the mean over tasks first; best method of the study on top.

    Intervals are Wilson's over all seeds (tasks) and the stratified bootstrap's (mean). A dotted line marks the
    reference.
    """
    rows = list(rows)
    means = _values(aggregate_table(rows, env), "mean")
    table = [row for row in per_task_table(rows) if row["env"] == env]
    tasks = sorted({row["task"] for row in table})
    columns = {"mean": means} | {
        f"task {task}": _values([row for row in table if row["task"] == task], "success") for task in tasks
    }
    figure, axes = _columns(len(columns), len(means), 1.02)
    for ax, (title, values) in zip(axes, columns.items(), strict=True):
        _column(ax, list(means), values, title, numbers=ax is axes[0])
        if (base := values.get(reference)) is not None:
            ax.axvline(base[0], color=plots.colour(reference), ls=":", lw=1.2, zorder=1)
    figure.supxlabel(f"{env}: success, %, with 95 % intervals", fontsize=9, color=plots.INK)
    return figure


@plots.style()
def aggregates(rows: Iterable[Row], env: str | None = None) -> Figure:
    """Mean and interquartile mean over tasks and runs of every method, with stratified bootstrap intervals."""
    table = aggregate_table(rows, env)
    figure, axes = _columns(2, len(_complete(table)), 2.4)
    for ax, name, title in zip(axes, ("mean", "iqm"), ("mean", "interquartile mean"), strict=True):
        _column(ax, _complete(table), _values(table, name), title, numbers=True)
        ax.set_xticks(range(0, 101, 25))
    _foot(figure, table, f"success, %, {env or 'all environments'}, with 95 % intervals")
    return figure


@plots.style()
def improvement(rows: Iterable[Row], over: str = "none", env: str | None = None) -> Figure:
    """Probability that a run of each method beats a run of `over` on a task; 50 % is no difference.

    The two are resampled on their own, though they play the same episodes: if anything the intervals are too wide.
    """
    table = aggregate_table(rows, env, over)
    if over not in _complete(table):
        raise UserError(f"no complete results of {over!r} to compare with (complete: {', '.join(_complete(table))})")
    others = [row for row in table if row["method"] != over]
    figure, (ax,) = _columns(1, len(_complete(others)), 3.4)
    _column(ax, _complete(others), _values(others, f"better than {over}"), "", numbers=True)
    ax.axvline(50, color=plots.INK, ls=":", lw=1.2, zorder=1)
    ax.set_xticks(range(0, 101, 25))
    _foot(figure, others, f"probability of improvement over {over}, %,\n{env or 'all environments'}, 95 % intervals")
    return figure


def _complete(table: Iterable[Row]) -> list[str]:
    table = list(table)
    names = [row["method"] for row in table if row["mean"] != ""]
    if not names:
        raise UserError("no method has the same number of policies on every task: name one environment, or finish runs")
    return names


def _foot(figure: Figure, table: Sequence[Row], text: str, missing: Iterable[str] = ()) -> None:
    """The label below all axes; names what is left out."""
    left_out = [row["method"] for row in table if row["mean"] == "" or row["method"] in missing]
    note = fill(f"incomplete, not shown: {', '.join(left_out)}", int(12 * figure.get_figwidth()))
    figure.supxlabel(f"{text}\n{note}" if left_out else text, fontsize=9, color=plots.INK)


COSTS = dict(gflop="GFLOP per action", decision_ms="ms per decision")


@plots.style()
def success_against_cost(rows: Iterable[Row], x: str = "gflop", env: str | None = None) -> Figure:
    """Mean success against cost (log axis); the line joins what nothing cheaper matches (the Pareto frontier)."""
    if x not in COSTS:
        raise unknown("cost", x, COSTS)
    table = aggregate_table(rows, env)
    means, costs = _values(table, "mean"), {row["method"]: row[x] for row in table if row[x] != ""}
    points = {name: (costs[name], value) for name in _complete(table) if (value := means[name]) and name in costs}
    if not points:
        raise UserError(f"no row has a cost in its column {x}")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    for name, (cost, (success, low, high)) in points.items():
        ax.plot([cost, cost], [low, high], color=plots.colour(_word(name)), lw=1.1, alpha=0.5, zorder=2)
        ax.plot(cost, success, ls="none", zorder=3, label=name, **_look(name))
    dots = {name: (cost, value[0]) for name, (cost, value) in points.items()}
    best = frontier(dots)
    corners = [dots[best[0]], *(c for a, b in pairwise(best) for c in ((dots[b][0], dots[a][1]), dots[b]))]
    ax.plot(*zip(*corners, strict=True), color=plots.FAINT, lw=1.2, zorder=1, label="_frontier")
    lows, highs = zip(*(value[1:] for _, value in points.values()), strict=True)
    spent = [cost for cost, _ in points.values()]
    ax.set(xscale="log", xlim=(min(spent) / 1.6, max(spent) * 1.8), ylabel="mean success, %")
    ax.set_ylim(max(min(lows) - 12, -4), min(max(highs) + 12, 104))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, which="major")
    ax.set_axisbelow(True)
    _foot(figure, table, f"{COSTS[x]}, {env or 'all environments'}; bars are 95 % intervals", set(means) - set(points))
    bars = [((cost, low), (cost, high)) for cost, (_, low, high) in points.values()]
    _label(figure, ax, dots, [*bars, *pairwise(corners)], best)
    return figure


def frontier(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names, cheapest first, of the points (cost, success) that none beats in one and equals in the other."""
    best: list[str] = []
    for name in sorted(points, key=lambda n: (points[n][0], -points[n][1])):
        if not best or points[name][1] > points[best[-1]][1]:
            best.append(name)
    return best


def _label(figure: Figure, ax, points: Mapping[str, tuple[float, float]], lines: Sequence, bold: Sequence[str]) -> None:
    """Write every name near its point, where it covers no dot, line [2, 2] or other name; far ones get a line to it."""
    figure.draw_without_rendering()  # the layout has to stand before anything can be measured
    renderer, scale = FigureCanvasAgg(figure).get_renderer(), figure.dpi / 72  # pixels per point
    at = {name: ax.transData.transform(point) for name, point in points.items()}
    taken = [np.array([dot - 4 * scale, dot + 4 * scale]) for dot in at.values()]
    taken += [np.sort(ax.transData.transform(line), axis=0) + [[-scale], [scale]] for line in lines]
    room = np.array(ax.get_window_extent(renderer))
    crowd = {name: sum(np.hypot(*(at[name] - other)) < 60 * scale for other in at.values()) for name in at}
    for name in sorted(points, key=lambda n: (crowd[n], n)):  # the lonely take the near places and leave room
        text = ax.annotate(
            name, points[name], (0, 0), textcoords="offset points", ha="center", va="center", fontsize=8,
            color=plots.INK, fontweight="bold" if name in bold else "normal", zorder=5,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
        text.set_in_layout(False)  # or the layout would move below the labels
        box, reach = _place(at[name], text.get_window_extent(renderer).size, scale, np.array(taken), room)
        taken.append(box)
        text.set_position((box.mean(0) - at[name]) / scale)
        if reach > 7:
            ends = ax.transData.inverted().transform([at[name], np.clip(at[name], *box)])
            ax.plot(*ends.T, color=plots.FAINT, lw=0.7, zorder=1.5, label="_leader")


def _place(at: np.ndarray, size: np.ndarray, scale: float, taken: np.ndarray, room: np.ndarray):
    """The nearest place around `at` for a box of this size that is free and in the room: (box, its reach in points).

    Boxes are [low x y, high x y] in pixels.
    """
    places: list[tuple[int, int, np.ndarray, float]] = []
    turns = np.deg2rad([0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240])
    for reach, turn in product((7, 12, 18, 25, 33, 42, 52, 64, 80), turns):
        centre = at + np.array([np.cos(turn), np.sin(turn)]) * (reach * scale + size / 2)
        box = np.array([centre - size / 2, centre + size / 2])
        covered = _shared(box, taken).sum() + np.prod(size) - _shared(box, room)
        places.append((round(float(covered)), len(places), box, reach))  # square pixels, then the order above
    return min(places, key=lambda place: place[:2])[2:]


def _shared(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that a box [2, 2] has in common with each of others [..., 2, 2]."""
    sides = np.minimum(box[1], others[..., 1, :]) - np.maximum(box[0], others[..., 0, :])
    return np.prod(np.maximum(sides, 0), axis=-1)


Curve = dict[float, tuple[int, int]]  # strength -> successes, episodes


def _curves(rows: Iterable[Row]) -> dict[str, dict[str, Curve]]:
    """The tuning rows pooled over tasks and seeds: env -> method -> strength -> counts; strength 0 for none."""
    curves: dict[str, dict[str, Curve]] = {}
    seen = set()
    for row in rows:
        if row["split"] != "tuning" or (row["strength"] in ("", None) and row["method"] != "none"):
            continue  # a raw weight has no place on the axis
        key = tuple(str(row.get(k, "")) for k in ("env", "task", "policy_seed", "seed", "first", "method", "strength"))
        if key in seen:
            raise UserError(f"two tuning rows of env, task, policy seed, seed, first, method, strength {' '.join(key)}")
        seen.add(key)
        curve = curves.setdefault(row["env"], {}).setdefault(row["method"], {})
        strength = 0.0 if row["method"] == "none" else float(row["strength"])
        wins, episodes = curve.get(strength, (0, 0))
        curve[strength] = wins + int(row["successes"]), episodes + int(row["episodes"])
    return curves


@plots.style()
def strength_curves(rows: Iterable[Row], columns: int = 6) -> Figure:
    """Success on the tuning episodes against strength, per env and method, pooled over tasks and seeds (Wilson bands).

    The other methods of the env are grey lines; the dotted line is no guidance, the dashed one the strength that the
    held-out rows use.
    """
    rows = list(rows)
    curves = {env: by for env, by in sorted(_curves(rows).items()) if set(by) - {"none"}}
    if not curves:
        raise UserError("no tuning rows with a strength: nothing to show")
    methods = list(dict.fromkeys(m for by in curves.values() for m in by if m != "none"))
    chosen = {(r["env"], r["method"], float(r["strength"])) for r in rows if r["split"] == "held-out" and r["strength"]}
    lines = -(-len(methods) // columns)
    columns = -(-len(methods) // lines)  # as even as can be
    heights = [1.3 * lines + 0.35] * len(curves) + [0.6]
    figure = Figure(figsize=(max(0.7 + 1.25 * columns, 4.2), sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), squeeze=False, height_ratios=heights)[:, 0]
    for part, (env, by) in zip(parts, curves.items(), strict=False):
        part.suptitle(env, x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = part.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for ax, method in zip(axes.flat, methods, strict=False):
            _curve(ax, by, method, [s for e, m, s in chosen if (e, m) == (env, method)])
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        for ax in axes.flat[max(len(methods) - columns, 0) : len(methods)]:  # the lowest of each column
            ax.tick_params(labelbottom=True)
        for ax in axes[:, 0]:
            ax.set_ylabel("success, %", fontsize=8)
    key = "bands: 95 % intervals; dotted: no guidance; dashed: held-out strength; grey: other methods"
    text = f"strength (standard deviations of the reference action)\n{fill(key, int(14 * figure.get_figwidth()))}"
    parts[-1].text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=plots.INK)
    return figure


def _curve(ax, by_method: Mapping[str, Curve], method: str, chosen: Sequence[float]) -> None:
    strengths = sorted({s for name, curve in by_method.items() if name != "none" for s in curve if s > 0})
    for name in by_method:
        own = [s for s in sorted(by_method[name]) if s > 0 or name == "none"]
        counts = [by_method[name][s] for s in own]
        success = [100 * wins / episodes for wins, episodes in counts]
        low, high = 100 * np.array([wilson(*c) for c in counts]).T
        if name == "none":
            ax.axhline(success[0], color=plots.colour(name), ls=":", lw=1.3, zorder=2)
            ax.axhspan(low[0], high[0], color=plots.colour(name), alpha=0.12, lw=0, zorder=0)
        elif name == method:
            ax.fill_between(own, low, high, color=plots.colour(_word(name)), alpha=0.2, lw=0, zorder=2)
            ax.plot(own, success, lw=1.6, zorder=3, **_look(name))
        else:
            ax.plot(own, success, color="#cbd5e1", lw=0.7, zorder=1)
    for strength in chosen:
        ax.axvline(strength, color=plots.INK, ls="--", lw=0.9, zorder=2)
    ticks = strengths[:: -(-len(strengths) // 4)]
    ax.set(xscale="log", ylim=(-3, 103), yticks=(0, 50, 100))
    ax.set_xticks(ticks, [f"{s:g}" for s in ticks], minor=False)
    ax.minorticks_off()
    ax.tick_params(labelsize=7.5)
    ax.set_title(method, fontsize=8.5, fontweight="normal")
    ax.grid(True)
