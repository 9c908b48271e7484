"""The ledger of played episodes: nothing is played twice, and its bytes depend on nothing but what was played."""

import dataclasses
import itertools
import os
import random

import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import qgf.playing.ledger
from qgf.errors import UserError
from qgf.files import BOOKKEEPING, SUMS, write_csv
from qgf.method.guided import guided_flow
from qgf.method.observations import ObsSpec
from qgf.playing.arm import Arm
from qgf.playing.episodes import gflop_per_action
from qgf.playing.ledger import Ledger, Player
from qgf.playing.rows import KEY, LATER, OWN, SHARED, columns
from qgf.playing.scores import Score
from qgf.types import Calibration

ENV = "maze-task1"
WAYS = {name: (1.0, 1.0) for name in ("own", "mean", "min", "0", "own sigma")}
POLICY = guided_flow(
    lambda obs, a, t: -a, lambda obs, a: jnp.sum(a), 2, weight=0.0, calibration=Calibration(1.0, 1.0, WAYS, (1.0, 1.0))
)  # fmt: skip


class Calls(list):
    """What was asked for."""


@pytest.fixture
def played(monkeypatch):
    """What `evaluate` was asked for, by a stand-in that flips a coin per episode."""
    calls, whose = Calls(), []
    calls.whose = whose  # training seeds

    def evaluate(
        policy, env, episodes, seed, envs, progress, first, execute=None, rule="", training_seed=None, warm=None
    ):
        whose.append(training_seed)
        calls.append((policy.guide, float(policy.weight), env, seed, first, episodes))
        rng = np.random.default_rng([seed, first, episodes, round(1e3 * float(policy.weight))])
        numbers = {name: rng.uniform(size=episodes) for name in ("returns", "lengths", "value", "ratio")}
        clock = np.random.default_rng()
        return Score(
            env, seed, rng.uniform(size=episodes) < 0.5, **numbers, skipped=np.zeros(episodes), first=first,
            seconds=clock.uniform(1, 99), decision_ms=clock.uniform(1, 99), weight=float(policy.weight), gflop=0.25,
            stream=SHARED if training_seed is None else OWN,
        )  # fmt: skip

    monkeypatch.setattr(qgf.playing.ledger, "evaluate", evaluate)
    return calls


def player(folder, **changes):
    given = dict(policy=lambda: POLICY, env=ENV, ledger=Ledger(folder / "episodes.csv"), train="lab", updates=100)
    return Player(**given | changes)


BLOCK = dict(split="tuning", seed=1, first=0, episodes=4)


def test_what_is_found_is_not_played_again(played, tmp_path):
    one = player(tmp_path)
    row = one.play(Arm("qgf", 2.0), **BLOCK)
    assert one.play(Arm("qgf", 2.0), **BLOCK) == row
    assert played == [("qgf", pytest.approx(2 * 2**0.5), ENV, 1, 0, 4)]
    later = player(tmp_path, policy=lambda: pytest.fail("needed"), envs=lambda: pytest.fail("opened"))
    assert later.play(Arm("qgf", 2.0), **BLOCK) == row
    assert len(played) == 1


def test_one_and_one_point_nought_are_the_same_strength(played, tmp_path):
    one = player(tmp_path)
    assert one.play(Arm("qgf", 1), **BLOCK) == one.play(Arm("qgf", 1.0), **BLOCK)
    assert len(played) == 1
    one.play(Arm("qgf", 1.0000001), **BLOCK)
    assert len(played) == 2


@pytest.mark.parametrize(
    "arm, block, changes",
    [
        (dict(guide="ood"), {}, {}),
        (dict(strength=1.5), {}, {}),
        (dict(strength=None, weight=2.0), {}, {}),
        (dict(best_of=2), {}, {}),
        (dict(steps=5), {}, {}),
        (dict(schedule="linear"), {}, {}),
        (dict(members="mean"), {}, {}),
        (dict(members="0"), {}, {}),
        (dict(choose="min"), {}, {}),
        (dict(robust=True), {}, {}),
        (dict(fallback="capped"), {}, {}),
        (dict(cap_step=0.5), {}, {}),
        (dict(cap_dim=2), {}, {}),
        (dict(execute=2, warm=0.5), {}, {}),
        (dict(solver="midpoint"), {}, {}),
        (dict(guide_steps=5), {}, {}),
        (dict(metric="sigma"), {}, {}),
        (dict(guided_dims="0"), {}, {}),
        ({}, dict(split="held-out"), {}),
        ({}, dict(seed=2), {}),
        ({}, dict(first=4), {}),
        ({}, dict(episodes=5), {}),
        ({}, {}, dict(env="maze-task2")),
        ({}, {}, dict(train="other")),
        ({}, {}, dict(policy_seed=1)),
        ({}, {}, dict(updates=200)),
    ],
)
def test_whatever_differs_is_played(played, tmp_path, arm, block, changes):
    basis = Arm("qgf", 2.0)
    player(tmp_path).play(basis, **BLOCK)
    row = player(tmp_path, **changes).play(dataclasses.replace(basis, **arm), **BLOCK | block)
    assert len(played) == 2
    ledger = Ledger(tmp_path / "episodes.csv")
    assert len(ledger.rows) == 2 and row in ledger.rows.values()


