"""Figures of a run. Colours keep one meaning everywhere and never carry it alone: markers and labels repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from qgf.environments.maze import Maze, Walks
from qgf.files import atomic_path
from qgf.method.policy import Policy
from qgf.pages.arms import Shown
from qgf.types import Trace

COLOURS = dict(
    none="#64748b", ood="#f97316", bptt="#dc2626", chain="#a16207", jacobian="#7c3aed", qgf="#0891b2",
    gradstep="#16a34a", robustq="#db2777", cfgrl="#1d4ed8", gate="#0f766e",
    placebo="#94a3b8", steady="#94a3b8", zero="#94a3b8",
)  # fmt: skip
MARKERS = dict(
    none="o", ood="s", bptt="^", chain="v", jacobian="D", qgf="*",
    gradstep="P", robustq="X", cfgrl="p", gate="h", placebo="x", steady="1", zero="+",
)  # fmt: skip
OTHER = "#334155"
INK, FAINT, WALL, FLOOR = "#0f172a", "#94a3b8", "#cbd5e1", "#ffffff"
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "grid.color": "#e2e8f0",
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@contextmanager
def style():
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def save(figure: Figure, path: Path) -> None:
    """As a PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def _figure(width: float, height: float, **grid):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)


def colour(guide: str) -> str:
    return COLOURS.get(guide, OTHER)


def learning_curves(metrics: dict[str, np.ndarray]) -> Figure:
    """Every loss against updates, training (line) and held-out data (dashed); one thin line per seed."""
    titles = {
        "loss/flow": "flow: cloning loss",
        "loss/critic": "critic: TD loss",
        "loss/value": "value: expectile loss",
    }
    order = list(titles)
    losses = sorted((k for k in metrics if k.startswith("loss/")), key=lambda k: order.index(k) if k in order else 99)
    values = [key for key in ("q", "v") if key in metrics]
    figure, axes = _figure(3.1 * (len(losses) + bool(values)), 2.7, ncols=len(losses) + bool(values), squeeze=False)
    for ax, key in zip(axes[0], losses, strict=False):
        _curves(ax, metrics, key, "#0891b2", "-", "training")
        _curves(ax, metrics, key.replace("loss/", "val/"), "#f97316", "--", "held out")
        ax.set_title(titles.get(key, key))
        ax.legend(fontsize=8)
    if values:
        for key, c, line in zip(values, ("#7c3aed", "#64748b"), ("-", "--"), strict=False):
            _curves(axes[0][-1], metrics, key, c, line, f"mean {key.upper()}")
        axes[0][-1].set_title("values on the data")
        axes[0][-1].legend(fontsize=8)
    _updates(axes[0])
    return figure


def critic_curves(measures: dict[str, np.ndarray]) -> Figure:
    """What held-out data say of a critic (`training.validation`) against updates; one thin line per seed."""
    figure, axes = _figure(9.3, 2.7, ncols=3, squeeze=False)
    panels = (
        ("right on held-out data", ("explained", "order")),
        ("do its members agree?", ("agreement", "ranks")),
        ("has it a gradient?", ("steep",)),
    )
    for ax, (title, names) in zip(axes[0], panels, strict=True):
        for name, c, line in zip(names, ("#0891b2", "#f97316"), ("-", "--"), strict=False):
            _curves(ax, measures, name, c, line, name)
        ax.set_title(title)
        ax.set_ylim(max(-1.05, min(0.0, *ax.get_ylim())), 1.05)
        ax.legend(fontsize=8)
    _updates(axes[0])
    return figure


def _updates(axes) -> None:
    for ax in axes:
        ax.grid(True)
        ax.set_xlabel("updates")
        ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")


def _curves(ax, metrics, key, colour, line, label):
    if key not in metrics:
        return
    for seed in np.unique(metrics["seed"]):
        rows = metrics["seed"] == seed
        ax.plot(metrics["step"][rows], metrics[key][rows], line, color=colour, lw=1.6, label=label)
        label = None


