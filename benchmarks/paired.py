"""McNemar's exact test of one method of a study against every other, on the same held-out episodes.

    python benchmarks/paired.py cube-single [--method qgf]

Reads docs/results/STUDY/results.csv and writes docs/results/STUDY/against-METHOD.md: the episodes that only the one and
only the other solved, and p, not corrected for the number of methods. All tasks and training seeds together, whose
episodes are taken for independent.
"""

import argparse
import re

import numpy as np
from choices import RESULTS, held_out

from qgf.files import write_text
from qgf.pages.tables import markdown
from qgf.statistics import mcnemar


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--method", default="qgf")
    options = parser.parse_args()
    won = {name: np.concatenate([runs[key] for key in sorted(runs)]) for name, runs in held_out(options.study).items()}
    mine = won.pop(options.method)
    rows = [
        {
            "method": name,
            "success": f"{100 * other.mean():.1f}",
            f"only {options.method} solved": str((mine & ~other).sum()),
            "only it solved": str((other & ~mine).sum()),
            "p": f"{mcnemar(mine, other):.2g}",
        }
        for name, other in sorted(won.items(), key=lambda item: -item[1].mean())
    ]
    slug = re.sub(r"[^a-z0-9]+", "-", options.method.lower()).strip("-")  # "qgf, IQL" -> qgf-iql
    path = RESULTS / options.study / f"against-{slug}.md"
    write_text(path, markdown(rows))
    print(f"wrote {path.name}: {options.method} {100 * mine.mean():.1f} % of {len(mine)} episodes")


if __name__ == "__main__":
    main()
