"""A process that tries many inputs: `python -m hostile.worker BASE INPUTS SKIP KIND...`. Says in lines of JSON what it
begins and what came of it, so that one that dies is known.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hostile import kinds
from hostile.changes import changed
from hostile.trial import Bench, Watch, limited, seconds


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


@st.composite
def inputs(draw, bench: Bench):
    """A file of the kind, what is done to it, and what becomes of its sums."""
    path = draw(st.sampled_from(bench.files))
    form = bench.kind.form or dict.fromkeys((".json", ".zarray", ".zgroup", ".zattrs"), "json").get(
        path.suffix or path.name, {".parquet": "parquet", ".hdf5": "hdf5"}.get(path.suffix, "bytes")
    )
    word, content = draw(changed(form, bench.content[path]))
    sums = draw(st.sampled_from(("as written", "right", "none"))) if bench.kind.sealed else "none"
    if bench.kind.name == "checkpoint" and draw(st.integers(0, 5)):
        sums = "as written"  # Orbax takes its time
    return path, word, content, sums


def try_kind(bench: Bench, most: int, skip: int) -> None:
    tried = 0

    @seed(0)
    @settings(max_examples=most, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(inputs(bench))
    def each(made):
        nonlocal tried
        path, word, content, sums = made
        tried += 1
        if tried <= skip or tried > most:
            return
        where = str(path.relative_to(bench.folder))
        tell(begins=bench.kind.name, number=tried, word=word, file=where, sums=sums)
        outcome, line = bench.try_(path, content, sums)
        tell(kind=bench.kind.name, outcome=outcome, line=line, word=word, file=where, sums=sums)

    each()


def main() -> None:
    base, most, skip, *names = sys.argv[1:]
    kinds.BASE, watch = Path(base), Watch()
    with tempfile.TemporaryDirectory(prefix="hostile-") as scratch:
        limited()
        for kind in (kind for kind in kinds.KINDS if kind.name in names):
            began = seconds()
            tell(begins=kind.name, number=0, word="as it is", file="", sums="")
            bench = Bench(kind, Path(base), Path(scratch), watch)
            try_kind(bench, int(most), int(skip) if kind.name == names[0] else 0)
            tell(ends=kind.name, seconds=seconds() - began)


if __name__ == "__main__":
    main()
