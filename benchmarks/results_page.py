"""Put the studies' tables into docs/results.md and docs/claims.md, between `<!-- table FILE -->` and `<!-- end -->`.

    python benchmarks/results_page.py

FILE is a Markdown table that `qgf compare` or a program beside this one wrote, relative to docs/results; `glance` is
the summary of all studies named in the page, but those of strengths, sizes, rivals and critics, whose rows are other
questions.
"""

import re
from pathlib import Path

import msgspec

from qgf.files import read_csv, write_text

DOCS = Path(__file__).parents[1] / "docs"
OTHERS = "strengths|model-size|rivals|critics|regular|members|support|fresh|scale|metric|horizon|fourier|harmless"
COMPARED = re.compile(rf"<!-- table (?!{OTHERS})(\S+)/aggregate.md -->")
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
GLANCE = ("none", "none best-of-4", "none best-of-16", "placebo", "ood", "qgf", "qgf default", "qgf best-of-4")


class Aggregate(msgspec.Struct):
    """A line of a study's aggregate.csv; a method that misses runs has no mean."""

    method: str
    tasks: int
    runs: int | None = None
    mean: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None


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
        rows = {row.method: row for row in read_csv(DOCS / "results" / study / "aggregate.csv", Aggregate)}
        size = f"{rows['none'].tasks} × {rows['none'].runs}"
        lines.append([study, size, *(cell(rows.get(name)) for name in GLANCE)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(row: Aggregate | None) -> str:
    return f"{row.mean:.0f} [{row.mean_low:.0f}, {row.mean_high:.0f}]" if row and row.mean is not None else ""


if __name__ == "__main__":
    for path in (DOCS / "results.md", DOCS / "claims.md"):
        write_text(path, filled(path.read_text(encoding="utf-8")))
        print(f"wrote {path.relative_to(DOCS.parent)}")
