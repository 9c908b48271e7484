"""The page of a randomised comparison: arms, comparisons, and how the evidence grew."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from qgf.files import write_text
from qgf.pages import plots
from qgf.playing.ab import Session
from qgf.playing.measure import number, span
from qgf.statistics import sequential


def verdict(session: Session) -> str:
    """One line: how far it is, and what is decided."""
    whole, plan = len(session.blocks()), session.plan
    told = [f"{plan.asked} is {one.decided} than {one.other}" for one in session.comparisons() if one.decided]
    open_ = [one.other for one in session.comparisons() if not one.decided]
    more = f"; open against {', '.join(open_)}" if open_ else ""
    return f"{whole} of at most {plan.blocks} blocks: {'; '.join(told) or 'nothing is decided'}{more}"


def rule(session: Session) -> str:
    """The rule by which it stops, and its error."""
    plan, others = session.plan, len(session.plan.others)
    return (
        "The evidence is that of a bet on which arm wins the blocks in which the two differ. It is looked at after "
        f"every block, and decides when it reaches {others / plan.alpha:.4g}: if no arms differed, the chance that any "
        f"of these {others} comparisons would ever be decided is {100 * plan.alpha:g} % at most. McNemar's p knows "
        "nothing of looking, and is not what it stops by."
    )


def arm_rows(session: Session) -> list[list[str]]:
    """Arm, successes, rate, interval, aborted."""
    rows = []
    for arm, won, played, aborted, ends in session.rows():
        rate = number(won / played if played else float("nan"), "success")
        rows.append([arm, f"{won} of {played}", rate, span(ends, "success"), str(aborted)])
    return rows


def comparison_rows(session: Session) -> list[list[str]]:
    """Other arm, wins, losses, evidence, p at any time, McNemar's p, decision."""
    rows = []
    for one in session.comparisons():
        numbers = [
            f"{one.wins}",
            f"{one.losses}",
            f"{one.found.evidence:.3g}",
            f"{one.found.p:.2g}",
            f"{one.mcnemar:.2g}",
        ]
        rows.append([one.other, *numbers, one.decided or "open"])
    return rows


ARMS = ("arm", "successes", "rate", "95 % interval", "aborted")
AGAINST = ("against", "wins", "losses", "evidence", "p at any time", "p (McNemar)", "")


def write_page(session: Session) -> Path:
    """Write report.html into the session's folder."""
    path = session.folder / "report.html"
    page = Template(resources.files("qgf.pages").joinpath("ab.html").read_text(encoding="utf-8"))
    text = page.substitute(
        title=escape(f"{session.plan.asked} against {', '.join(session.plan.others)}"),
        verdict=escape(verdict(session)),
        asked=escape(session.plan.asked),
        arms=_table(ARMS, arm_rows(session)),
        comparisons=_table(AGAINST, comparison_rows(session)),
        rule=escape(rule(session)),
        figure=_figure(session),
    )
    write_text(path, text)
    return path


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    line = lambda tag, cells: "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def _figure(session: Session) -> str:
    whole, plan = session.blocks(), session.plan
    if not whole:
        return ""
    with plots.style():
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        for other in plan.others:
            a, b = (np.array([block[arm] for block in whole]) for arm in (plan.asked, other))
            grown = [sequential(a[:n], b[:n]).evidence for n in range(1, len(whole) + 1)]
            axes.step(range(1, len(whole) + 1), grown, where="post", label=f"against {other}")
        axes.axhline(len(plan.others) / plan.alpha, color="0.4", linestyle="--", linewidth=1, label="decided")
        axes.set(xlabel="blocks", ylabel="evidence", yscale="log")
        axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="How the evidence grew" width="700" src="data:image/png;base64,{data}"></figure>'
