"""What the paper and the tutorial claim, against what the committed studies measured.

    python benchmarks/claims.py

Reads docs/results/STUDY/results.csv and writes docs/results/claims.md and claims-by-study.md, which docs/claims.md
shows. A claim that one way
of acting is better than another is a difference of mean success in points of a percent on the same held-out episodes,
for each study with its 95 % interval (`qgf.statistics.paired`; of one training seed it is the episodes' luck alone and
is put in brackets), and over environment families, a family's studies averaged, with the t interval of their mean.

The verdict is a rule. **confirmed**: the interval over families lies above 0; **contradicted**: below 0 (of "level
with": outside 5 points on one side); **open** otherwise, with the studies of two seeds or more that alone tell the two
apart, p < .05 after Holm's correction over the whole table. "to decide": how many families would tell a difference of
5 points from none with a power of 80 %, at the spread between families seen here.
"""

from dataclasses import dataclass
from math import ceil

import msgspec
import numpy as np
from choices import RESULTS, held_out
from paired import table
from scipy import stats

from qgf.files import read_csv, write_text
from qgf.pages.tables import markdown
from qgf.statistics import Paired, holm, paired

FAMILIES = {
    "cube-single": "cube",
    "goals-cube-single": "cube, goals",
    "pointmaze-medium": "maze",
    "pointmaze-medium-short": "maze",
    "goals-pointmaze-medium": "maze, goals",
    "pointmaze-giant": "giant maze",
    "scene": "scene",
    "puzzle-3x3": "puzzle",
    "rivals-cube-single": "cube",
    "rivals-pointmaze-medium": "maze",
    "rivals-scene": "scene",
    "rivals-puzzle-3x3": "puzzle",
    "critics-cube-single": "cube",
    "critics-pointmaze-medium": "maze",
    "critics-pointmaze-medium-task4": "maze",
    "model-size": "cube",
}
LEVEL, POINTS = 5.0, 5.0
"""Points within which two are level; points that a study of "to decide" should see."""


@dataclass(frozen=True)
class Claim:
    """`better` is ahead of `other` or, with `level`, no further behind it than LEVEL points."""

    says: str
    paper: tuple[str, str] | str  # the two in published.csv, or who else says so
    better: str
    other: str
    level: bool = False
    only: tuple[str, ...] = ()  # studies in which the names mean what the claim says, where not in all


SIZES, GOALS = ("model-size",), ("goals-cube-single", "goals-pointmaze-medium")
CLAIMS = (
    Claim("Guidance lifts a cloned policy that is not trained further", "abstract", "qgf", "none"),
    Claim("It is the direction: a random one of its length does nothing", "tutorial", "qgf", "placebo"),
    Claim("Asking at the one-step estimate beats asking at the noisy action", ("QGF", "QFQL (OOD)"), "qgf", "ood"),
    Claim("Leaving the Jacobian out beats keeping it", ("QGF", "QGF-Jacobian"), "qgf", "jacobian"),
    Claim("One step beats differentiating through the chain", ("QGF", "BPTT"), "qgf", "bptt"),
    Claim("One step beats the whole chain without its Jacobian", ("QGF", "QGF-chain"), "qgf", "chain"),
    Claim("QGF beats gradient steps after denoising", ("QGF", "GradStep"), "qgf", "gradstep"),
    Claim("QGF beats a critic trained on noisy actions", ("QGF", "RobustQ"), "qgf", "robustq"),
    Claim("QGF beats classifier-free guidance by advantage", ("QGF", "CFGRL"), "qgf", "cfgrl"),
    Claim("QGF beats the best of 4 at equal cost", ("QGF", "BFN4"), "qgf", "none best-of-4"),
    Claim("The best of 16 beats the best of 4", ("BFN16", "BFN4"), "none best-of-16", "none best-of-4"),
    Claim("The best of 16, at four times the cost, beats QGF", ("BFN16", "QGF"), "none best-of-16", "qgf"),
    Claim("The best of 4 guided samples beats one", ("QGF+BFN4", "QGF"), "qgf best-of-4", "qgf"),
    Claim("With all goals of an environment, QGF beats OOD", ("QGF", "QFQL"), "qgf", "ood", only=GOALS),
    Claim("A constant weight is as good as the one that the score asks for", "method", "qgf", "qgf score", True),
    Claim("QGF is level with FQL, which trains a policy, or ahead", ("QGF", "FQL"), "qgf", "fql", True),
    Claim("QGF is level with EDP or ahead", ("QGF", "EDP"), "qgf", "edp", True),
    Claim("QGF is level with QAM or ahead", ("QGF", "QAM"), "qgf", "qam", True),
    Claim("DAC is far behind FQL", ("FQL", "DAC"), "fql", "dac"),
    Claim("QSM is far behind FQL", ("FQL", "QSM+BC"), "fql", "qsm"),
    Claim(
        "A bootstrapped critic guides better", ("QGF + QAM critic", "QGF + IQL critic"), "qgf, QAM's critic", "qgf, IQL"
    ),
    Claim("It gains with the networks' size: 3 × 128 over 3 × 64", "model size", "qgf, width 128", "qgf", only=SIZES),
    Claim("... 3 × 256 over 3 × 128", "model size", "qgf, width 256", "qgf, width 128", only=SIZES),
    Claim("Strength 1, the default then, is as good as a tuned one", "this project", "qgf default", "qgf", True),
)


