"""How good are the ways of choosing a strength? Tuned, default, from data alone, and on the very episodes reported.

    python benchmarks/choices.py

Reads docs/results/STUDY/results.csv and, for every strength on the held-out episodes, docs/results/strengths-STUDY.
Writes docs/results/choices.md, which docs/results.md shows. Success in %, means over tasks and training seeds.
"""

from pathlib import Path

import numpy as np

from qgf.files import read_cells, read_csv, write_text
from qgf.pages.tables import markdown
from qgf.playing.rows import Row
from qgf.statistics import selection_bias, wilson

RESULTS = Path(__file__).parents[1] / "docs" / "results"
Runs = dict[str, dict[tuple[str, int], np.ndarray]]


def held_out(study: str) -> Runs:
    """Successes on the held-out episodes: method -> (environment and task, training seed) -> [episodes]."""
    found: Runs = {}
    for row in read_csv(RESULTS / study / "results.csv", Row):
        if row.split == "held-out":
            found.setdefault(row.method, {})[f"{row.env} {row.task}", row.policy_seed] = row.won
    return found


def cells(path: Path) -> list[dict[str, str]]:
    """A table of any kind as it is written, none if there is no such file."""
    if not path.exists():
        return []
    names, lines = read_cells(path)
    return [dict(zip(names, line, strict=True)) for _, line in lines]


def percent(x: float) -> str:
    return f"{100 * x:.0f}"


def line(study: str) -> dict[str, str]:
    """One environment's line of the table."""
    runs = held_out(study)
    mean = lambda method: np.mean([x.mean() for x in runs[method].values()])
    told = dict(environment=study, tuned=percent(mean("qgf")), default=percent(mean("qgf default")))
    told |= {"from data alone": "", "of runs inside": ""}
    if offline := runs.get("qgf offline"):
        inside = [
            low <= offline[run].mean() <= high
            for run, tuned in runs["qgf"].items()
            for low, high in [wilson(int(tuned.sum()), len(tuned))]
        ]
        told |= {"from data alone": percent(mean("qgf offline")), "of runs inside": f"{sum(inside)} of {len(inside)}"}
    if not (RESULTS / f"strengths-{study}" / "results.csv").exists():
        return told | dict.fromkeys(("best for the environment", "best for each run", "flattered by"), "")
    grid = held_out(f"strengths-{study}")
    arms = [name for name in grid if name != "none"]
    success = np.array([[grid[arm][run] for arm in arms] for run in grid["none"]])  # [runs, arms, episodes]
    return told | {
        "best for the environment": percent(success.mean(axis=(0, 2)).max()),
        "best for each run": percent(success.mean(axis=2).max(axis=1).mean()),
        "flattered by": f"{100 * np.mean([selection_bias(run) for run in success]):.1f}",
    }


if __name__ == "__main__":
    names = sorted(path.parent.name for path in RESULTS.glob("*/results.csv"))
    names = [name for name in names if not name.startswith("rivals")]  # tuned on another environment, if at all
    studies = [name for name in names if {"qgf", "qgf default"} <= set(held_out(name))]
    path = RESULTS / "choices.md"
    write_text(path, markdown([line(name) for name in studies]))
    print(f"wrote {path.relative_to(RESULTS.parents[1])}")
