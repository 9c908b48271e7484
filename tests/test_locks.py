"""One process at a time, on one machine or several."""

import fcntl
import os
import signal
import socket

import pytest

import processes
from qgf.errors import UserError
from qgf.files import is_temporary, locked, locks, turn, write_text
from qgf.files.locks import LOCK, TURN

HOLD = """
import sys, time
from pathlib import Path
from qgf.files import locks
if len(sys.argv) > 3:
    locks.shared, locks.LEASE = lambda directory: True, 1.0
with locks.locked(sys.argv[1]):
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""
ADD = """
import sys
from pathlib import Path
from qgf.files import turn, write_text
for _ in range(int(sys.argv[2])):
    with turn(sys.argv[1]):
        path = Path(sys.argv[1], "sum")
        write_text(path, str(int(path.read_text()) + 1))
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds tmp_path/held; it has `shared` eyes if asked."""
    started = []

    def start(*shared):
        program = processes.start(HOLD, tmp_path / "held", tmp_path / "flag", *shared)
        started.append(program)
        processes.wait_until((tmp_path / "flag").exists, program)
        return program

    yield start
    for program in started:
        processes.clear(program)


def test_who_holds_a_folder_is_said_and_nothing_is_left_of_it(holder, tmp_path):
    program = holder()
    with pytest.raises(UserError) as caught, locked(tmp_path / "held"):
        pytest.fail("two hold it")
    assert f"process {program.pid} on {socket.gethostname()} since " in str(caught.value)
    processes.kill(program)
    with locked(tmp_path / "held"):
        assert str(os.getpid()) in (tmp_path / "held" / LOCK).read_text()
    assert (tmp_path / "held" / LOCK).read_text() == ""
    assert os.listdir(tmp_path / "held") == [LOCK]


def test_turns_add_up(tmp_path):
    (tmp_path / "sum").write_text("0")
    programs = [processes.start(ADD, tmp_path, 25) for _ in range(4)]
    assert [program.wait(120) for program in programs] == [0] * 4
    assert (tmp_path / "sum").read_text() == "100"


def test_a_turn_that_never_comes_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with turn(tmp_path), pytest.raises(UserError, match="is being written by another process"), turn(tmp_path):
        pytest.fail("two have it")
    with turn(tmp_path):
        pass


@pytest.fixture(params=["none", "nothing"])
def without_locks(request, monkeypatch):
    """A file system whose locks are missing, or keep nobody out."""

    def flock(handle, operation):
        if request.param == "none":
            raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "LEASE", 0.4)


@pytest.mark.parametrize("take, name", [(locked, LOCK), (turn, TURN)])
def test_where_locks_do_not_work_a_file_says_who(tmp_path, without_locks, monkeypatch, take, name):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with take(tmp_path):
        assert socket.gethostname() in (tmp_path / f"{name}.lease").read_text()
        with pytest.raises(UserError, match="is being written by another process"), take(tmp_path):
            pytest.fail("two hold it")
    with take(tmp_path):
        pass
    assert f"{name}.lease" not in os.listdir(tmp_path)


def test_on_a_file_system_of_several_machines_the_dead_are_told_from_the_living(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "shared", lambda directory: True)
    monkeypatch.setattr(locks, "LEASE", 1.0)
    program = holder("shared")
    lease = tmp_path / "held" / f"{LOCK}.lease"
    assert f"pid={program.pid}" in lease.read_text()
    with pytest.raises(UserError, match=f"process {program.pid} on"), locked(tmp_path / "held"):
        pytest.fail("two hold it")
    processes.kill(program)
    assert lease.exists()
    with locked(tmp_path / "held"):  # its process is gone: at once
        assert f"pid={os.getpid()}" in lease.read_text()
    assert not lease.exists()


def test_a_machine_that_gives_no_sign_of_life_is_taken_for_dead(holder, tmp_path, monkeypatch):
    """Another host's process cannot be asked: its lease is taken over when nothing has touched it for so long."""
    program = holder("shared")
    held, lease = tmp_path / "held", tmp_path / "held" / f"{LOCK}.lease"
    foreign = lease.read_text().replace(f"host={socket.gethostname()}", "host=elsewhere")
    assert foreign != lease.read_text()
    processes.kill(program)
    lease.write_text(foreign)
    monkeypatch.setattr(locks, "shared", lambda directory: True)
    monkeypatch.setattr(locks, "LEASE", 1.0)
    with locked(held):
        assert "elsewhere" not in lease.read_text()


def test_this_machines_disks_are_its_own(tmp_path):
    assert not locks.shared(tmp_path)


KILLED = """
import os, signal, sys
from qgf.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_a_file_that_the_next_one_sweeps(tmp_path):
    program = processes.start(KILLED, tmp_path / "a.json")
    assert program.wait(60) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert is_temporary(left) and left.read_text() == "half"
    write_text(tmp_path / "b.json", "{}")
    assert os.listdir(tmp_path) == ["b.json"]