def test_a_row_says_what_was_played(played, tmp_path):
    row = player(tmp_path, policy_seed=3).play(Arm("qgf", 0.5, best_of=4, schedule="linear"), "held-out", 7, 10, 20)
    expected = dict(
        env=ENV, train="lab", policy_seed=3, updates=100, guide="qgf", strength=0.5, weight=None, best_of=4,
        steps=None, schedule="linear", split="held-out", seed=7, first=10, episodes=20,
    )  # fmt: skip
    assert dict(zip((*KEY, *LATER), row.key, strict=True)) == expected | LATER | dict(stream=OWN)
    assert row.arm == Arm("qgf", 0.5, best_of=4, schedule="linear")
    assert row.raw_weight == pytest.approx(0.5 * 2**0.5, rel=1e-5)
    assert row.won.dtype == bool and (len(row.won), row.won.sum()) == (20, row.successes)
    assert_array_equal(row.won, [x == "1" for x in row.outcomes])
    (read,) = Ledger(tmp_path / "episodes.csv").rows.values()
    assert read == row


def test_a_ledger_begun_before_runs_had_episodes_of_their_own_goes_on_with_those_it_has(played, tmp_path):
    new = player(tmp_path, policy_seed=3)
    new.play(Arm("qgf", 0.5), **BLOCK)
    player(tmp_path, policy_seed=3, training_seed=7).play(Arm("qgf", 1.0), **BLOCK)
    assert played.whose == [3, 7]
    path = tmp_path / "old" / "episodes.csv"
    text = (tmp_path / "episodes.csv").read_text()
    assert ",stream," in text
    path.parent.mkdir()
    rows = [msgspec.structs.replace(row, stream=SHARED) for row in new.ledger.rows.values()]
    write_csv(path, rows, columns(rows))
    assert ",stream," not in path.read_text()
    old = player(path.parent, policy_seed=3)
    assert old.play(Arm("qgf", 0.5), **BLOCK).stream == SHARED and len(played) == 2  # found, not played
    old.play(Arm("qgf", 2.0), **BLOCK)
    assert played.whose[2:] == [None]
    assert {row.stream for row in Ledger(path).rows.values()} == {SHARED}


ARMS = [Arm("none"), Arm("ood", 1.0), *(Arm("qgf", s) for s in (0.25, 2, 10)), Arm("qgf", weight=3e-5)]
JOBS = [(arm, first) for arm, first in itertools.product(ARMS, (0, 8, 24))]


def fill(folder, jobs, restart=False):
    one = player(folder)
    for arm, first in jobs:
        (player(folder) if restart else one).play(arm, "tuning", 1, first, 4)
    return (folder / "episodes.csv").read_bytes()


def test_a_chunk_played_in_part_is_another_arm_and_alone_makes_a_column(played, tmp_path):
    one = player(tmp_path)
    one.play(Arm("qgf", 0.5), "held-out", 7, 0, 20)
    path = one.ledger.path
    assert "execute" not in path.read_text()
    one.play(Arm("qgf", 0.5, execute=2), "held-out", 7, 0, 20)
    assert "execute" in path.read_text().splitlines()[0].split(",")
    again = player(tmp_path)
    for arm in (Arm("qgf", 0.5, execute=2), Arm("qgf", 0.5)):
        assert again.play(arm, "held-out", 7, 0, 20).arm == arm
    assert len(played) == 2