def bars(rows: Sequence[Shown]) -> Figure:
    """Success, or return, of each arm with its 95 % interval."""
    figure, ax = _figure(7.2, 0.42 * len(rows) + 0.9)
    y, success = np.arange(len(rows))[::-1], rows[0].measure == "success"
    means, low, high = _estimates(rows)
    ax.barh(y, means, height=0.62, color=[colour(x.arm.guide) for x in rows], alpha=0.85)
    spread = [np.maximum(np.nan_to_num(x), 0) for x in (means - low, high - means)]
    ax.errorbar(means, y, xerr=spread, fmt="none", ecolor=INK, capsize=3, lw=1.2)
    if success:
        ax.set(xlim=(0, 112), xlabel="success, % (95 % Wilson interval)")
        ax.set_xticks(range(0, 101, 20))
    else:
        ax.set(xlabel="return (95 % bootstrap interval)")
        ax.margins(x=0.12)
    for at, mean, top, row in zip(y, means, means + spread[1], rows, strict=True):
        beyond = max(top, 0) if not success else max(top, mean)  # bars of negative returns end at 0
        ax.annotate(row.shown, (beyond, at), (5, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    ax.set(yticks=y, yticklabels=[x.label for x in rows])
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    return figure


def _estimates(rows: Sequence[Shown]) -> np.ndarray:
    """Success in %, or return, with low and high, of each arm, [3, arms]."""
    return (100 if rows[0].measure == "success" else 1) * np.array([(x.score, *x.interval) for x in rows]).T


def against_strength(rows: Sequence[Shown]) -> Figure:
    """Success, or return, against strength, a line and its interval per guide; the unguided policy as a dotted line."""
    figure, ax = _figure(6.2, 3.3)
    for guide in dict.fromkeys(x.arm.guide for x in rows):
        mine = sorted((x for x in rows if x.arm.guide == guide), key=lambda x: x.arm.strength or 0)
        means, low, high = _estimates(mine)
        if guide == "none":
            ax.axhline(means[0], color=colour(guide), ls=":", lw=1.6, label="none")
            ax.axhspan(low[0], high[0], color=colour(guide), alpha=0.12, lw=0)
            continue
        strengths = [x.arm.strength for x in mine]
        ax.plot(strengths, means, marker=MARKERS.get(guide, "P"), color=colour(guide), lw=1.8, label=guide)
        ax.fill_between(strengths, low, high, color=colour(guide), alpha=0.15, lw=0)
    ax.set(xscale="log", xlabel="strength (standard deviations of the reference action)", ylabel="return")
    if rows[0].measure == "success":
        ax.set(ylim=(-3, 105), ylabel="success, %")
    ticks = sorted({x.arm.strength for x in rows if x.arm.strength})
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks], minor=False)
    ax.minorticks_off()
    ax.grid(True)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def draw_maze(ax, maze: Maze) -> None:
    """Walls, floor and goal."""
    shade = matplotlib.colors.ListedColormap([FLOOR, WALL])
    ax.imshow(maze.walls, cmap=shade, vmin=0, vmax=1, origin="lower", extent=maze.extent, zorder=0)
    ax.add_patch(Circle(tuple(maze.goal), maze.radius, facecolor="#bbf7d0", edgecolor="#16a34a", lw=1.5, zorder=1))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def maze_walks(goals: Sequence[Walks], arms: dict[str, str]) -> Figure:
    """The maze once per arm (label -> title), side by side for one goal, a row each for several; a dot marks the start
    of a walk, a cross where a failed one ended.
    """
    single, walls = len(goals) == 1, goals[0].maze.walls
    rows, columns, size = (1, len(arms), 4.2) if single else (len(arms), len(goals), 2.2)
    height = rows * size * walls.shape[0] / walls.shape[1] + 0.4
    figure, axes = _figure(size * columns, height, nrows=rows, ncols=columns, squeeze=False)
    axes = axes.T if single else axes  # [arms, goals]
    for (row, (arm, title)), (column, walks) in product(enumerate(arms.items()), enumerate(goals)):
        ax = axes[row][column]
        draw_maze(ax, walks.maze)
        ax.text(*walks.maze.goal, "goal", ha="center", va="center", fontsize=7, color="#166534", zorder=5)
        for path, solved in zip(walks.paths[arm], walks.success[arm], strict=True):
            x = path[:, :2].T  # a goal may follow
            ax.plot(*x, color=colour(arm.split()[0]), lw=0.9, alpha=0.55 if solved else 0.3, zorder=2)
            ax.plot(*x[:, 0], "o", color=INK, ms=2.5, zorder=4)
            if not solved:
                ax.plot(*x[:, -1], "x", color="#dc2626", ms=5, mew=1.4, zorder=4)
        if column == 0:
            ax.set_title(title)
    return figure


