"""The pages of a study: its tables as Markdown, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from qgf.files import write_text
from qgf.laboratory.compare import Results
from qgf.laboratory.tables import measures
from qgf.pages.plots import save
from qgf.pages.study_costs import success_against_cost
from qgf.pages.study_plots import aggregates, improvement, task_bars
from qgf.pages.study_strengths import strength_curves
from qgf.pages.tables import across_tasks, markdown


def write_study(results: Results) -> Path:
    """Write the tables as Markdown and the figures beside a study's CSV files; returns their folder."""
    folder = results.folder
    for name, table in results.tables.items():
        shown = across_tasks(table) if name == "per_task" else table
        write_text(folder / f"{name}.md", markdown(shown))
    for name, figure in _figures(results):
        save(figure, folder / "figures" / f"{name}.png")
    return folder


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    study, rows = results.study, results.rows
    for env in study.environments:
        yield f"tasks-{env.name}", task_bars(rows, env.name)
        if len(study.environments) > 1:
            yield f"aggregate-{env.name}", aggregates(rows, env.name)
    if len(measures(rows)) == 1:
        yield "aggregate", aggregates(rows)
        if any(line.get("better than none", "") != "" for line in results.tables["aggregate"]):
            yield "improvement", improvement(rows)
        for x in ("gflop", "decision_ms"):
            if any((getattr(row, x) or 0) > 0 for row in rows):
                yield f"cost-{x}", success_against_cost(rows, x)
    curves = {name for name, m in study.methods.items() if len({replace(arm, strength=None) for arm in m.arms}) == 1}
    shown = [row for row in rows if row.method in curves]
    if any(row.split == "tuning" and row.strength for row in shown):
        yield "strength", strength_curves(shown)