def test_ways_to_ask_an_ensemble_are_columns_only_where_one_was_asked_otherwise(played, tmp_path):
    one = player(tmp_path)
    one.play(Arm("qgf", 0.5), "held-out", 7, 0, 20)
    before = one.ledger.path.read_text()
    assert not {"members", "choose", "robust"} & set(before.splitlines()[0].split(","))
    others = [Arm("qgf", 0.5, members="0", choose="others", best_of=4), Arm("qgf", 0.5, members="min", robust=True)]
    for arm in others:
        one.play(arm, "held-out", 7, 0, 20)
    again = player(tmp_path, policy=lambda: pytest.fail("needed"))
    assert [again.play(arm, "held-out", 7, 0, 20).arm for arm in others] == others
    assert again.play(Arm("qgf", 0.5), "held-out", 7, 0, 20).arm == Arm("qgf", 0.5) and len(played) == 3


def test_rows_are_sorted_by_size_and_the_order_of_playing_leaves_no_trace(played, tmp_path):
    bytes_ = {fill(tmp_path / "straight", JOBS), fill(tmp_path / "restarted", JOBS, restart=True)}
    for seed in range(5):
        jobs = random.Random(seed).sample(JOBS, len(JOBS))
        bytes_.add(fill(tmp_path / str(seed), jobs, restart=seed % 2 == 0))
    assert len(bytes_) == 1
    lines = [line.split(",") for line in bytes_.pop().decode().splitlines()[1:]]
    at = KEY.index
    assert [line[at("guide")] for line in lines] == ["none"] * 3 + ["ood"] * 3 + ["qgf"] * 12
    guided = [line for line in lines if line[at("guide")] == "qgf" and line[at("strength")]]
    assert [line[at("strength")] for line in guided] == ["0.25"] * 3 + ["2"] * 3 + ["10"] * 3
    assert [line[at("first")] for line in guided] == ["0", "8", "24"] * 3


def test_the_order_in_memory_is_that_of_the_file(played, tmp_path):
    one = player(tmp_path)
    for arm, first in reversed(JOBS):
        one.play(arm, "tuning", 1, first, 4)
    assert list(one.ledger.rows) == list(Ledger(tmp_path / "episodes.csv").rows)


def test_clocks_are_kept_apart(played, tmp_path):
    fill(tmp_path, JOBS[:2])
    text = (tmp_path / "episodes.csv").read_text()
    assert not {"seconds", "decision_ms", "gflop"} & set(text.splitlines()[0].split(","))
    costs = Ledger(tmp_path / "episodes.csv").costs
    assert [(c.env, c.train, c.arm, c.gflop) for c in costs] == [(ENV, "lab", "none", 0.25)] * 2
    assert all(1 <= c.decision_ms <= 99 and 1 <= c.seconds <= 99 for c in costs)


def test_costs_tell_arms_of_different_steps_apart(played, tmp_path):
    one = player(tmp_path)
    for steps in (None, 5, 20):
        one.play(Arm("qgf", 1.0, steps=steps), **BLOCK)
    assert len({cost.arm for cost in one.ledger.costs}) == 3


def test_a_write_that_fails_leaves_the_old_file_and_the_block_unplayed(played, tmp_path, monkeypatch):
    one = player(tmp_path)
    one.play(Arm("qgf", 1.0), **BLOCK)
    before = (tmp_path / "episodes.csv").read_bytes()
    write = os.replace

    def full(source, target):
        if target.name == "episodes.csv":
            raise OSError(28, "No space left on device")
        write(source, target)

    monkeypatch.setattr(os, "replace", full)
    for _ in range(2):  # asked again, it is played again: it was never kept
        with pytest.raises(UserError, match=r"episodes\.csv: cannot be written \(No space left"):
            one.play(Arm("qgf", 2.0), **BLOCK)
    monkeypatch.undo()
    assert len(played) == 3
    assert (tmp_path / "episodes.csv").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} - BOOKKEEPING == {SUMS, "costs.csv", "episodes.csv"}


def test_no_row_is_ever_without_its_cost(played, tmp_path, monkeypatch):
    """Nor a cost without its row: killed between the two files, both are written again."""
    write = qgf.playing.ledger.write_csv

    def killed(path, *rest):
        if path.name == "episodes.csv":
            raise KeyboardInterrupt
        write(path, *rest)

    monkeypatch.setattr(qgf.playing.ledger, "write_csv", killed)
    with pytest.raises(KeyboardInterrupt):
        player(tmp_path).play(Arm("qgf", 1.0), **BLOCK)
    monkeypatch.undo()
    assert (tmp_path / "costs.csv").read_text().count("\n") == 2
    ledger = Ledger(tmp_path / "episodes.csv")
    assert (len(ledger.rows), len(ledger.costs)) == (0, 0)  # that cost is of episodes that are played again