def gaps(claim: Claim, studies: dict) -> dict[str, tuple[Paired, int]]:
    """Study -> difference of the two and number of training seeds, of every study that played both on one footing."""
    found = {}
    for study in claim.only or [study for study in FAMILIES if study not in SIZES]:
        runs = studies[study]
        if {claim.better, claim.other} <= set(runs):
            x, y = table(runs[claim.better]), table(runs[claim.other])
            if x.shape == y.shape:
                found[study] = paired(x, y), len(x)
    return found


def over_families(found: dict[str, tuple[Paired, int]]) -> tuple[np.ndarray, float]:
    """The means of the families, in points, and half the t interval of their mean, nan below three."""
    names = list(dict.fromkeys(FAMILIES[study] for study in found))
    means = np.array([np.mean([100 * g.difference for s, (g, _) in found.items() if FAMILIES[s] == n]) for n in names])
    if len(means) < 3:
        return means, float("nan")
    return means, float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5)


def verdict(claim: Claim, means: np.ndarray, half: float, alone: dict[str, int]) -> str:
    """`alone`: the studies that tell the two apart by themselves, and which way."""
    low, high, least = means.mean() - half, means.mean() + half, -LEVEL if claim.level else 0.0
    words = "confirmed" if low > least else "contradicted" if high < least else "open"
    if words != "open" or not alone:
        return f"**{words}**"
    told = {"holds": [x for x in alone if alone[x] > 0], "reversed": [x for x in alone if alone[x] < 0]}
    return "; ".join([f"**{words}**", *(f"{how} on {', '.join(names)}" for how, names in told.items() if names)])


def needed(means: np.ndarray) -> str:
    """Families for POINTS with a power of 80 %: (1.96 + 0.84)² s² / POINTS²."""
    if len(means) < 3:
        return "three families"
    return f"{max(ceil(2.8**2 * means.var(ddof=1) / POINTS**2), 3)} families"


class Published(msgspec.Struct):
    """A row of published.csv, success in % over all environments."""

    figure: str
    method: str
    all: str = ""


def printed(claim: Claim) -> str:
    """What the paper has for the two, over its environments."""
    if isinstance(claim.paper, str):
        return claim.paper
    rows = read_csv(RESULTS / "published.csv", Published)
    figures = ("goal-conditioned",) if claim.only == GOALS else ("main", "best-of-n", "chain", "critic")
    all_of = {row.method: row.all for row in rows if row.figure in figures}
    return " against ".join(all_of[name] for name in claim.paper)


def shown(gap: Paired, seeds: int) -> str:
    low, high = (f"{100 * x:z.0f}" for x in (gap.low, gap.high))
    text = f"{100 * gap.difference:+z.0f} [{low}, {high}]"
    return text if seeds > 1 else f"({text})"


def lines() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of both tables: a verdict for each claim, and what it rests on."""
    studies = {study: held_out(study) for study in FAMILIES}
    measured = [gaps(claim, studies) for claim in CLAIMS]
    tests = [(i, study, gap) for i, found in enumerate(measured) for study, (gap, seeds) in found.items() if seeds > 1]
    corrected = holm([gap.p for _, _, gap in tests])
    alone: list[dict[str, int]] = [{} for _ in CLAIMS]
    for (i, study, gap), p in zip(tests, corrected, strict=True):
        if p < 0.05:
            alone[i][study] = 1 if gap.difference > 0 else -1
    summary, by_study = [], []
    for claim, found, told in zip(CLAIMS, measured, alone, strict=True):
        means, half = over_families(found)
        decided = verdict(claim, means, half, told)
        summary.append(
            {
                "claim": claim.says,
                "published": printed(claim),
                "here": f"{means.mean():+z.0f}" + ("" if np.isnan(half) else f" ± {half:.0f}"),
                "families": str(len(means)),
                "verdict": decided,
                "to decide": needed(means) if decided.startswith("**open") else "",
            }
        )
        each = {"difference of": f"{claim.better} − {claim.other}"}
        by_study.append(each | {"by study": "; ".join(f"{study} {shown(*gap)}" for study, gap in found.items())})
    return summary, by_study


if __name__ == "__main__":
    for name, rows in zip(("claims.md", "claims-by-study.md"), lines(), strict=True):
        write_text(RESULTS / name, markdown(rows))
        print(f"wrote docs/results/{name}")