def action_space(policy: Policy, states: np.ndarray, maze: Maze | None = None, samples: int = 14) -> Figure:
    """Denoising in action space at a few states [n, S], for 2-D actions; a chunk is shown as the mean of its actions.

    Colour is Q of the chunk that repeats one action. Thin lines are denoising paths from noise to action, open circles
    the one-step estimates a1_hat at which qgf asks the critic, arrows the guidance direction there (length by rank).
    """
    n = len(states)
    figure, axes = _figure(
        3.1 * n, 6.0 if maze is not None else 3.3, nrows=1 + (maze is not None), ncols=n, squeeze=False
    )
    side = np.linspace(-1, 1, 41)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    noise = jax.random.normal(jax.random.key(0), (samples, policy.horizon * policy.action_dim))
    value = jax.jit(lambda s: jax.vmap(lambda a: policy.critic(s, jnp.tile(a, policy.horizon)))(grid))
    trace = jax.jit(lambda s: jax.vmap(lambda a0: policy.trace(s, a0))(noise))
    for column, state in enumerate(np.asarray(states, np.float32)):
        ax = axes[-1][column]
        heat = np.asarray(value(state)).reshape(len(side), -1)
        ax.contourf(side, side, heat, levels=18, cmap="YlGnBu_r", zorder=0)
        path: Trace = jax.tree.map(np.asarray, trace(state))
        mean = lambda x: x.reshape(*x.shape[:-1], policy.horizon, policy.action_dim).mean(-2)
        a, a1_hat, g = mean(path.a), mean(path.a1_hat), mean(path.g)
        for shade, width in ((INK, 2.2), ("white", 1.0)):  # light lines with a dark edge show on any value
            ax.add_collection(LineCollection(list(a), colors=shade, linewidths=width, alpha=0.8, zorder=2))
        ax.plot(*a[:, -1].T, "o", color="#111827", ms=3.6, mec="white", mew=0.6, zorder=5)
        ax.plot(*a1_hat[:, ::3].reshape(-1, 2).T, "o", mfc="none", mec="#67e8f9", ms=4, mew=1, zorder=3)
        at, arrow = a1_hat[:, 0], g[:, 0]
        arrow = 0.35 * arrow / max(np.linalg.norm(arrow, axis=-1).max(), 1e-12)
        ax.quiver(*at.T, *arrow.T, color="#d946ef", angles="xy", scale_units="xy", scale=1, width=0.009, zorder=4)
        ax.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal", xlabel="action x")
        ax.set_title(f"state {column + 1}: Q from {heat.min():.1f} to {heat.max():.1f}")
        if column == 0:
            ax.set_ylabel("action y")
        if maze is not None:
            draw_maze(axes[0][column], maze)
            axes[0][column].plot(*state[:2], "*", color="#7c3aed", ms=15, mec="white", zorder=6)
            here = np.repeat(state[None, :2], samples, 0)
            axes[0][column].quiver(
                *here.T, *(4 * np.clip(a[:, -1], -1, 1)).T, color=colour(str(policy.guide)),
                angles="xy", scale_units="xy", scale=1, width=0.008, alpha=0.7, zorder=5,
            )  # fmt: skip
            axes[0][column].set_title(f"state {column + 1}")
    return figure
