"""Randomised comparisons: the order, going on, when they stop, and how often they are wrong."""

import numpy as np
import pytest
from scipy.special import betaln

import qgf
from qgf.cli.main import main
from qgf.errors import UserError
from qgf.files import forget, read_sums
from qgf.pages.ab import verdict, write_page
from qgf.playing.ab import Session, Trial, ab
from qgf.playing.plan import Plan, Way, read_plan
from qgf.statistics import mcnemar, sequential, wilson

ARMS = [Way(guide="none"), Way(guide="qgf", strength=1.0), Way(guide="placebo", strength=1.0), Way(guide="zero")]
PLAN = Plan(ARMS, blocks=30, seed=3)


def text(arms=("none", "qgf"), more=""):
    return more + "\n" + "\n".join(f'[[arm]]\nname = "{arm}"\nguide = "{arm}"' for arm in arms)


def better(due):
    """qgf always succeeds; of the others every third block does."""
    return "success" if due.arm == "qgf 1" or due.block % 3 == 0 else "failure"


# The sequential test


def simulated(rng, studies, pairs, differ, win):
    """When, if ever, each study decides at 5 %, [studies]; n pairs that are looked at one after another."""
    unequal = rng.random((studies, pairs)) < differ
    won = unequal & (rng.random((studies, pairs)) < win)
    k, n = np.cumsum(won, axis=1), np.cumsum(unequal, axis=1)
    decided = n * np.log(2) + betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5) >= np.log(20)
    return np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, np.inf)


@pytest.mark.parametrize("differ", [0.1, 0.5, 1.0, np.linspace(1, 0, 1000)])
def test_arms_that_do_not_differ_are_told_apart_in_at_most_5_percent_of_studies_however_often_one_looks(differ):
    """1000 looks; also where the task becomes easier meanwhile. The bound is 5 %, and not far above what is seen."""
    decided = np.isfinite(simulated(np.random.default_rng(0), 2000, 1000, differ, 0.5)).mean()
    assert 0.005 < decided < 0.05


def test_looking_at_mcnemar_every_time_would_be_wrong_far_more_often():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 60, 100)) < 0.5
    wrong = [min(mcnemar(x[:n], y[:n]) for n in range(10, 101, 10)) < 0.05 for x, y in zip(a, b, strict=True)]
    assert np.mean(wrong) > 0.1


def test_arms_that_differ_are_told_apart_soon():
    taken = simulated(np.random.default_rng(0), 1000, 200, 0.5, 0.9)
    assert np.isfinite(taken).mean() > 0.99 and np.median(taken) < 35


def test_the_evidence_is_the_likelihood_averaged_over_the_chance_to_win():
    a, b = np.array([1, 1, 0, 1, 1, 1, 0], bool), np.array([0, 1, 1, 0, 0, 0, 0], bool)
    p = (np.arange(200_000) + 0.5) / 200_000
    p = np.sin(np.pi * p / 2) ** 2  # quantiles of Beta(1/2, 1/2)
    ratios = [np.mean((2 * p) ** k * (2 * (1 - p)) ** n) for k, n in ((1, 0), (1, 1), (2, 1), (3, 1), (4, 1))]
    found = sequential(a, b, 0.5)
    assert found.evidence == pytest.approx(max(1, *ratios), rel=1e-6)
    assert (found.wins, found.losses, found.p) == (4, 1, 1 / found.evidence)
    assert found.decided == (max(ratios) >= 2)
    assert sequential([], []) == (0, 0, 1.0, 1.0, False)
    assert sequential(np.ones(3000), np.zeros(3000)).p == pytest.approx(0)
    with pytest.raises(UserError, match="same episodes"):
        sequential([1], [1, 0])


def test_evidence_once_there_stays():
    a = np.r_[np.ones(9), np.zeros(9)]
    assert sequential(a, 1 - a).decided and sequential(a[:9], 1 - a[:9]).decided
    assert not sequential(a[:4], 1 - a[:4]).decided


# Plans and sessions


def test_every_block_has_every_arm_once_in_an_order_of_its_own():
    orders = [PLAN.order(block) for block in range(1, 401)]
    assert all(sorted(order) == sorted(PLAN.labels) for order in orders)
    first = np.array([[order.index(arm) for arm in PLAN.labels] for order in orders])
    assert np.abs(first.mean(axis=0) - 1.5).max() < 0.2  # four standard errors
    assert orders != [Plan(ARMS, seed=4).order(block) for block in range(1, 401)]


def test_it_stops_when_every_comparison_is_decided_and_not_before(tmp_path):
    seen = []
    session = ab(PLAN, tmp_path, better, lambda now: seen.append(now.decided))
    assert session.decided and session.next() is None
    assert len(session.trials) % 4 == 0 and len(session.blocks()) < PLAN.blocks
    assert seen.index(True) >= len(seen) - 4  # decided in the last block, which was played to its end
    assert {one.decided for one in session.comparisons()} == {"better"}
    whole = session.blocks()
    for one in session.comparisons():
        a, b = ([block[arm] for block in whole] for arm in ("qgf 1", one.other))
        assert one.found == sequential(a, b, 0.05 / 3) and one.mcnemar == mcnemar(a, b)
    for _, won, played, aborted, ends in session.rows():
        assert (played, aborted) == (len(whole), 0) and ends == wilson(won, played)
    assert "qgf 1 is better than zero" in verdict(session)


