"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qgf.laboratory.tables import Line


def across_tasks(table: Iterable[Line]) -> list[Line]:
    """A per-task table with a column of `success [low, high]` per task: one dict per env and method."""
    table = list(table)
    tasks = sorted({row["task"] for row in table})
    wide: dict[tuple[str, str], Line] = {}
    for row in table:
        first = dict(env=row["env"], method=row["method"]) | {f"task {task}": "" for task in tasks}
        measure = "return" if row.get("return", "") != "" else "success"
        wide.setdefault((row["env"], row["method"]), first)[f"task {row['task']}"] = _cell(row, measure)
    return list(wide.values())


def markdown(table: Sequence[Line]) -> str:
    """A Markdown table; columns x, x_low and x_high become one, `x [low, high]`, without decimals; a column without any
    value is left out.
    """
    names = [name for name in table[0] if not re.search(r"_(low|high)$", name)] if table else []
    names = [name for name in names if any(row[name] != "" for row in table)]
    lines = [names, ["---"] * len(names), *([_cell(row, name) for name in names] for row in table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines if names)


def _cell(row: Line, name: str) -> str:
    value = row[name]
    if f"{name}_low" in row and value != "":
        return f"{value:.0f} [{row[f'{name}_low']:.0f}, {row[f'{name}_high']:.0f}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")
