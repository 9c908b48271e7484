"""Whatever is in a file, reading it ends: with what the file says, or with one line about what is wrong.

Real artefacts of every kind, each changed in as many ways as there is time for here; `make hostile` tries 5,000.
"""

import pytest

from hostile.artefacts import make
from hostile.flips import flips
from hostile.kinds import KINDS
from hostile.pool import run

INPUTS = 300
FLIPS = 1000


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make(tmp_path_factory.mktemp("hostile") / "base")


@pytest.mark.filterwarnings("ignore")
def test_reading_ends_and_runs_and_writes_nothing(base):
    report = run(base, INPUTS)
    print(report.table(), report.reasons(), report.seconds, sep="\n\n")
    assert not report.bad, "\n".join(map(str, report.bad))
    assert report.tried >= INPUTS * len(KINDS) * 0.9  # fewer where chance has no more to try
    accepted = sum(count for (_, _, why), count in report.accepted.items() if why)
    assert accepted == report.tried - sum(count["clear"] for count in report.outcomes.values())


@pytest.mark.filterwarnings("ignore")
def test_every_bit_that_flips_is_noticed(base):
    found = flips(base, FLIPS)
    print(found)
    assert found.tried == FLIPS and not found.unnoticed
