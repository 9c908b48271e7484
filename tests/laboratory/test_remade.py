"""The results that the documentation shows are what their ledgers give: made again to the byte, without playing."""

import shutil
from pathlib import Path

import pytest

from qgf.files import write_csv
from qgf.laboratory.compare import compare
from qgf.laboratory.study import read_study
from qgf.playing.ledger import Ledger, told
from qgf.playing.rows import columns

DOCS = Path(__file__).parents[2] / "docs"
# Written down before they are played, as they should be.
UNPLAYED: set[str] = set()
STUDIES = sorted({path.stem for path in (DOCS / "studies").glob("*.toml")} - UNPLAYED)
SMALL = [name for name in STUDIES if (DOCS / "results" / name / "results.csv").stat().st_size < 20_000]


@pytest.mark.parametrize("name", STUDIES)
def test_a_ledger_that_is_read_and_written_is_the_same(tmp_path, name):
    there, again = DOCS / "results" / name, tmp_path / "episodes.csv"
    ledger = Ledger(there / "episodes.csv")
    write_csv(again, ledger.rows.values(), columns(ledger.rows.values()))
    assert again.read_bytes() == (there / "episodes.csv").read_bytes()
    write_csv(again, ledger.costs, told(ledger.costs))
    assert again.read_bytes() == (there / "costs.csv").read_bytes()


def test_only_what_was_not_played_has_no_results():
    assert not [name for name in UNPLAYED if (DOCS / "results" / name).exists()]


def test_the_episodes_that_confirm_are_played_by_no_other_study():
    """Seed 2's: whatever was chosen by looking at seed 0's is judged on them, once, with nothing tuned."""
    for name in STUDIES:
        rows = Ledger(DOCS / "results" / name / "episodes.csv").rows.values()
        confirms = name.startswith("fresh-")
        assert {row.seed for row in rows} <= ({2} if confirms else {0, 1}), name
        assert not confirms or {row.policy_seed for row in rows} <= set(range(10, 16)), name


def played(*_):
    raise AssertionError("nothing may be trained or played")


@pytest.mark.parametrize("name", SMALL)
def test_the_tables_of_a_study_are_made_again(tmp_path, name):
    there, folder = DOCS / "results" / name, tmp_path / name
    folder.mkdir()
    for file in ("episodes.csv", "costs.csv"):
        shutil.copy(there / file, folder)
    compare(read_study(DOCS / "studies" / f"{name}.toml"), tmp_path, tmp_path / "no-data", played)
    made = [path for path in folder.glob("*.csv") if (there / path.name).exists()]
    assert {"results.csv", "aggregate.csv"} <= {path.name for path in made}
    assert [path.name for path in made if path.read_bytes() != (there / path.name).read_bytes()] == []
