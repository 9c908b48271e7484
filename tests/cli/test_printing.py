"""What is printed: whole numbers at any width, names and paths as they are, commands that can be pasted."""

import shlex

import numpy as np
import pytest
from rich.console import Console

from qgf.cli import printing
from qgf.cli.evaluate import print_scores
from qgf.playing.arm import Arm
from qgf.playing.scores import Score

ARM = Arm("placebo:jacobian", weight=0.0375, best_of=16, steps=20, schedule="score")
NUMBERS = ("84 %", "71 to 92 %", "-123.4", "-45.60", "0.50", "12.30", "15.00")


def score(**changes):
    x = np.zeros(50)
    env = "cube-single-play-singletask-task2-v0"
    return Score(
        env, 0, np.arange(50) < 42, x - 123.4, x, x - 45.6, x + 0.5, x, 1.0, 12.3, 0.05, gflop=0.015, arm=ARM, **changes
    )


@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_narrow_terminal_folds_labels_and_cuts_no_number(width, capsys, monkeypatch):
    monkeypatch.setattr(printing, "console", Console(force_terminal=True, no_color=True, width=width, markup=False))
    print_scores([score(policy_seed=seed) for seed in (0, 1)])
    said = capsys.readouterr().out
    assert "…" not in said
    lines = [line for line in said.splitlines() if "84 %" in line]
    assert len(lines) == 2
    assert all(number in line for line in lines for number in NUMBERS)
    assert "placebo:jacobian" in said and "best-of-16" in said
    assert (f"{ARM.label}, seed 0 " in said) == (width == 200)  # else in several lines


def test_a_pipe_gets_every_label_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_scores([score(policy_seed=seed) for seed in (0, 1)])
    lines = capsys.readouterr().out.splitlines()
    assert [f"{ARM.label}, seed {seed}" in lines[1 + seed] for seed in (0, 1)] == [True, True]
    assert all(number in line for line in lines[1:3] for number in NUMBERS)


def test_a_pipe_gets_whole_progress_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with printing.bar("evaluating", "episodes") as tell:
        tell(3, 3, "2 solved", "placebo:[jacobian] :smile: of a long name, seed 1")
    assert "placebo:[jacobian] :smile: of a long name, seed 1 " in (said := capsys.readouterr().out)
    assert "3/3 episodes" in said and "2 solved" in said


def test_paths_print_as_they_are_and_commands_can_be_pasted(capsys, monkeypatch):
    folder = "runs/[red]my run[/red] :smile: " + "x" * 100
    printing.closing(f"wrote {folder}", "evaluate", folder, "--strength", 0.5)
    wrote, following = capsys.readouterr().out.splitlines()
    assert wrote == f"wrote {folder}"
    assert shlex.split(following) == ["next:", "qgf", "evaluate", folder, "--strength", "0.5"]
    monkeypatch.setattr(printing, "USED", [dict(file="my own.py", sha256="0"), dict(package="theirs", version="1")])
    printing.closing("done", "names")
    assert capsys.readouterr().out == "done\nnext: qgf --use 'my own.py' names\n"
    printing.closing("done")
    assert capsys.readouterr().out == "done\n"
