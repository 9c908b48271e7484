"""What a report makes of the rows of evaluation.csv."""

import numpy as np
import pytest

from qgf.pages.report import _default, latest_rows
from qgf.playing.arm import Arm
from qgf.playing.scores import Score
from qgf.statistics import wilson


def row(arm, wins=3, episodes=10, weight=0.25, **changes):
    """A row as it comes back from the file."""
    numbers = {k: np.full(episodes, 2.0) for k in ("returns", "lengths", "value", "ratio")}
    numbers |= dict(success=np.arange(episodes) < wins, skipped=np.zeros(episodes))
    made = dict(env="maze", seed=0, seconds=1.0, decision_ms=2.0, weight=weight, arm=arm) | numbers | changes
    return {key: str(value) for key, value in Score(**made).row().items()}


def test_seeds_of_one_strength_are_pooled_although_their_weights_differ():
    rows = [row(Arm("qgf", 1.0), wins, weight=0.1 * wins, policy_seed=wins) for wins in (2, 5, 8)]
    (pooled,) = latest_rows(rows)
    assert (pooled["label"], pooled["strength"], pooled["weight"]) == ("qgf 1", 1.0, None)
    assert (pooled["successes"], pooled["episodes"], pooled["success"]) == (15, 30, 0.5)
    assert (pooled["low"], pooled["high"]) == wilson(15, 30)


def test_raw_weights_schedules_and_steps_stay_apart():
    arms = [Arm("qgf", 1.0), Arm("qgf", 1.0, schedule="score"), Arm("qgf", 1.0, steps=5), Arm("qgf", 1.0, best_of=4)]
    rows = [row(arm) for arm in arms] + [row(Arm("qgf", weight=w), weight=w) for w in (0.1, 0.2)]
    assert [(r["episodes"], r["weight"]) for r in latest_rows(rows) if r["strength"] is None] == [(10, 0.1), (10, 0.2)]
    assert len(latest_rows(rows)) == 6
    assert "qgf score 1" in {r["label"] for r in latest_rows(rows)}


def test_only_the_newest_policy_counts():
    assert [
        r["successes"] for r in latest_rows([row(Arm("none"), 1, updates=100), row(Arm("none"), 7, updates=200)])
    ] == [7]
    assert latest_rows([]) == []


def test_the_cloned_policy_comes_first_and_strengths_rise_from_zero():
    arms = [Arm("gradstep", 1.0), Arm("qgf", 2.0), Arm("qgf", 0.0), Arm("none"), Arm("ood", 1.0), Arm("qgf", 0.5)]
    rows = latest_rows([row(arm, weight=0.0 if arm.guide == "none" else 0.3) for arm in arms])
    assert [r["label"] for r in rows] == ["none", "ood 1", "qgf 0", "qgf 0.5", "qgf 2", "gradstep 1"]


@pytest.mark.parametrize("first", ["schedule", "steps"])
def test_the_headline_shows_the_usual_sampler(first):
    unusual = Arm("qgf", 1.0, schedule="score") if first == "schedule" else Arm("qgf", 1.0, steps=5)
    rows = latest_rows([row(unusual, 9), row(Arm("qgf", 0.5), 4), row(Arm("qgf", 1.0), 5)])
    assert _default(rows, "qgf")["successes"] == 5
    assert _default(rows[:1], "ood") is None
