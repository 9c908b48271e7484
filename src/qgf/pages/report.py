"""One self-contained HTML page per run, with its figures."""

from __future__ import annotations

import base64
import io
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import jax
import numpy as np

from qgf.environments.maze import Walks
from qgf.files import atomic_path, read_json, write_text
from qgf.method.guides import GUIDES
from qgf.method.strength import DEFAULT_STRENGTH
from qgf.pages import plots
from qgf.pages.analysis_plots import SECTIONS, read_table
from qgf.playing.arm import Arm
from qgf.playing.scores import read_scores
from qgf.statistics import wilson
from qgf.training.run import Run


def report(directory: str | Path) -> Path:
    """Write report.html and figures/ from what the run directory holds; returns the page's path.

    Sections whose data are not there (no evaluation yet, no maze, actions of more than two dimensions) are left out.
    """
    run = Run(Path(directory))
    record = run.record
    rows = latest_rows(read_scores(run.directory / "evaluation.csv"))
    figures = run.directory / "figures"
    with plots.style():
        body = [
            _success(rows, figures),
            _maze(run, rows, figures),
            _tuning(run, figures),
            _actions(run, rows, figures),
            _analysis(run, figures),
            _learning(run, figures),
        ]
    page = Template(resources.files("qgf.pages").joinpath("report.html").read_text(encoding="utf-8")).substitute(
        title=escape(record["dataset"]),
        headline=_headline(rows),
        body="\n".join(part for part in body if part),
        settings=_settings(run),
        run=escape(run.directory.name),
    )
    path = run.directory / "report.html"
    write_text(path, page)
    return path


def latest_rows(scores: list[dict[str, str]]) -> list[dict]:
    """The arms of the newest policy with seeds pooled: label, guide, strength, success, low, high and means."""
    newest = max((int(row["updates"]) for row in scores), default=0)
    pooled: dict[tuple, list[dict[str, str]]] = {}
    for row in scores:
        if int(row["updates"]) == newest:
            weight = "" if row["strength"] else row["weight"]  # one strength is another weight for every seed
            key = (row["guide"], row["strength"], weight, row["best_of"], row["steps"], row["schedule"])
            pooled.setdefault(key, []).append(row)
    rows = []
    for (guide, strength, weight, best_of, steps, schedule), group in pooled.items():
        arm = Arm(
            guide,
            strength=float(strength) if strength else None,
            weight=None if strength else float(weight),
            best_of=int(best_of),
            steps=int(steps) if steps else None,
            schedule=schedule,
        )
        wins, episodes = (sum(int(row[k]) for row in group) for k in ("successes", "episodes"))
        low, high = wilson(wins, episodes)
        mean = {
            k: float(np.mean([float(row[k]) for row in group])) for k in ("returns", "value", "ratio", "decision_ms")
        }
        shared = dict(label=arm.label, guide=guide, strength=arm.strength, best_of=arm.best_of, weight=arm.weight)
        shared |= dict(usual=arm.steps is None and arm.schedule == "constant")
        rows.append(
            shared | mean | dict(successes=wins, episodes=episodes, success=wins / episodes, low=low, high=high)
        )
    rank = {guide: i for i, guide in enumerate(GUIDES)}
    amount = lambda r: r["weight"] if r["strength"] is None else r["strength"]
    return sorted(rows, key=lambda r: (r["best_of"], rank.get(r["guide"], len(rank)), amount(r)))


def _default(rows: list[dict], guide: str) -> dict | None:
    """The arm of a guide nearest the default strength: not the luckiest one."""
    mine = [
        r for r in rows if r["guide"] == guide and r["best_of"] == 1 and (guide == "none" or r["strength"] is not None)
    ]
    return min(mine, key=lambda r: (not r["usual"], abs((r["strength"] or 0) - DEFAULT_STRENGTH)), default=None)


