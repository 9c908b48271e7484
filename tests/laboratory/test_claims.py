"""What is said of the paper's claims is what the committed episodes say, by the rule that the page states."""

import sys
from pathlib import Path

import numpy as np
import pytest

from qgf.pages.tables import markdown

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def claims():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import claims
    finally:
        sys.path.pop(0)
    return claims


def test_the_committed_tables_are_made_of_the_committed_episodes(claims):
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for name, rows in zip(("claims.md", "claims-by-study.md"), claims.lines(), strict=True):
        written = (ROOT / "docs" / "results" / name).read_text(encoding="utf-8")
        assert markdown(rows) == written
        assert written in page


def test_a_verdict_goes_no_further_than_its_interval(claims):
    ahead, level = (claims.Claim("", "", "a", "b", level) for level in (False, True))
    means = lambda *points: np.array(points, float)
    assert claims.verdict(ahead, means(5, 6, 7), 4.0, {}) == "**confirmed**"
    assert claims.verdict(ahead, means(-5, -6, -7), 4.0, {"x": 1}) == "**contradicted**"
    assert claims.verdict(ahead, means(-5, 6, 7), 4.0, {}) == "**open**"
    assert claims.verdict(ahead, means(9, 9), float("nan"), {"x": 1, "y": -1}) == "**open**; holds on x; reversed on y"
    assert claims.verdict(level, means(-1, 0, 1), 4.0, {}) == "**confirmed**"  # no further behind than 5 points
    assert claims.verdict(level, means(-1, 0, 1), 5.5, {}) == "**open**"
    assert claims.verdict(level, means(-19, -20, -21), 4.0, {}) == "**contradicted**"


def test_families_needed_and_their_interval(claims):
    from scipy import stats

    gap = lambda points: (claims.Paired(points / 100, 0, 0, 0.5), 2)
    found = {
        "cube-single": gap(10.0),
        "pointmaze-medium": gap(0.0),
        "pointmaze-medium-short": gap(4.0),
        "scene": gap(-3.0),
    }
    means, half = claims.over_families(found)
    assert sorted(means) == pytest.approx([-3, 2, 10])  # the two mazes are one family
    known = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert (means.mean() - half, means.mean() + half) == pytest.approx(known)
    assert claims.needed(means) == f"{int(np.ceil(2.8**2 * np.var(means, ddof=1) / 25))} families"
    assert claims.needed(means[:2]) == "three families"


def test_environments_of_one_study_whose_tasks_have_the_same_number_are_told_apart(claims):
    """They were not, and one environment's episodes stood for both."""
    for runs in claims.held_out("harmless").values():
        assert len(runs) == 4 and {len(won) for won in runs.values()} == {200}
        assert {task for task, _ in runs} == {"button-press-v3 1", "door-open-v3 1"}
