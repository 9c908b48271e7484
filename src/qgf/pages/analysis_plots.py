"""Figures of an analysis, drawn from the tables that `qgf.analysis.analyse` wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from qgf.pages.plots import FAINT, INK, MARKERS, _figure, colour

Rows = Sequence[Any]  # of a table of the analysis
REACH = "strength (standard deviations of the reference action)"


def _column(rows: Rows, name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows], float)


def _guides(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row.guide for row in rows if row.guide != "none"))


def _line(ax, rows: Rows, x: str, y: str, guide: str) -> None:
    """One guide's line with its interval."""
    at, low, high = _column(rows, x), _column(rows, f"{y}_low"), _column(rows, f"{y}_high")
    style = dict(color=colour(guide), marker=MARKERS.get(guide, "P"), lw=1.6, ms=7 if guide == "qgf" else 4.5)
    ax.plot(at, _column(rows, y), label=guide, **style)
    ax.fill_between(at, low, high, color=colour(guide), alpha=0.1, lw=0)


def _legend(figure: Figure, ax) -> None:
    handles, labels = ax.get_legend_handles_labels()
    lines = ceil(1.15 * len(labels) / figure.get_figwidth())
    figure.legend(handles, labels, loc="outside upper center", ncols=ceil(len(labels) / lines))


def noise(rows: Rows) -> Figure:
    """cos(g(a_t), g(a_t + eps)) against t, one panel per deviation of eps."""
    deviations = sorted({row.deviation for row in rows})
    figure, axes = _figure(2.9 * len(deviations), 3.2, ncols=len(deviations), sharey=True, squeeze=False)
    for ax, deviation in zip(axes[0], deviations, strict=True):
        for guide in _guides(rows):
            mine = [row for row in rows if row.guide == guide and row.deviation == deviation]
            _line(ax, mine, "t", "cosine", guide)
        ax.set(title=f"noise of deviation {deviation:g}", xlabel="time t")
        ax.grid(True)
    axes[0][0].set_ylabel("cosine with the direction\nbefore the noise")
    _legend(figure, axes[0][0])
    return figure


GAIN = "Q gained, standard deviations\nof Q over the unguided actions"
JUDGES = dict(gain="the critic that guides", judged_gain="a critic of other data")


def value(rows: Rows) -> Figure:
    """Q gained over the unguided action against strength, best-of-N as levels; by the guide and by the judge."""
    judges = {key: title for key, title in JUDGES.items() if getattr(rows[0], key) is not None}
    figure, axes = _figure(4.4 * len(judges) + 0.6, 3.6, ncols=len(judges), sharey=True, squeeze=False)
    for ax, (key, title) in zip(axes[0], judges.items(), strict=True):
        for guide in _guides(rows):
            _line(ax, sorted((r for r in rows if r.guide == guide), key=_strength), "strength", key, guide)
        strengths = sorted({row.strength for row in rows if row.strength is not None})
        for row in rows:
            if row.guide == "none" and row.best_of > 1:
                ax.axhline(getattr(row, key), color=FAINT, ls=":", lw=1.3, zorder=1)
                label = f"best of {row.best_of:.0f}"
                at = dict(xycoords=ax.get_yaxis_transform(), va="center")
                ax.annotate(label, (1, getattr(row, key)), fontsize=8, color=INK, **at)
        ax.axhline(0, color=colour("none"), lw=1.2, zorder=1)
        ax.set(title=f"judged by {title}", xscale="log", xlabel=REACH)
        ax.set_xticks(strengths, [f"{x:g}" for x in strengths])
        ax.minorticks_off()
        ax.grid(True)
    axes[0][0].set_ylabel(GAIN)
    _legend(figure, axes[0][0])
    return figure


def _strength(row) -> float:
    return row.strength


def distance(rows: Rows) -> Figure:
    """Distance from the data, and likelihood, against Q gained: one line per guide, through its strengths."""
    judges = {key: title for key, title in JUDGES.items() if getattr(rows[0], key) is not None}
    axis = dict(
        distance="RMS distance to the\nnearest chunk of the data", log_likelihood="log-likelihood\nunder the flow, nats"
    )
    figure, axes = _figure(
        4.4 * len(judges), 6.0, nrows=2, ncols=len(judges), sharex="col", sharey="row", squeeze=False
    )
    for j, (gain, title) in enumerate(judges.items()):
        for i, (far, label) in enumerate(axis.items()):
            ax = axes[i][j]
            for guide in _guides(rows):
                mine = sorted((r for r in rows if r.guide == guide), key=_strength)
                marks = dict(color=colour(guide), marker=MARKERS.get(guide, "P"), label=guide)
                ax.plot(_column(mine, gain), _column(mine, far), lw=1.5, ms=7 if guide == "qgf" else 4.5, **marks)
            _best_of(ax, [r for r in rows if r.guide == "none"], gain, far)
            ax.grid(True)
            if j == 0:
                ax.set_ylabel(label)
        axes[0][j].set_title(f"judged by {title}")
        axes[1][j].set_xlabel(GAIN)
    _legend(figure, axes[0][0])
    return figure