def _embed(figure, path: Path, caption: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=170, facecolor="white")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode()
    width = int(figure.get_size_inches()[0] * 100)
    return (
        f'<figure><img alt="{escape(caption)}" width="{width}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _headline(rows: list[dict]) -> str:
    plain, guided = _default(rows, "none"), _default(rows, "qgf")
    if plain is None or guided is None:
        return '<p class="lead">Not evaluated yet.</p>'
    name = f"same policy, guided by its critic (strength {guided['strength']:g})"
    cell = lambda r, name: (
        f'<div class="figure"><b>{100 * r["success"]:.0f}<small> %</small></b><span>{name}</span>'
        f"<span class=faint>{r['successes']} of {r['episodes']}, "
        f"95 % interval {100 * r['low']:.0f} to {100 * r['high']:.0f} %"
        "</span></div>"
    )
    return (
        f'<div class="headline">{cell(plain, "cloned policy")}<div class="arrow" aria-hidden="true">→</div>'
        f"{cell(guided, name)}</div>"
    )


def _success(rows: list[dict], figures: Path) -> str:
    if not rows:
        return ""
    head = ("arm", "success", "95 % interval", "episodes", "return", "mean Q", "|w g| / |v|", "ms per decision")
    cells = [
        (
            escape(r["label"]), f"{100 * r['success']:.0f} %", f"{100 * r['low']:.0f} to {100 * r['high']:.0f} %",
            r["episodes"], f"{r['returns']:.1f}", f"{r['value']:.2f}", f"{r['ratio']:.2f}", f"{r['decision_ms']:.1f}",
        )
        for r in rows
    ]  # fmt: skip
    table = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in cells)
    html = _embed(plots.success_bars(rows), figures / "success.png", "Success of each arm on the same episodes.")
    single = [
        r for r in rows if r["best_of"] == 1 and r["usual"] and (r["strength"] is not None or r["guide"] == "none")
    ]
    if len({r["strength"] for r in single if r["strength"]}) > 1:
        caption = "Success against strength; the dotted line is the cloned policy. Bands are 95 % Wilson intervals."
        html += _embed(plots.success_against_strength(single), figures / "strength.png", caption)
    heads = "".join(f"<th>{c}</th>" for c in head)
    return f"<section><h2>Success</h2>{html}<div class=scroll><table><tr>{heads}</tr>{table}</table></div></section>"


def _tuning(run: Run, figures: Path) -> str:
    path = run.directory / "tuning" / "tuned.json"
    if not path.exists():
        return ""
    tuned = read_json(path, "a tuned run")
    for row in tuned["trials"] + tuned["reports"]:
        row["success"] = row["successes"] / row["episodes"]
        row["low"], row["high"] = wilson(row["successes"], row["episodes"])
    single = [r for r in tuned["trials"] if r["best_of"] == 1 and r["strength"] and r["schedule"] == "constant"]
    html = ""
    if len({r["strength"] for r in single}) > 1:
        caption = "Tuning episodes: success against strength; arms that fell behind played fewer. Bands are Wilson's."
        html = _embed(plots.success_against_strength(single), figures / "tuning.png", caption)
    cells = "".join(
        f"<tr><td>{escape(r['name'])}</td><td>{escape(r['label'])}</td><td>{100 * r['success']:.0f} %</td>"
        f"<td>{100 * r['low']:.0f} to {100 * r['high']:.0f} %</td><td>{r['episodes']}</td><td>{r['ratio']:.2f}</td>"
        f"<td>{'' if r['p'] is None else format(r['p'], '.2g')}</td></tr>"
        for r in tuned["reports"]
    )
    names = ("held out", "arm", "success", "95 % interval", "episodes", "|w g| / |v|", "McNemar's p against chosen")
    heads = "".join(f"<th>{name}</th>" for name in names)
    notes = "".join(f"<p><b>Caution:</b> {escape(note)}.</p>" for note in tuned["cautions"])
    table = f"<div class=scroll><table><tr>{heads}</tr>{cells}</table></div>"
    return f"<section><h2>Choosing the strength</h2>{html}{table}{notes}</section>"


