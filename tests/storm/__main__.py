"""`python -m storm [COMMAND ...]`: kill at every file operation of every command; prints a table, ends with status 1 if
anything is wrong.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qgf.cli.printing import print_table
from qgf.environments.ogbench.collect import collect
from storm.commands import COMMANDS, ENV
from storm.operations import Operations
from storm.trial import Storm

HEAD = ("command", "operations", "tried", "equal", "refused", "left over", "missing", "other bytes", "seconds")


def main(names: list[str]) -> int:
    operations, rows, wrong = Operations(), [], []
    with tempfile.TemporaryDirectory(prefix="qgf-storm-") as folder:
        data = Path(folder) / "data"
        collect(ENV, 2000, workers=1, directory=data)
        for name in names or COMMANDS:
            began = time.monotonic()
            storm = Storm(name, Path(folder) / name.replace(" ", "-"), data, operations)
            found = {number: storm.strike(number) for number in range(1, len(storm.seen) + 1)}
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
    sys.exit(main(sys.argv[1:]))
