"""`python -m hostile`: the table, every acceptance with its reason, and bits that flip."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from hostile.artefacts import make
from hostile.flips import flips
from hostile.pool import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="hostile", description=__doc__)
    parser.add_argument("--inputs", type=int, default=300, help="changes of every kind of artefact")
    parser.add_argument("--flips", type=int, default=1000, help="bits flipped over all artefacts that carry a sum")
    parser.add_argument("--only", default="", help="kinds whose names begin so, as in --only 'qgf data'")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        base = make(Path(folder) / "base")
        report, flipped = run(base, options.inputs, options.processes, options.only), flips(base, options.flips)
    print(report.table(), report.reasons(), flipped, f"{sum(report.seconds.values()):.0f} s of CPU", sep="\n\n")
    for bad in report.bad:
        print(bad)
    sys.exit(bool(report.bad or flipped.unnoticed))


if __name__ == "__main__":
    main()