def _walks(run: Run) -> list[Walks]:
    """Of the task, or of each of several goals; none if it is no maze, or nothing was played."""
    goals = sorted(run.directory.glob("walks-task*.npz")) if run.config.method.goal_conditioned else []
    found = [Walks.load(path) for path in goals or [run.directory / "walks.npz"]]
    return [walks for walks in found if walks is not None]


def _maze(run: Run, rows: list[dict], figures: Path) -> str:
    walks = _walks(run)
    titles = {"none": "cloned policy", "qgf": "guided by its critic (qgf)"}
    arms = {
        r["label"]: f"{titles[g]}: {100 * r['success']:.0f} %" for g in titles if (r := _default(rows, g)) is not None
    }
    if not walks or not arms or not all(set(arms) <= set(w.paths) for w in walks):
        return ""
    number = len(walks[0].paths[next(iter(arms))])
    each = "each arm" if len(walks) == 1 else "each arm and goal"
    caption = f"The first {number} episodes of {each}. Dots are starts, red crosses where a failed episode ended."
    picture = _embed(plots.maze_walks(walks, arms), figures / "maze.png", caption)
    return f"<section><h2>In the maze</h2>{picture}</section>"


def _actions(run: Run, rows: list[dict], figures: Path) -> str:
    policy, found = run.policy(), _walks(run)
    if policy.action_dim != 2 or not found:
        return ""
    walks = found[0]
    guided = _default(rows, "qgf")
    paths = walks.paths.get(guided["label"] if guided else "") or next(iter(walks.paths.values()))
    path = max(paths, key=lambda path: np.ptp(path, axis=0).sum())  # the walk that sees most of the maze
    away = np.linalg.norm(path - path[0], axis=1)
    states = path[[np.argmax(away >= part * away.max()) for part in (0.05, 0.35, 0.65, 0.9)]]
    caption = (
        "Four states on a walk. Below, the space of actions: colour is Q of a chunk that repeats one action (dark is "
        "low), white lines are denoising paths from noise to action (black dots), each drawn by the mean action of its "
        "chunk; light circles are the one-step estimates at which the critic is asked, pink arrows its answer at the "
        "first step. Above, the actions that come of it."
    )
    figure = plots.action_space(policy, states, walks.maze)
    return "<section><h2>Inside the sampler</h2>" + _embed(figure, figures / "actions.png", caption) + "</section>"


def _analysis(run: Run, figures: Path) -> str:
    tables = {name: read_table(run.directory / "analysis" / f"{name}.csv") for name in SECTIONS}
    pictures = [
        _embed(draw(tables[name]), figures / f"analysis-{name}.png", caption)
        for name, (draw, caption) in SECTIONS.items()
        if tables[name]
    ]
    return "<section><h2>What the gradient is worth</h2>" + "".join(pictures) + "</section>" if pictures else ""


def _learning(run: Run, figures: Path) -> str:
    metrics = run.metrics()
    if not metrics:
        return ""
    caption = (
        "The flow learns by cloning and the critic by TD, each alone; dashed lines are data that neither has seen."
    )
    return (
        "<section><h2>Learning</h2>"
        + _embed(plots.learning_curves(metrics), figures / "learning.png", caption)
        + "</section>"
    )


def _settings(run: Run) -> str:
    record = run.record
    train, method = dict(record["train"]), dict(record["train"]["method"])
    train.pop("method")
    rows = {"dataset": record["dataset"], "flow": record["flow"] or "trained here"} | train
    rows |= {f"method.{key}": value for key, value in method.items()}
    scales = run.policy().calibration
    if scales:
        rows |= {"sigma of the flow's actions": f"{scales.sigma:.4g}", "mean |grad Q|": f"{scales.grad_norm:.4g}"}
    rows |= {"JAX": jax.__version__, "device": jax.devices()[0].device_kind}
    return "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
