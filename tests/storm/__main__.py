"""`python -m storm [COMMAND ...]`: kill at every file operation of every command; prints a table, ends with status 1 if
anything is wrong. `python -m storm --at-once ROUNDS`: several processes at once on one run instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qgf.cli.printing import print_table
from qgf.environments.ogbench.collect import collect
from storm.at_once import at_once
from storm.commands import COMMANDS, ENV
from storm.operations import Operations
from storm.trial import Storm

HEAD = ("command", "operations", "tried", "equal", "refused", "left over", "missing", "other bytes", "seconds")


def main() -> int:
    parser = argparse.ArgumentParser(prog="storm", description=__doc__)
    parser.add_argument("commands", nargs="*", help=f"by default all of {', '.join(COMMANDS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th operation")
    parser.add_argument(
        "--at", default="", metavar="TEXT", help="only operations that have this in them, as scales.json"
    )
    parser.add_argument("--at-once", type=int, default=0, metavar="ROUNDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qgf-storm-") as folder:
        collect(ENV, 2000, workers=1, directory=Path(folder) / "data")
        if options.at_once:
            wrong, line = at_once(Path(folder) / "data", options.at_once)
            print(line, *wrong, sep="\n")
            return bool(wrong)
        return storms(options.commands or list(COMMANDS), Path(folder), options.every, options.at)


def storms(names: list[str], folder: Path, every: int = 1, at: str = "") -> int:
    operations, rows, wrong = Operations(), [], []
    for name in names:
        began = time.monotonic()
        storm = Storm(name, folder / name.replace(" ", "-"), folder / "data", operations)
        numbers = [k for k, operation in enumerate(storm.seen, 1) if at in operation][::every]
        print(f"{name}: {len(numbers)} of {len(storm.seen)} operations", file=sys.stderr, flush=True)
        found = {number: storm.strike(number) for number in numbers}
        wrong += [f"{name} {k}, {storm.seen[k - 1]}: {what}" for k, what in found.items() if what]
        counts = Counter(what.split(":")[0] or "equal" for what in found.values())
        told = [len(storm.seen), len(found), *(counts[kind] for kind in HEAD[3:-1]), time.monotonic() - began]
        rows.append([name, *(f"{x:.0f}" for x in told)])
        print(f"{name}: {len(found)} kills, {counts['equal']} equal", file=sys.stderr, flush=True)
    print_table(HEAD, rows)
    for line in wrong:
        print(line)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
