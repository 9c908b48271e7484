"""Success against strength on a study's tuning episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from qgf.errors import UserError
from qgf.pages import plots
from qgf.pages.study_plots import look, word
from qgf.playing.measure import Measure, interval
from qgf.playing.rows import Row

Curve = dict[float, np.ndarray]  # strength -> success, or return, of each episode


def _curves(rows: Iterable[Row]) -> dict[str, dict[str, Curve]]:
    """The tuning rows pooled over tasks and seeds: env -> method -> strength -> scores; strength 0 for none."""
    curves: dict[str, dict[str, Curve]] = {}
    seen = set()
    for row in rows:
        strength = 0.0 if row.method == "none" else row.strength
        if row.split != "tuning" or strength is None:
            continue  # a raw weight has no place on the axis
        key = (row.env, row.task, row.policy_seed, row.seed, row.first, row.method, strength)
        if key in seen:
            where = " ".join(map(str, key))
            raise UserError(f"two tuning rows of env, task, policy seed, seed, first, method, strength {where}")
        seen.add(key)
        curve = curves.setdefault(row.env, {}).setdefault(row.method, {})
        curve[strength] = np.append(curve.get(strength, []), row.scores)
    return curves


@plots.style()
def strength_curves(rows: Iterable[Row], columns: int = 6) -> Figure:
    """Success (or return) on the tuning episodes against strength, per env and method, pooled over tasks and seeds.

    The other methods of the env are grey lines; the dotted line is no guidance, the dashed one the strength that the
    held-out rows use.
    """
    rows = list(rows)
    measured = {row.env: row.measure for row in rows}
    curves = {env: by for env, by in sorted(_curves(rows).items()) if set(by) - {"none"}}
    if not curves:
        raise UserError("no tuning rows with a strength: nothing to show")
    methods = list(dict.fromkeys(m for by in curves.values() for m in by if m != "none"))
    chosen = {(r.env, r.method, r.strength) for r in rows if r.split == "held-out" and r.strength}
    lines = -(-len(methods) // columns)
    columns = -(-len(methods) // lines)  # as even as can be
    heights = [1.3 * lines + 0.35] * len(curves) + [0.6]
    figure = Figure(figsize=(max(0.7 + 1.25 * columns, 4.2), sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), squeeze=False, height_ratios=heights)[:, 0]
    for part, (env, by) in zip(parts, curves.items(), strict=False):
        part.suptitle(env, x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = part.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for ax, method in zip(axes.flat, methods, strict=False):
            _curve(ax, by, method, [s for e, m, s in chosen if (e, m) == (env, method)], measured[env])
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        for ax in axes.flat[max(len(methods) - columns, 0) : len(methods)]:  # the lowest of each column
            ax.tick_params(labelbottom=True)
        for ax in axes[:, 0]:
            ax.set_ylabel("success, %" if measured[env] == "success" else "return", fontsize=8)
    key = "bands: 95 % intervals; dotted: no guidance; dashed: held-out strength; grey: other methods"
    text = f"strength (standard deviations of the reference action)\n{fill(key, int(14 * figure.get_figwidth()))}"
    parts[-1].text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=plots.INK)
    return figure


def _curve(
    ax, by_method: Mapping[str, Curve], method: str, chosen: Sequence[float], measure: Measure = "success"
) -> None:
    scale = 100 if measure == "success" else 1
    strengths = sorted({s for name, curve in by_method.items() if name != "none" for s in curve if s > 0})
    for name in by_method:
        own = [s for s in sorted(by_method[name]) if s > 0 or name == "none"]
        scores = [by_method[name][s] for s in own]
        success = [scale * x.mean() for x in scores]
        low, high = scale * np.array([interval(x, measure) for x in scores]).T
        if name == "none":
            ax.axhline(success[0], color=plots.colour(name), ls=":", lw=1.3, zorder=2)
            ax.axhspan(low[0], high[0], color=plots.colour(name), alpha=0.12, lw=0, zorder=0)
        elif name == method:
            ax.fill_between(own, low, high, color=plots.colour(word(name)), alpha=0.2, lw=0, zorder=2)
            ax.plot(own, success, lw=1.6, zorder=3, **look(name))
        else:
            ax.plot(own, success, color="#cbd5e1", lw=0.7, zorder=1)
    for strength in chosen:
        ax.axvline(strength, color=plots.INK, ls="--", lw=0.9, zorder=2)
    ticks = strengths[:: -(-len(strengths) // 4)]
    ax.set_xscale("log")
    if measure == "success":
        ax.set(ylim=(-3, 103), yticks=(0, 50, 100))
    ax.set_xticks(ticks, [f"{s:g}" for s in ticks], minor=False)
    ax.minorticks_off()
    ax.tick_params(labelsize=7.5)
    ax.set_title(method, fontsize=8.5, fontweight="normal")
    ax.grid(True)
