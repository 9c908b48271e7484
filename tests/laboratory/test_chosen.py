"""What is said of a choice that tuning could not make."""

from msgspec.structs import replace

from qgf.laboratory.chosen import chosen_table
from qgf.laboratory.study import Environment, Method, Study
from qgf.playing.arm import arms
from qgf.playing.rows import SHARED, Row
from qgf.playing.tune import Candidate

GRID = arms(["qgf"], [0.25, 0.5, 1.0])
ENV = Environment("maze", tasks=(1,), seeds=(0,), train="lab")
STUDY = Study("one", (ENV,), {}, {"qgf": Method(tuple(GRID)), "none": Method(tuple(arms(["none"])))})


def row(arm, won, of):
    outcomes = "1" * won + "0" * (of - won)
    counts = dict(episodes=of, successes=won, outcomes=outcomes, success=won / of, low=0.0, high=1.0)
    nothing = dict(returns=0.0, lengths=1.0, value=0.0, ratio=0.1, skipped=0)
    return Row(
        env="maze", train="lab", guide=arm.guide, strength=arm.strength, best_of=1, split="tuning", seed=1,
        stream=SHARED, **counts, **nothing,
    )  # fmt: skip


def table(chosen, *played):
    rows = [row(GRID[k], won, of) for k, won, of in played]
    return chosen_table(STUDY, {ENV: ({"qgf": Candidate("lab", GRID[chosen]), "none": Candidate("lab", None)}, rows)})


def test_the_choice_and_its_episodes_are_told():
    (line,) = table(1, (0, 3, 10), (1, 8, 10), (1, 15, 20), (2, 5, 10))
    assert line == dict(env="maze", method="qgf", chosen="qgf 0.5", tuning="23 of 30", candidates=3, caution="")


def test_a_choice_at_the_edge_of_the_grid_is_doubted():
    (line,) = table(0, (0, 9, 10), (1, 8, 10), (2, 5, 10))
    assert line["caution"] == "the best strength, 0.25, lies at the edge of the grid: try a wider one"


def test_tuning_without_a_signal_is_named():
    (alike,) = table(2, (0, 5, 10), (1, 5, 10), (2, 5, 10))
    assert alike["caution"] == "all 3 did alike: chosen by nearness to the default"
    (nothing,) = table(1, (0, 0, 10), (1, 1, 10), (2, 0, 10))
    assert nothing["caution"] == "no candidate solved more than one episode: tuning saw nothing"


def test_rungs_of_a_candidate_are_added_up():
    one = row(GRID[1], 2, 10)
    more = replace(row(GRID[1], 6, 10), first=10)
    chosen = {"qgf": Candidate("lab", GRID[1])}
    (line,) = chosen_table(STUDY, {ENV: (chosen, [one, more, row(GRID[0], 1, 10), row(GRID[2], 1, 10)])})
    assert line["tuning"] == "8 of 20"
