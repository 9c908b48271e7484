"""Put the studies' tables into docs/results.md, between `<!-- table FILE -->` and `<!-- end -->`.

    python benchmarks/results_page.py

FILE is a Markdown table that `qgf compare` or a program beside this one wrote, relative to docs/results; `glance` is
the summary of all studies named in the page, but those of strengths, sizes, rivals and critics, whose rows are other
questions.
"""

import csv
import re
from pathlib import Path

from qgf.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
COMPARED = re.compile(r"<!-- table (?!strengths|model-size|rivals|critics)(\S+)/aggregate.md -->")
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
GLANCE = ("none", "none best-of-4", "none best-of-16", "placebo", "ood", "qgf", "qgf default", "qgf best-of-4")


def filled(page: str) -> str:
    """The page with every table replaced by what its file holds."""
    studies = list(dict.fromkeys(COMPARED.findall(page)))
    return BLOCK.sub(lambda m: f"{m[1]}\n{table(m[2], studies)}\n{m[3]}", page)


def table(name: str, studies: list[str]) -> str:
    return glance(studies) if name == "glance" else (DOCS / "results" / name).read_text(encoding="utf-8")


def glance(studies: list[str]) -> str:
    """Mean success over tasks and training seeds with its interval, a row per study."""
    lines = [["environment", "tasks × seeds", *GLANCE], ["---"] * (len(GLANCE) + 2)]
    for study in studies:
        with open(DOCS / "results" / study / "aggregate.csv", newline="") as file:
            rows = {row["method"]: row for row in csv.DictReader(file)}
        size = f"{rows['none']['tasks']} × {rows['none']['runs']}"
        lines.append([study, size, *(cell(rows.get(name)) for name in GLANCE)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(row: dict[str, str] | None) -> str:
    if not row or not row["mean"]:
        return ""
    mean, low, high = (float(row[name]) for name in ("mean", "mean_low", "mean_high"))
    return f"{mean:.0f} [{low:.0f}, {high:.0f}]"


if __name__ == "__main__":
    path = DOCS / "results.md"
    write_text(path, filled(path.read_text(encoding="utf-8")))
    print(f"wrote {path.relative_to(DOCS.parent)}")
