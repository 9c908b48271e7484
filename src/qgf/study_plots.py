"""Tables and figures of a study: many methods on the same tasks, from the rows of its results file.

A row is one policy (`policy_seed`) of one `method` on one `task` of an `env`, with the outcome of every episode. Tables
and figures show held-out rows; success is in percent with 95 % intervals. A method that has not the same number of
policies on every task has no aggregate: it is left out by name, not filled in.
"""

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

from qgf import plots
from qgf.errors import UserError, unknown
from qgf.statistics import iqm, mcnemar, mean, probability_of_improvement, rates, stratified_bootstrap, wilson

Row = Mapping[str, Any]
Task = tuple[str, int]
Played = dict[tuple[int, int], np.ndarray]  # (policy seed, episode seed) -> success of each episode
Held = dict[str, dict[Task, Played]]  # by method, best first
Interval = tuple[float, float, float]  # estimate, low, high


def held_out(rows: Iterable[Row]) -> Held:
    """The outcomes of the held-out rows by method, task and seeds; methods by their mean over tasks, best first.

    Raises UserError if there are none, if two rows claim the same episodes, or if outcomes and counts disagree.
    """
    held: Held = {}
    for row in rows:
        if row["split"] != "held-out":
            continue
        method, task = row["method"], (row["env"], int(row["task"]))
        seeds = int(row["policy_seed"]), int(row["seed"])
        where = f"{method} on {task[0]} task {task[1]}, policy seed {seeds[0]}, seed {seeds[1]}"
        outcomes = np.array([c == "1" for c in str(row["outcomes"])], bool)
        if not len(outcomes) or (len(outcomes), outcomes.sum()) != (int(row["episodes"]), int(row["successes"])):
            raise UserError(f"{where}: outcomes do not fit the counts of episodes and successes")
        played = held.setdefault(method, {}).setdefault(task, {})
        if seeds in played:
            raise UserError(f"{where}: two held-out rows; choose one strength and one number of updates")
        played[seeds] = outcomes
    if not held:
        raise UserError("no held-out rows: nothing to show")
    overall = {m: np.mean([_pooled(played).mean() for played in tasks.values()]) for m, tasks in held.items()}
    return {method: held[method] for method in sorted(held, key=lambda m: (-overall[m], m))}


def _pooled(played: Played) -> np.ndarray:
    return np.concatenate([played[seeds] for seeds in sorted(played)])


def _tasks(held: Held, env: str | None = None) -> list[Task]:
    known = sorted({task for tasks in held.values() for task in tasks})
    if env is not None and env not in {name for name, _ in known}:
        raise unknown("environment", env, sorted({name for name, _ in known}))
    return [task for task in known if env in (None, task[0])]


def _scores(by_task: dict[Task, Played], tasks: list[Task]) -> np.ndarray | None:
    """[runs, tasks, episodes], nan where a run has fewer episodes; None unless every task has as many runs.

    A run is one policy: further episode seeds of it are more episodes, not more runs.
    """
    runs = []
    for task in tasks:
        by_policy: dict[int, list[np.ndarray]] = {}
        for (policy_seed, _), outcomes in sorted(by_task.get(task, {}).items(), key=lambda item: item[0]):
            by_policy.setdefault(policy_seed, []).append(outcomes)
        runs.append([np.concatenate(parts) for parts in by_policy.values()])
    if len({len(task) for task in runs}) > 1:
        return None
    longest = max((len(run) for task in runs for run in task), default=0)
    padded = lambda run: np.pad(run.astype(float), (0, longest - len(run)), constant_values=np.nan)
    return np.stack([[padded(run) for run in task] for task in runs], axis=1) if longest else None


def per_task_table(rows: Iterable[Row], over: str = "none") -> list[dict[str, Any]]:
    """One dict per env, task and method: success, % over all seeds, with Wilson's interval, which takes episodes for
    independent; p of the exact McNemar test against `over`, not corrected for many tests, if both played the same
    episodes.
    """
    held = held_out(rows)
    table = []
    for task, method in product(_tasks(held), held):
        played = held[method].get(task)
        if played is None:
            continue
        wins, episodes = int(_pooled(played).sum()), len(_pooled(played))
        low, high = wilson(wins, episodes)
        table.append(
            dict(env=task[0], task=task[1], method=method, runs=len({policy for policy, _ in played}))
            | dict(episodes=episodes, successes=wins)
            | _triple("success", (wins / episodes, low, high))
            | {f"p against {over}": _paired_p(played, held.get(over, {}).get(task, {})) if method != over else ""}
        )  # fmt: skip
    return table


