"""Success against cost, a point per method of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from qgf.errors import UserError, unknown
from qgf.laboratory.tables import aggregate_table, measure_of
from qgf.pages import plots
from qgf.pages.study_plots import complete, foot, label, look, values, word
from qgf.playing.rows import Row

COSTS = dict(gflop="GFLOP per action", decision_ms="ms per decision")


@plots.style()
def success_against_cost(rows: Iterable[Row], x: str = "gflop", env: str | None = None) -> Figure:
    """Mean success against cost (log axis); the line joins what nothing cheaper matches (the Pareto frontier)."""
    if x not in COSTS:
        raise unknown("cost", x, COSTS)
    rows = list(rows)
    table = aggregate_table(rows, env)
    means, costs = values(table, "mean"), {row["method"]: row[x] for row in table if row[x] != ""}
    points = {name: (costs[name], value) for name in complete(table) if (value := means[name]) and name in costs}
    if not points:
        raise UserError(f"no row has a cost in its column {x}")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    for name, (cost, (success, low, high)) in points.items():
        ax.plot([cost, cost], [low, high], color=plots.colour(word(name)), lw=1.1, alpha=0.5, zorder=2)
        ax.plot(cost, success, ls="none", zorder=3, label=name, **look(name))
    dots = {name: (cost, value[0]) for name, (cost, value) in points.items()}
    best = frontier(dots)
    corners = [dots[best[0]], *(c for a, b in pairwise(best) for c in ((dots[b][0], dots[a][1]), dots[b]))]
    ax.plot(*zip(*corners, strict=True), color=plots.FAINT, lw=1.2, zorder=1, label="_frontier")
    lows, highs = zip(*(value[1:] for _, value in points.values()), strict=True)
    spent = [cost for cost, _ in points.values()]
    ax.set(xscale="log", xlim=(min(spent) / 1.6, max(spent) * 1.8), ylabel=f"mean {label(rows, env)}")
    if measure_of(rows, env) == "success":
        ax.set_ylim(max(min(lows) - 12, -4), min(max(highs) + 12, 104))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, which="major")
    ax.set_axisbelow(True)
    foot(figure, table, f"{COSTS[x]}, {env or 'all environments'}; bars are 95 % intervals", set(means) - set(points))
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
    places: list[tuple[float, int, np.ndarray, float]] = []
    turns = np.deg2rad([0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240])
    for reach, turn in product((7, 12, 18, 25, 33, 42, 52, 64, 80), turns):
        centre = at + np.array([np.cos(turn), np.sin(turn)]) * (reach * scale + size / 2)
        box = np.array([centre - size / 2, centre + size / 2])
        covered = _shared(box, taken).sum() + np.prod(size) - _shared(box, room)
        places.append((round(float(covered), 3), len(places), box, reach))  # square pixels, then the order above
    return min(places, key=lambda place: place[:2])[2:]


def _shared(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that a box [2, 2] has in common with each of others [..., 2, 2]."""
    sides = np.minimum(box[1], others[..., 1, :]) - np.maximum(box[0], others[..., 0, :])
    return np.prod(np.maximum(sides, 0), axis=-1)
