"""A few kills of each command; `make storm` tries them all."""

import shutil

import pytest

import processes
from storm.operations import Operations
from storm.trial import Storm, content

FEW = {
    "train": 5, "train again": 2, "collect": 2, "convert": 20, "convert to shards": 15,
    "train through a window": 3, "export": 3, "evaluate": 3, "tune": 2, "report": 2,
    "compare": 1,
}  # fmt: skip
"""Kills of each command here, spread evenly over its operations; what analyse trains and measures takes too long."""


@pytest.fixture(scope="module")
def operations():
    return Operations()


@pytest.mark.parametrize("name", FEW)
def test_a_killed_command_called_again_ends_as_if_nothing_had_been(name, operations, maze_folder, tmp_path):
    storm = Storm(name, tmp_path / "storm", maze_folder, operations)
    several = min(FEW[name], len(storm.seen))
    tried = [1 + (2 * k + 1) * len(storm.seen) // (2 * several) for k in range(several)]
    wrong = {storm.seen[number - 1]: found for number in tried if (found := storm.strike(number))}
    assert not wrong


ONCE = """
import sys
from pathlib import Path
from storm.commands import COMMANDS, call
from storm.operations import Operations, kill
name, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with Operations().below(folder, number, kill):
    print(call(COMMANDS[name].arguments, folder))
"""


def test_an_exception_stands_for_a_kill(operations, maze_folder, tmp_path):
    """A process that is really killed leaves the same files; and what it leaves is continued."""
    storm = Storm("export", tmp_path / "storm", maze_folder, operations)
    number = next(k for k, operation in enumerate(storm.seen, 1) if operation.startswith("chmod "))  # a file is written
    left = []
    for stop in ("exception", "kill"):
        shutil.rmtree(storm.work)
        shutil.copytree(storm.start, storm.work)
        if stop == "exception":
            storm.stop(number)
        else:
            program = processes.start(ONCE, "export", storm.work, number)
            assert program.wait(600) == -9  # of a busy machine, too
        left.append({name.split(".")[0] if name.endswith(".part") else name for name in content(storm.work)})
    assert left[0] == left[1] != set(storm.whole), storm.seen
    assert storm.again() == ""
