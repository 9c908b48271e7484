"""One method of a study against every other, on the same held-out episodes.

    python benchmarks/paired.py cube-single [--method qgf]

Reads docs/results/STUDY/results.csv and writes docs/results/STUDY/against-METHOD.md: the difference of the method's
mean success to the other's in points of a percent, with its 95 % interval (`qgf.statistics.paired`: training seeds and
episodes are drawn anew), for each training seed, and p, whose unit is the run, by Holm's correction. A study of one
training seed has no p, and an interval of its episodes' luck alone.
"""

import argparse
import re

import numpy as np
from choices import RESULTS, held_out

from qgf.files import write_text
from qgf.laboratory.tables import shown_p
from qgf.pages.tables import markdown
from qgf.statistics import holm, paired


def table(runs: dict[tuple[str, int], np.ndarray]) -> np.ndarray:
    """(task, training seed) -> [episodes] as [seeds, tasks, episodes]."""
    tasks, seeds = (sorted(set(x), key=str) for x in zip(*runs, strict=True))
    return np.stack([[runs[task, seed] for task in tasks] for seed in seeds]).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--method", default="qgf")
    options = parser.parse_args()
    scores = {name: table(runs) for name, runs in held_out(options.study).items()}
    mine = scores.pop(options.method)
    others = {name: x for name, x in sorted(scores.items(), key=lambda item: -item[1].mean()) if x.shape == mine.shape}
    gaps = {name: paired(mine, other) for name, other in others.items()}
    corrected = holm([gap.p for gap in gaps.values()])
    rows = [
        {
            "method": name,
            "success": f"{100 * others[name].mean():.1f}",
            f"{options.method} is ahead by": f"{100 * gap.difference:.1f} [{100 * gap.low:.1f}, {100 * gap.high:.1f}]",
            "per seed": ", ".join(f"{100 * x:.1f}" for x in (mine - others[name]).mean(axis=(1, 2))),
            "p": shown_p(p),
        }
        for (name, gap), p in zip(gaps.items(), corrected, strict=True)
    ]
    slug = re.sub(r"[^a-z0-9]+", "-", options.method.lower()).strip("-")  # "qgf, IQL" -> qgf-iql
    path = RESULTS / options.study / f"against-{slug}.md"
    write_text(path, markdown(rows))
    print(f"wrote {path.name}: {options.method} {100 * mine.mean():.1f} % of {mine.size} episodes")


if __name__ == "__main__":
    main()