def _paired_p(a: Played, b: Played) -> float | str:
    if {seeds: len(x) for seeds, x in a.items()} != {seeds: len(x) for seeds, x in b.items()}:
        return ""
    return float(f"{mcnemar(_pooled(a), _pooled(b)):.3g}")


def _triple(name: str, values: Interval | None) -> dict[str, Any]:
    shown = ("", "", "") if values is None else (round(100 * float(x), 2) for x in values)
    return dict(zip((name, f"{name}_low", f"{name}_high"), shown, strict=True))


def aggregate_table(rows: Iterable[Row], env: str | None = None, over: str = "none") -> list[dict[str, Any]]:
    """One dict per method over the tasks of `env` (all if None): mean and interquartile mean of success, probability
    that a run improves on a run of `over`, each in % with its stratified bootstrap interval; median cost per action.
    """
    rows = list(rows)
    held = held_out(rows)
    tasks = _tasks(held, env)
    scores = {method: _scores(held[method], tasks) for method in held}
    costs = {name: _costs(rows, name, tasks) for name in ("gflop", "decision_ms")}
    table = []
    for method, mine in scores.items():
        played = [held[method].get(task, {}) for task in tasks]
        if not any(played):
            continue
        better = None if method == over else _estimate(probability_of_improvement, mine, scores.get(over))
        table.append(
            dict(method=method, tasks=sum(map(bool, played)), runs="" if mine is None else len(mine))
            | dict(episodes=sum(len(x) for seeds in played for x in seeds.values()))
            | _triple("mean", _estimate(mean, mine))
            | _triple("iqm", _estimate(iqm, mine))
            | _triple(f"better than {over}", better)
            | {name: cost.get(method, "") for name, cost in costs.items()}
        )
    return table


def _estimate(statistic, *scores: np.ndarray | None) -> Interval | None:
    """The statistic of [runs, tasks, episodes] with its interval; None if a method has no aggregate."""
    known = tuple(x for x in scores if x is not None)
    if len(known) < len(scores):
        return None
    return statistic(*map(rates, known)), *stratified_bootstrap(known, statistic)


def _costs(rows: Iterable[Row], name: str, tasks: list[Task]) -> dict[str, float]:
    """Cost per action by method: mean over tasks of the median over runs, which one interrupted run does not move."""
    seen: dict[str, dict[Task, list[float]]] = {}
    for row in rows:
        task = (row["env"], int(row["task"]))
        if row["split"] == "held-out" and task in tasks and row.get(name) not in ("", None):
            seen.setdefault(row["method"], {}).setdefault(task, []).append(float(row[name]))
    costs = {
        m: np.mean([np.median(x) for x in by_task.values()])
        for m, by_task in seen.items()
        if set(by_task) == set(tasks)
    }
    return {method: float(f"{cost:.4g}") for method, cost in costs.items() if cost > 0}


def across_tasks(table: Iterable[Row]) -> list[dict[str, Any]]:
    """A per-task table with a column of `success [low, high]` per task: one dict per env and method."""
    table = list(table)
    tasks = sorted({row["task"] for row in table})
    wide: dict[tuple[str, str], dict[str, Any]] = {}
    for row in table:
        first = dict(env=row["env"], method=row["method"]) | {f"task {task}": "" for task in tasks}
        wide.setdefault((row["env"], row["method"]), first)[f"task {row['task']}"] = _cell(row, "success")
    return list(wide.values())


def markdown(table: Sequence[Row]) -> str:
    """A Markdown table; columns x, x_low and x_high become one, `x [low, high]`, without decimals."""
    names = [name for name in table[0] if not re.search(r"_(low|high)$", name)] if table else []
    lines = [names, ["---"] * len(names), *([_cell(row, name) for name in names] for row in table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines if names)


def _cell(row: Row, name: str) -> str:
    value = row[name]
    if f"{name}_low" in row and value != "":
        return f"{value:.0f} [{row[f'{name}_low']:.0f}, {row[f'{name}_high']:.0f}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")


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