@pytest.mark.parametrize("file, column", [("episodes.csv", "outcomes"), ("episodes.csv", "env"), ("costs.csv", "arm")])
def test_a_missing_column_is_named(played, tmp_path, file, column):
    fill(tmp_path, JOBS[:3])
    header, *lines = (tmp_path / file).read_text().splitlines()
    (tmp_path / file).write_text("\n".join([header.replace(column, "x" + column), *lines]))
    with pytest.raises(UserError, match=rf"{file}: column {column} is missing; move the file away"):
        Ledger(tmp_path / "episodes.csv")


def spoil(path, how):
    text = path.read_text()
    lines = text.splitlines()
    spoilt = {
        "cut in a line": text[: len(text) - len(lines[-1]) // 2],
        "a cell too many": text.replace(lines[2], lines[2] + ",1"),
        "outcomes do not fit": text.replace(lines[2], lines[2][:-1]),
        "no outcomes": text.replace(lines[2], lines[2][:-4] + "won!"),
        "a word for a number": text.replace(lines[2], lines[2].replace(",1,8,4,", ",1,eight,4,")),
    }
    assert spoilt[how] != text
    path.write_text(spoilt[how])


@pytest.mark.parametrize(
    "how", ["cut in a line", "a cell too many", "outcomes do not fit", "no outcomes", "a word for a number"]
)
def test_a_damaged_line_is_named(played, tmp_path, how):
    fill(tmp_path, JOBS[:3])
    spoil(tmp_path / "episodes.csv", how)
    line = 4 if how == "cut in a line" else 3
    said = {
        "cut in a line": "has .* cells, the header 26",
        "a cell too many": "has 27 cells, the header 26",
        "outcomes do not fit": "outcomes do not fit the counts",
        "no outcomes": "outcomes do not fit the counts",
        "a word for a number": ', episodes|first: expected a whole number >= [01], got "eight"',
    }
    with pytest.raises(UserError, match=rf"episodes\.csv: at line {line}.*{said[how]}.*delete the line") as caught:
        Ledger(tmp_path / "episodes.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02,\xff\xfe\n\x80", b"\x89PNG\r\n\x1a\n\0\0\0"])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "episodes.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"episodes\.csv: .* move the file away") as caught:
        Ledger(tmp_path / "episodes.csv")
    assert "\n" not in str(caught.value)


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "episodes.csv").mkdir()
    with pytest.raises(UserError, match=r"episodes\.csv: cannot be read"):
        Ledger(tmp_path / "episodes.csv")


def test_columns_that_somebody_added_do_no_harm(played, tmp_path):
    whole = fill(tmp_path / "a", JOBS[:4])
    fill(tmp_path / "b", JOBS[:3])
    path = tmp_path / "b" / "episodes.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},note", *(f"{line},mine" for line in lines)]) + "\n")
    assert fill(tmp_path / "b", JOBS[:4]) == whole
    assert len(played) == 4 + 3 + 1


def by_hand(spec, method, steps=10):
    """2 M N K of every product of the flow, GFLOP."""
    sizes = [spec.obs_dim + spec.d + 9, *[method.width] * method.depth, spec.d]
    return steps * sum(2 * m * n for m, n in itertools.pairwise(sizes)) / 1e9


def test_the_operations_of_the_cloned_policy_are_those_counted_by_hand(tiny_run):
    from qgf.training.trained import load_trained

    trained = load_trained(tiny_run.directory)
    spec, method = trained.spec, trained.method
    one = ObsSpec.of(spec.obs_dim)
    flow = by_hand(spec, method)
    critic = [spec.obs_dim + spec.d, *[method.width] * method.depth, 1]
    critic = method.critic.critics * sum(2 * m * n for m, n in itertools.pairwise(critic)) / 1e9
    count = lambda arm: gflop_per_action(arm.of(trained.policy()), one)
    assert count(Arm("none")) == pytest.approx(flow, rel=1e-12)
    assert count(Arm("none", steps=5)) == pytest.approx(flow / 2, rel=1e-12)
    assert count(Arm("none", best_of=4)) == pytest.approx(4 * (flow + critic), rel=1e-12)