def _best_of(ax, rows: Rows, x: str, y: str) -> None:
    rows = sorted(rows, key=lambda r: r.best_of)
    ax.plot(
        _column(rows, x), _column(rows, y), color=colour("none"), marker="o", ls=":", lw=1.3, ms=4, label="best of N"
    )
    for row in rows:
        place = dict(textcoords="offset points", xytext=(4, 4), fontsize=7.5, color=INK)
        ax.annotate(f"{row.best_of:.0f}", (getattr(row, x), getattr(row, y)), **place)


def jacobian(rows: Rows) -> Figure:
    """Singular values of J, its asymmetry and the chain's amplification, against t."""
    figure, axes = _figure(10.2, 3.2, ncols=3)
    pick: Callable[[str], list[Any]] = lambda name: [r for r in rows if r.quantity == name]
    values = pick("singular value")
    ranks = sorted({r.rank for r in values})
    shades = np.linspace(1.0, 0.25, len(ranks))
    for rank, shade in zip(ranks, shades, strict=True):
        mine = [r for r in values if r.rank == rank]
        label = {ranks[0]: "largest", ranks[-1]: "smallest"}.get(rank)
        axes[0].plot(
            _column(mine, "t"), _column(mine, "mean"), color=colour("jacobian"), alpha=shade, lw=1.5, label=label
        )
    axes[0].legend(fontsize=8)
    for ax, name, guide in ((axes[1], "asymmetry", "jacobian"), (axes[2], "amplification", "bptt")):
        mine = pick(name)
        ax.plot(_column(mine, "t"), _column(mine, "mean"), color=colour(guide), marker=MARKERS[guide], lw=1.6, ms=4.5)
        ax.fill_between(
            _column(mine, "t"), _column(mine, "low"), _column(mine, "high"), color=colour(guide), alpha=0.1, lw=0
        )
    for ax, level, title in (
        (axes[0], 1, "singular values of J"),
        (axes[1], 0, "asymmetry of J, 0 if exact"),
        (axes[2], 1, "amplification by the chain"),
    ):
        ax.axhline(level, color=FAINT, ls=":", lw=1.3, zorder=1)
        ax.set(title=title, xlabel="time t", ylim=(0, None))
        ax.grid(True)
    return figure


def cost(rows: Rows) -> Figure:
    """FLOP, latency and memory of one action of every arm, each on a logarithmic scale."""
    rows = sorted(rows, key=lambda r: (r.best_of, r.flop))
    y = np.arange(len(rows))[::-1]
    figure, axes = _figure(10.2, 0.28 * len(rows) + 1.0, ncols=3, sharey=True)
    labels = [r.guide + (f", best of {r.best_of:.0f}" if r.best_of > 1 else "") for r in rows]
    quantities = (("flop", 1e-6, "MFLOP, counted"), ("milliseconds", 1, "ms, one state"), ("bytes", 1e-3, "kB, peak"))
    for ax, (name, unit, title) in zip(axes, quantities, strict=True):
        for at, row in zip(y, rows, strict=True):
            x, guide = unit * getattr(row, name), row.guide
            ax.plot(x, at, MARKERS.get(guide, "P"), color=colour(guide), ms=9 if guide == "qgf" else 6)
            ax.annotate(
                f"{x:.3g}" if x < 1000 else f"{x:,.0f}",
                (x, at),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=INK,
            )
        ax.set(title=title, yticks=y, yticklabels=labels, xscale="log")
        low, high = ax.get_xlim()
        ax.set_xlim(low, high * (high / low) ** 0.15)  # room for the last number
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.grid(True)
        ax.set_axisbelow(True)
    return figure


SECTIONS: dict[str, tuple[Callable[[Rows], Figure], str]] = dict(
    noise=(
        noise,
        "How far a small change of the noisy action turns the direction: the cosine between before and after. "
        "Bands are 95 % intervals for new episodes: states of one episode are alike.",
    ),
    jacobian=(
        jacobian,
        "What stands between the noisy action and the place where Q is asked. J is the derivative of the one-step "
        "estimate, which qgf replaces by the identity; an exact flow's is symmetric. Right, the largest factor by "
        "which the remaining denoising steps stretch a change: bptt multiplies its gradients with such factors.",
    ),
    value=(
        value,
        "The gradient as an optimiser. Gains are measured state by state, in the spread of Q over the cloned policy's "
        "own actions there. Guide and judge were trained on different halves of the episodes: what only the guide "
        "believes was exploited. Dotted levels are the best of N unguided actions, chosen by the guide.",
    ),
    distance=(
        distance,
        "What that value costs in distance from the data. Lines run through the strengths, weakest first; numbers are "
        "the N of best-of-N. Actions are measured as the networks know them, in [-1, 1], whatever the environment's "
        "units are.",
    ),
    cost=(
        cost,
        "Cost of one action chunk for one state: matrix products counted, latency measured on this machine, memory "
        "that the compiled program needs beside the networks.",
    ),
)
"""Table -> its figure and caption, in the order of the report."""