def test_it_stops_after_all_blocks_and_more_can_be_added(tmp_path):
    even = lambda due: "success" if due.block % 2 else "failure"
    few = Plan(ARMS, blocks=2, seed=3)
    session = ab(few, tmp_path, even)
    assert len(session.trials) == 8 and not session.decided
    assert len(ab(Plan(ARMS, blocks=3, seed=3), tmp_path, even).trials) == 12


def test_one_that_was_stopped_anywhere_goes_on_to_the_same_file(tmp_path):
    ab(PLAN, tmp_path / "whole", better)
    left = [7, 1, 12]

    def stopping(due):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return better(due)

    while left:
        try:
            ab(PLAN, tmp_path / "parts", stopping)
            break
        except KeyboardInterrupt:
            left.pop(0)
            left = left or [1000]
    for name in ("episodes.csv", "plan.json", "SHA256SUMS"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_plan_whose_sum_was_not_written_gets_one(tmp_path):
    """As after a kill between the two."""
    session = Session(PLAN, tmp_path)
    session.add(session.next(), "success")
    forget(tmp_path / "plan.json")
    session = Session(PLAN, tmp_path)
    session.add(session.next(), "success")
    assert read_sums(tmp_path).keys() == {"plan.json", "episodes.csv"}


def test_an_aborted_episode_is_played_again_and_counts_for_nothing(tmp_path):
    session = Session(PLAN, tmp_path)
    first = session.next()
    session.add(first, "abort", "the gripper was open")
    again = session.next()
    assert (again.number, again.block, again.arm) == (2, 1, first.arm)
    session.add(again, "success")
    assert session.outcomes(first.arm) == [True] and session.aborted(first.arm) == 1
    assert Session(PLAN, tmp_path).trials == [Trial(*first, "abort", "the gripper was open"), Trial(*again, "success")]
    session.undo()
    assert session.next() == again and len(Session(PLAN, tmp_path).trials) == 1


def test_episodes_of_another_plan_are_not_added_to(tmp_path):
    ab(Plan(ARMS, blocks=1, seed=3), tmp_path, better)
    for plan in (Plan(ARMS, seed=4), Plan(ARMS[:3], seed=3), Plan(ARMS, seed=3, alpha=0.1)):
        with pytest.raises(UserError, match="another plan"):
            ab(plan, tmp_path, better)
    lines = (tmp_path / "episodes.csv").read_text().splitlines()
    (tmp_path / "episodes.csv").write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    with pytest.warns(match="SHA-256"), pytest.raises(UserError, match="at line 2: is not the episode"):
        Session(PLAN, tmp_path)


def test_an_outcome_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="not 'won'"):
        ab(PLAN, tmp_path, lambda due: "won")


MISTAKES = {
    "one arm": (text(arms=("none",)), "at arm"),
    "twice": (text(arms=("qgf", "qgf")), "two arms are called 'qgf'"),
    "no such arm": (text(more='ask = "qfg"'), "unknown arm 'qfg': did you mean 'qgf'"),
    "no such key": (text(more="block = 3"), "did you mean 'blocks'"),
    "alpha": (text(more="alpha = 1.5"), "at alpha"),
    "nobody acts": (text(more='env = "x"'), "env and port need run"),
    "two that act": (text(more='env = "x"\nport = 1\nrun = "r"'), "not both"),
}


@pytest.mark.parametrize(("content", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_plan_that_makes_no_sense_is_a_line(content, said, tmp_path):
    (tmp_path / "plan.toml").write_text(content)
    with pytest.raises(UserError, match=said):
        read_plan(tmp_path / "plan.toml")


# The command


def test_a_person_is_asked_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "plan.toml").write_text(text(arms=("none", "qgf", "placebo")))
    said, prompts = ["s", "what", "u", "f slipped", "abort", "success", "f", "q", "s"], []

    def answer(prompt):
        prompts.append(prompt)
        if not said:
            raise EOFError
        return said.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    for _ in range(2):
        main(["ab", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out")])
    session = Session(read_plan(tmp_path / "plan.toml"), tmp_path / "out")
    assert [trial.outcome for trial in session.trials] == ["failure", "abort", "success", "failure", "success"]
    assert session.trials[0].note == "slipped"
    assert all(trial.arm in prompt for trial, prompt in zip(session.trials, prompts[3:], strict=False))
    output = capsys.readouterr().out
    assert "one of s, f, a, u or q" in output and "1 of at most 25 blocks: nothing is decided" in output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>0 of 1</td>" in page and "data:image/png" in page


def test_a_simulator_plays_the_same_episode_for_all_arms_of_a_block(tiny_run, tmp_path, capsys):
    """ "zero" acts as "none" does, so its outcomes are the same, block by block, and nothing is ever decided."""
    more = f'run = "{tiny_run.directory}"\nenv = "pendulum"\nsuccess = "return>=-1e9"\nblocks = 2'
    (tmp_path / "plan.toml").write_text(text(("none", "zero"), more.replace("pendulum", ENV)))
    main(["ab", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out")])
    session = Session(read_plan(tmp_path / "plan.toml"), tmp_path / "out")
    assert len(session.blocks()) == 2 and all(block["none"] == block["zero"] for block in session.blocks())
    assert "open against zero" in capsys.readouterr().out


ENV = "pointmaze-medium-navigate-singletask-task1-v0"


def test_a_page_of_nothing_yet(tmp_path):
    page = write_page(Session(PLAN, tmp_path)).read_text()
    assert "nothing is decided" in page and "<img" not in page
    assert qgf.ab is ab
