"""What the page on LeRobot says of Meta-World is what the committed episodes say."""

import csv
from pathlib import Path

import numpy as np
import pytest

from qgf.statistics import mcnemar, wilson

DOCS = Path(__file__).parents[2] / "docs"
ARMS = ["none", "placebo", "best-of-4", "ood", "jacobian", "qgf"]


def success(task):
    """Of every arm, [100] bool each, on the same episodes."""
    with open(DOCS / "results" / "metaworld-lerobot" / f"{task}.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {arm: [row for row in rows if row["arm"] == arm] for arm in ARMS}
    assert all([int(row["episode"]) for row in mine] == list(range(100)) for mine in found.values())
    return {arm: np.array([row["success"] == "1" for row in mine]) for arm, mine in found.items()}


def cell(won, plain):
    low, high = wilson(int(won.sum()), len(won))
    p = "" if won is plain else f", p {mcnemar(won, plain):.2g}"
    return f"{won.mean():.0%} [{low * 100:.0f}, {high * 100:.0f}]{p}".replace("%", " %")


@pytest.mark.parametrize("arm", ARMS)
def test_a_row_of_the_table_is_that_of_the_episodes(arm):
    every = [success(task) for task in ("door-open", "button-press")]
    page = (DOCS / "lerobot.md").read_text(encoding="utf-8")
    assert f"| {arm} | {' | '.join(cell(x[arm], x['none']) for x in every)} |" in page


def test_guided_is_better_than_the_clone_and_random_directions_are_not():
    for task in ("door-open", "button-press"):
        every = success(task)
        assert mcnemar(every["qgf"], every["none"]) < 0.01 and every["qgf"].mean() > every["none"].mean()
        assert mcnemar(every["placebo"], every["none"]) > 0.05
