"""`qgf status`: what a run and a study are, how far, and what to doubt."""

import json
import shutil
from os import getpid
from pathlib import Path
from socket import gethostname

import pytest

from qgf.cli.main import main
from qgf.files import SUMS, locked
from qgf.laboratory.standing import Standing, left_of_all
from qgf.pages.report import report

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "cube-single"


def test_a_finished_run_says_what_it_is_and_what_comes_next(tiny_run, capsys):
    main(["status", str(tiny_run.directory)])
    said = capsys.readouterr().out
    assert "bc with critic iql on pointmaze-medium-navigate-singletask-task1-v0" in said
    assert "400 of 400 updates, checkpoints at 200, 400" in said and "loss/flow" in said and "doubt" not in said
    assert f"next: qgf evaluate {tiny_run.directory}" in said


def test_doubts_are_on_the_page_and_in_the_status(tiny_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.directory, run, ignore=shutil.ignore_patterns(SUMS))
    record = json.loads((run / "config.json").read_text())
    record["data"]["look_at"] = ["every reward is 0"]
    (run / "config.json").write_text(json.dumps(record))
    head, *rows = (run / "metrics.csv").read_text().splitlines()
    rows = [f"{row},{x}" for row, x in zip(rows, (0.9, 0.9, 0.9, 0.02), strict=True)]
    text = "\n".join([f"{head},critic/agreement", *rows]).replace("\n400,", "\n4000,") + "\n"
    (run / "metrics.csv").write_text(text)
    main(["status", str(run)])
    said = capsys.readouterr().out
    assert "doubt: every reward is 0" in said and "mean cosine of their gradients 0.02" in said
    page = report(run).read_text(encoding="utf-8")
    assert "<b>Doubt:</b> every reward is 0." in page and "gradients 0.02" in page


def test_a_study_and_what_is_neither(tmp_path, capsys):
    main(["status", str(RESULTS)])
    said = capsys.readouterr().out
    assert "cube-single-play-singletask-task2-v0: 1,700 held-out episodes" in said and "its tables are written" in said
    with pytest.raises(SystemExit):
        main(["status", str(tmp_path)])
    assert "neither a run (config.json) nor a study's results (episodes.csv)" in capsys.readouterr().err


STUDY = """
[sweep]
seeds = [0, 1]
width = [8, 16]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
[train.tiny]
steps = 800
log_every = 100
batch_size = 32
depth = 1
[method.qgf]
strength = 1
"""


def test_the_runs_of_a_study_file_done_running_and_waiting(tiny_run, tmp_path, capsys):
    (tmp_path / "few.toml").write_text(STUDY)
    main(["status", str(tmp_path / "few.toml"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "0 of 8 runs, 0 of 12 blocks" in said
    name = "pointmaze-medium-navigate-task{}-tiny-width-{}-seed{}".format
    lines = {line.split()[0]: line for line in said.splitlines() if "tiny" in line}
    assert "to do" in lines[name(1, 8, 0)] and "0 of 800" in lines[name(1, 8, 0)]
    assert "waiting" in lines[name(2, 16, 1)] and lines[name(2, 16, 1)].count(name(1, 16, 1)) == 1
    began = tmp_path / "out" / "runs" / name(1, 8, 0)
    shutil.copytree(tiny_run.directory, began, ignore=shutil.ignore_patterns("policy"))  # half of the updates
    with locked(began):
        main(["status", str(tmp_path / "few.toml"), "--out", str(tmp_path / "out")])
        said = capsys.readouterr().out
        assert "left of all trainings, at this pace" in said.splitlines()[-1]
        (line,) = (x for x in said.splitlines() if x.split()[:1] == [name(1, 8, 0)])
        assert f"running  {gethostname()}, process {getpid()}" in line and "400 of 800" in line and ":" in line
    (began / ".lock").write_text(f"qgf train, process 4194305 on {gethostname()} since today")  # it was killed
    main(["status", str(tmp_path / "few.toml"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    (line,) = (x for x in said.splitlines() if x.split()[:1] == [name(1, 8, 0)])
    assert "to do" in line and "left of all" not in said


def test_the_time_left_of_a_study_is_that_of_all_its_updates_at_the_pace_of_those_that_run():
    runs = [Standing("a", "running", 400, 800, left=40.0), Standing("b", "running", 600, 800, left=40.0)]
    assert left_of_all([*runs, Standing("c", "done", 800, 800), Standing("d", "waiting", 0, 900)]) == 1500 / 15
    assert left_of_all([Standing("d", "waiting", 0, 900)]) is None
