"""One self-contained HTML page per run, with its figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import jax
import numpy as np

from qgf.environments.datasets import references_of
from qgf.environments.maze import Walks
from qgf.files import atomic_path, read_csv, read_json, stays_inside, write_text
from qgf.laboratory.analysis import TABLES, Asked
from qgf.laboratory.seeds import Alike
from qgf.pages import plots
from qgf.pages.analysis_plots import SECTIONS
from qgf.pages.arms import Shown, default, newest
from qgf.playing.doubts import doubts
from qgf.playing.measure import TESTS, UNKNOWN, amount, normalised, share
from qgf.playing.scores import read_scores
from qgf.playing.tune import Saved
from qgf.training.run import Run
from qgf.training.validation import verdicts

BANDS = {"success": "95 % Wilson intervals", "return": "95 % bootstrap intervals"}


def report(directory: str | Path) -> Path:
    """Write report.html and figures/ from what the run directory holds; returns the page's path.

    Sections whose data are not there (no evaluation yet, no maze, actions of more than two dimensions) are left out.
    """
    run = Run(Path(directory))
    record = run.record
    stays_inside(run.directory)
    played = newest(read_scores(run.directory / "evaluation.csv"))
    rows = played.get(record["dataset"]) or next(iter(played.values()), [])  # those of the pictures
    figures = run.directory / "figures"
    with plots.style():
        body = [
            _success(played, figures, record),
            _maze(run, rows, figures),
            _tuning(run, figures),
            _actions(run, rows, figures),
            _analysis(run, figures),
            _learning(run, figures),
            _doubts(run),
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


def _headline(rows: Sequence[Shown]) -> str:
    plain, guided = default(rows, "none"), default(rows, "qgf")
    if plain is None or guided is None:
        return '<p class="lead">Not evaluated yet.</p>'
    name = f"same policy, guided by its critic (strength {guided.arm.strength:g})"
    how = lambda x: (
        f"{x.successes} of {x.episodes}" if x.measure == "success" else f"mean return, {x.episodes} episodes"
    )
    big = lambda x: f"{100 * x.score:.0f}<small> %</small>" if x.measure == "success" else x.shown
    cell = lambda x, name: (
        f'<div class="figure"><b>{big(x)}</b><span>{name}</span>'
        f"<span class=faint>{how(x)}, 95 % interval {x.shown_interval}</span></div>"
    )
    return (
        f'<div class="headline">{cell(plain, "cloned policy")}<div class="arrow" aria-hidden="true">→</div>'
        f"{cell(guided, name)}</div>"
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(x))}</td>" for x in line) + "</tr>" for line in lines)
    return f"<div class=scroll><table><tr>{heads}</tr>{body}</table></div>"


def _success(played: dict[str, list[Shown]], figures: Path, record: dict[str, Any]) -> str:
    """A section per environment."""
    return "".join(
        _success_in(env if len(played) > 1 else "", rows, figures, f"-{k}" if k else "", references_of(record, env))
        for k, (env, rows) in enumerate(played.items())
    )


def _success_in(env: str, rows: Sequence[Shown], figures: Path, number: str, references) -> str:
    measure = rows[0].measure
    what = measure.capitalize()
    other = "return" if measure == "success" else "success"
    scored = ("normalised",) if references else ()
    head = ("arm", measure, "95 % interval", "episodes", other, *scored, "mean Q", "|w g| / |v|", "ms per decision")
    lines = [
        (
            x.label, x.shown, x.shown_interval, x.episodes, f"{x.returns:.1f}" if measure == "success" else UNKNOWN,
            *(f"{normalised(x.returns, references):.1f}" for _ in scored),
            f"{x.value:.2f}", f"{x.ratio:.2f}", f"{x.decision_ms:.1f}",
        )
        for x in rows
    ]  # fmt: skip
    html = _embed(plots.bars(rows), figures / f"{measure}{number}.png", f"{what} of each arm on the same episodes.")
    single = [
        x for x in rows if x.arm.best_of == 1 and x.usual and (x.arm.strength is not None or x.arm.guide == "none")
    ]
    if len({x.arm.strength for x in single if x.arm.strength}) > 1:
        caption = f"{what} against strength; the dotted line is the cloned policy. Bands are {BANDS[measure]}."
        html += _embed(plots.against_strength(single), figures / f"strength{number}.png", caption)
    done = _done(rows)
    return f"<section><h2>{what}{env and f' in {escape(env)}'}</h2>{html}{_table(head, lines)}{done}</section>"


def _done(rows: Sequence[Shown]) -> str:
    """What guidance did to the actions of the arms that guided."""
    known = [x for x in rows if amount(x.displacement) and x.nats]
    lines = [
        (x.label, amount(x.displacement), amount(x.nats), amount(x.jerk), amount(x.agreement), share(x.fallbacks))
        for x in known
    ]
    head = ("what guidance did", "moved, σ<sub>a</sub>", "path, nats", "jerk", "cosine of ∇Q", "fell back")
    return _table(head, lines) if lines else ""


def _tuning(run: Run, figures: Path) -> str:
    path = run.directory / "tuning" / "tuned.json"
    if not path.exists():
        return ""
    tuned = read_json(path, Saved)
    trials = [Shown(x.arm, x.successes, x.episodes, scores=tuple(x.returns)) for x in tuned.trials]
    measure = trials[0].measure if trials else "success"
    single = [x for x in trials if x.arm.best_of == 1 and x.arm.strength and x.usual]
    html = ""
    if len({x.arm.strength for x in single}) > 1:
        caption = f"Tuning episodes: {measure} against strength; arms that fell behind played fewer. Bands are "
        caption += f"{BANDS[measure]}."
        html = _embed(plots.against_strength(single), figures / "tuning.png", caption)
    test = f"p against chosen ({TESTS[measure]})"
    head = ("held out", "arm", measure, "95 % interval", "episodes", "|w g| / |v|", test)
    lines = [
        (x.name, shown.label, shown.shown, shown.shown_interval, x.episodes,
         "" if x.ratio is None else f"{x.ratio:.2f}",
         "" if x.p is None else f"{x.p:.2g}")
        for x in tuned.reports
        for shown in [Shown(x.arm, x.successes, x.episodes, scores=tuple(x.returns))]
    ]  # fmt: skip
    notes = "".join(f"<p><b>Caution:</b> {escape(note)}.</p>" for note in tuned.cautions)
    return f"<section><h2>Choosing the strength</h2>{html}{_table(head, lines)}{notes}</section>"


def _walks(run: Run) -> list[Walks]:
    """Of the task, or of each of several goals; none if it is no maze, or nothing was played."""
    goals = sorted(run.directory.glob("walks-task*.npz")) if run.config.method.goal_conditioned else []
    found = [Walks.load(path) for path in goals or [run.directory / "walks.npz"]]
    return [walks for walks in found if walks is not None]


def _maze(run: Run, rows: Sequence[Shown], figures: Path) -> str:
    walks = _walks(run)
    titles = {"none": "cloned policy", "qgf": "guided by its critic (qgf)"}
    shown = {x.label: title for guide, title in titles.items() if (x := default(rows, guide)) is not None}
    if not walks or not shown or not all(set(shown) <= set(w.paths) for w in walks):
        return ""
    won = {label: np.concatenate([w.success[label] for w in walks]) for label in shown}
    arms = {label: f"{title}: {won[label].sum()} of {len(won[label])}" for label, title in shown.items()}
    number = len(walks[0].paths[next(iter(arms))])
    each = "each arm" if len(walks) == 1 else "each arm and goal"
    caption = f"The first {number} episodes of {each}. Dots are starts, red crosses where a failed episode ended."
    picture = _embed(plots.maze_walks(walks, arms), figures / "maze.png", caption)
    return f"<section><h2>In the maze</h2>{picture}</section>"


def _actions(run: Run, rows: Sequence[Shown], figures: Path) -> str:
    policy, found = run.policy(), _walks(run)
    if policy.action_dim != 2 or not found:
        return ""
    walks = found[0]
    guided = default(rows, "qgf")
    paths = walks.paths.get(guided.label if guided else "") or next(iter(walks.paths.values()))
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
    tables = {name: read_csv(run.directory / "analysis" / f"{name}.csv", TABLES[name]) for name in SECTIONS}
    pictures = [
        _embed(draw(tables[name]), figures / f"analysis-{name}.png", caption)
        for name, (draw, caption) in SECTIONS.items()
        if tables[name]
    ]
    note = "".join(f"<p>The critics were asked otherwise than by themselves: {x}.</p>" for x in _asked(run))
    found = note + "".join(pictures) + _seeds(run)
    return f"<section><h2>What the gradient is worth</h2>{found}</section>" if found else ""


def _seeds(run: Run) -> str:
    """How alike the gradients of critics of several training seeds are, if that was measured."""
    rows = read_csv(run.directory / "analysis" / "seeds.csv", Alike)
    lines = [(x.first, x.second, f"{x.cosine:.2f}", f"{x.cosine_low:.2f} to {x.cosine_high:.2f}") for x in rows]
    return _table(("critic", "and", "cosine of ∇Q", "95 % interval"), lines) if lines else ""


def _asked(run: Run) -> list[str]:
    rows = read_csv(run.directory / "analysis" / "asked.csv", Asked)
    return [f"members {x.members}, choose {x.choose}{', robust' * x.robust}" for x in rows]


def _learning(run: Run, figures: Path) -> str:
    metrics = run.metrics()
    if not metrics:
        return ""
    caption = (
        "The flow learns by cloning and the critic by TD, each alone; dashed lines are data that neither has seen."
    )
    shown = _embed(plots.learning_curves(metrics), figures / "learning.png", caption)
    return f"<section><h2>Learning</h2>{shown}{_judged(run, figures)}</section>"


def _judged(run: Run, figures: Path) -> str:
    """What held-out data say of the critic of every seed, if a training asked them."""
    rows = [row for seed in range(run.config.seeds) for row in run.played(seed)]
    if not rows or "explained" not in rows[0]:
        return ""
    measures = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    said = [verdicts(run.played(seed)) for seed in range(run.config.seeds)]
    caption = (
        "The critic on held-out episodes: the share of its targets' variance that it explains; how well it orders "
        "episodes that succeed; whether its members agree; at how many states it has a gradient. "
        + " ".join(dict.fromkeys(escape(f"{line[0].upper()}{line[1:]}.") for lines in said for line in lines))
    )
    return _embed(plots.critic_curves(measures), figures / "critic.png", caption)


def _doubts(run: Run) -> str:
    notes = "".join(f"<p><b>Doubt:</b> {escape(note)}.</p>" for note in doubts(run))
    return f"<section><h2>What to doubt</h2>{notes}</section>" if notes else ""


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
