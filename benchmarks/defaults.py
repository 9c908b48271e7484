"""What the four blocks of fresh data decide: the default strength, estimator and critic.

    python benchmarks/defaults.py

Reads docs/results/fresh-*/results.csv, of studies in which nothing was tuned and every strength is a row, and writes
docs/results/defaults/strengths.md, estimators.md and critics.md, with a picture of the first. Success in %, means over
tasks and training seeds. Differences are in points of a percent, on the same episodes, with the 95 % interval of
`qgf.statistics.paired`, whose unit is the run; that of the mean over blocks takes a block's standard error for a
quarter of its interval and the blocks for independent. "tuned" is chosen without looking: for each training seed the
strength that is best with the others, which is reported with that seed.

The rules, written down before the first run, are in docs/studies/fresh-cube-single.toml.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from choices import RESULTS, held_out, percent
from matplotlib.figure import Figure
from paired import table
from scipy import stats

from qgf.files import write_text
from qgf.laboratory.tables import shown_p
from qgf.pages import plots
from qgf.pages.tables import markdown
from qgf.statistics import Paired, holm, paired

BLOCKS = {
    "cube-single": "fresh-cube-single",
    "cube-single, goals": "fresh-goals-cube-single",
    "puzzle-3x3": "fresh-puzzle-3x3",
    "pointmaze-medium": "fresh-pointmaze-medium",
}
GRID = {guide: tuple(f"{guide} {x:g}" for x in (0.5, 1, 2)) for guide in ("qgf", "ood", "jacobian")}
STRENGTHS = (0.25, 0.5, 1.0, 2.0)
WAYS = {"own": "critic", "robust": "critic robust"}
Scores = dict[str, np.ndarray]


def blocks() -> dict[str, Scores]:
    """Of every block that was played: method -> successes [seeds, tasks, episodes]."""
    there = {name: study for name, study in BLOCKS.items() if (RESULTS / study / "results.csv").exists()}
    return {name: {m: table(runs) for m, runs in held_out(study).items()} for name, study in there.items()}


def tuned(scores: Scores, arms: Sequence[str]) -> np.ndarray:
    """The arm that is best with the other training seeds, for each of them: [seeds, tasks, episodes]."""
    every = np.stack([scores[arm] for arm in arms])  # [arms, seeds, tasks, episodes]
    by_seed = every.mean(axis=(2, 3))
    best = [np.argmax(np.delete(by_seed, k, axis=1).mean(axis=1)) for k in range(every.shape[1])]
    return np.stack([every[arm, k] for k, arm in enumerate(best)])


def mean_of(gaps: Sequence[Paired]) -> Paired:
    """Over blocks, with equal weight; p by the normal."""
    found = float(np.mean([gap.difference for gap in gaps]))
    error = sqrt(sum(((gap.high - gap.low) / 4) ** 2 for gap in gaps)) / len(gaps)
    return Paired(found, found - 1.96 * error, found + 1.96 * error, float(2 * stats.norm.sf(abs(found) / error)))


def shown(gap: Paired) -> str:
    return f"{100 * gap.difference:+.0f} [{100 * gap.low:.0f}, {100 * gap.high:.0f}]"


def means(found: dict[str, Scores], name: str) -> dict[str, str]:
    """Success of a method on every block, and the blocks' mean."""
    by_block = {block: x[name].mean() for block, x in found.items()}
    return {title: percent(x) for title, x in (by_block | {"mean": np.mean(list(by_block.values()))}).items()}


def strengths(found: dict[str, Scores]) -> list[dict[str, str]]:
    """Every arm of the usual critic, and what others gain over strength 1."""
    names = [m for m in next(iter(found.values())) if not m.startswith("critic")]
    rows = [{"way": name} | means(found, name) for name in names]
    most = {block: max(x[f"qgf {s:g}"].mean() for s in STRENGTHS) for block, x in found.items()}
    for s in STRENGTHS:
        behind = {block: most[block] - x[f"qgf {s:g}"].mean() for block, x in found.items()}
        rows.append(
            {"way": f"qgf {s:g}, behind the best strength"}
            | {block: f"{100 * gap:.0f}" for block, gap in behind.items()}
            | {"mean": f"{100 * np.mean(list(behind.values())):.0f}"}
        )
    for other in ("qgf 0.5", "qgf robust 1", "qgf robust 0.5"):
        gaps = {block: paired(x[other], x["qgf 1"]) for block, x in found.items()}
        whole = mean_of(list(gaps.values()))
        rows.append(
            {"way": f"{other} − qgf 1"} | {block: shown(gap) for block, gap in gaps.items()}
            | {"mean": f"{shown(whole)}, p {shown_p(whole.p)}"}
        )  # fmt: skip
    return rows


def estimators(found: dict[str, Scores]) -> list[dict[str, str]]:
    """Where which estimator is ahead: qgf less each, both tuned without looking, and both at strength 1."""
    ways = {"tuned": lambda x, guide: tuned(x, GRID[guide]), "at strength 1": lambda x, guide: x[f"{guide} 1"]}
    gaps = {
        (how, other, block): paired(of(x, "qgf"), of(x, other))
        for how, of in ways.items() for other in ("ood", "jacobian") for block, x in found.items()
    }  # fmt: skip
    corrected = dict(zip(gaps, holm([gap.p for gap in gaps.values()]), strict=True))
    return [
        {"qgf less": f"{other}, {how}"}
        | {b: f"{shown(gaps[how, other, b])}, p {shown_p(corrected[how, other, b])}" for b in found}
        for how in ways
        for other in ("ood", "jacobian")
    ]


def critics(found: dict[str, Scores]) -> list[dict[str, str]]:
    """Each critic in each unit, and what it gains over the usual one at strength 1, the default then."""
    found = {block: x for block, x in found.items() if "critic 1 decay" in x}
    if not found:
        return []
    names = {f"usual, own {s:g}": f"qgf {s:g}" for s in (0.5, 1, 2)}
    names |= {f"usual, robust {s:g}": f"qgf robust {s:g}" for s in (0.5, 1, 2)}
    for critic in ("decay", "unit"):
        names |= {f"{critic}, {unit} {s:g}": f"{way} {s:g} {critic}" for unit, way in WAYS.items() for s in (0.5, 1, 2)}
    names |= {"best of 4, usual": "best-of-4"} | {f"best of 4, {c}": f"critic best-of-4 {c}" for c in ("decay", "unit")}
    rows = []
    for told, name in names.items():
        gaps = [paired(x[name], x["qgf 1"]) for x in found.values()]
        whole = mean_of(gaps) if name != "qgf 1" else None
        rows.append(
            {"critic, unit, strength": told}
            | means(found, name)
            | {"over usual, own 1": "" if whole is None else f"{shown(whole)}, p {shown_p(whole.p)}"}
            | {"least": "" if whole is None else f"{100 * min(gap.difference for gap in gaps):+.0f}"}
        )
    return rows


def picture(found: dict[str, Scores]) -> Figure:
    """Success against strength, a panel a block, beside the best of several and none."""
    lines = {guide: (guide, STRENGTHS if guide == "qgf" else STRENGTHS[1:], plots.colour(guide), "-") for guide in GRID}
    lines["qgf, robust unit"] = ("qgf robust", STRENGTHS[1:], plots.colour("qgf"), "--")
    with plots.style():
        figure = Figure(figsize=(3.1 * len(found), 3.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
        for axis, (block, x) in zip(axes, found.items(), strict=True):
            for label, (name, strengths, colour, line) in lines.items():
                heights = [100 * x[f"{name} {s:g}"].mean() for s in strengths]
                axis.plot(strengths, heights, f"o{line}", color=colour, ms=4, label=label)
            for name, line in (("best-of-4", ":"), ("best-of-16", "-."), ("none", "-")):
                height = 100 * x[name].mean()
                axis.axhline(height, color="0.55", lw=1, ls=line, label=name.replace("-", " "))
            axis.set(title=block, xlabel="strength", xscale="log", ylim=(-3, 103))
            axis.set_xticks(STRENGTHS, [f"{s:g}" for s in STRENGTHS])
            axis.minorticks_off()
        axes[0].set(ylabel="success, %")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    return figure


def main() -> None:
    found = blocks()
    for name, rows in (("strengths", strengths(found)), ("estimators", estimators(found)), ("critics", critics(found))):
        if rows:
            write_text(RESULTS / "defaults" / f"{name}.md", markdown(rows))
    plots.save(picture(found), RESULTS / "defaults" / "strengths.png")
    print(f"wrote {RESULTS / 'defaults'}: {len(found)} of {len(BLOCKS)} blocks")


if __name__ == "__main__":
    main()
