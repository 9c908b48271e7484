"""The contract of engines: tasks in their order, deaths that cost nothing, mistakes that are told, nobody left over."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path
from queue import SimpleQueue

import pytest

from qgf.errors import UserError
from qgf.laboratory.engines.engine import Asked, Died, Here, perform
from qgf.laboratory.engines.local import TRIES, Local
from qgf.laboratory.engines.remote import begun, package
from qgf.processes import cores


def twice(x, tell):
    tell("twice", x)
    return 2 * x


def who(tell):
    return os.getpid()


def mistaken(tell):
    raise UserError("one clear line")


def fragile(path, times, tell):
    """Killed so many times, then the number of times it was begun."""
    with open(path, "a") as file:
        file.write(".")
    if path.stat().st_size <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return path.stat().st_size


def broken(tell):
    os._exit(7)


def long(path, tell):
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


@pytest.fixture
def local():
    said: SimpleQueue = SimpleQueue()
    engine = Local([cores()[:1], cores()[-1:]], [], lambda *words: said.put(words))
    engine.said = said
    yield engine
    engine.close()


def wait_until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_steps_are_done_after_those_that_they_need_and_what_tasks_say_is_heard():
    said: SimpleQueue = SimpleQueue()
    engine, heard, found = Here(lambda *words: said.put(words)), [], []
    steps = {4: [2], 1: [], 2: [1], 3: []}
    done = lambda step, future: found.append((step, future.result()))
    perform(engine, steps, lambda step: engine.submit(twice, step), done, said, lambda *words: heard.append(words))
    assert found == [(1, 2), (2, 4), (4, 8), (3, 6)]  # the first of those that can be begun
    assert heard == [("twice", step) for step, _ in found]


def test_one_process_performs_many_tasks_and_several_run_at_a_time(local):
    futures = [local.submit(who) for _ in range(6)]
    wait(futures)
    assert len({future.result() for future in futures}) <= 2 and os.getpid() not in {x.result() for x in futures}
    assert local.submit(twice, 4).result() == 8
    assert local.said.get_nowait() == ("twice", 4)


def test_a_task_whose_process_is_killed_is_begun_again_and_not_for_ever(local, tmp_path):
    assert local.submit(fragile, tmp_path / "once", 1).result() == 2
    with pytest.raises(Died, match="ended with status -9; fewer --jobs need less memory"):
        local.submit(fragile, tmp_path / "ever", 100).result()
    assert (tmp_path / "ever").stat().st_size == TRIES
    assert local.submit(twice, 1).result() == 2


def test_a_mistake_keeps_its_class_and_an_exit_is_not_tried_again(local):
    with pytest.raises(UserError, match=r"^one clear line$"):
        local.submit(mistaken).result()
    with pytest.raises(Died, match="ended with status 7"):
        local.submit(broken).result()


def test_closing_ends_what_runs(local, tmp_path):
    future = local.submit(long, tmp_path / "pid")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    local.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert (future.done() and future.exception() is not None) or future.cancelled()


STUDY = """
[[environment]]
name = "cube-single-play"
tasks = [1]
[train.t]
[method.qgf]
strength = 1
"""
FAR = """
import sys, signal
from qgf.laboratory.engines.remote import begun
from test_engines import long
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as submitit does
begun(long, (sys.argv[1],), [], 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_task_that_is_told_to_stop_ends_by_the_signal(tmp_path, number):
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = subprocess.Popen(
        [sys.executable, "-c", FAR, str(tmp_path / "pid")], env=os.environ | dict(PYTHONPATH=path)
    )
    wait_until((tmp_path / "pid").exists)
    program.send_signal(number)
    assert program.wait(60) == -signal.SIGTERM


def test_a_mistake_is_a_value_for_engines_that_try_errors_again():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        assert str(begun(mistaken, (), [], 1)) == "one clear line"
        assert begun(twice, (2,), [], 1) == 4
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.environ.pop("NPROC", None)


@pytest.mark.parametrize("name", ["ray", "submitit"])
def test_an_engine_that_is_not_installed_says_what_to_do(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    extra = dict(ray="ray", submitit="slurm")[name]
    with pytest.raises(UserError, match=rf"this engine needs {name}: pip install 'qgf\[{extra}\]'"):
        package(name, extra)


def test_what_is_asked_for():
    assert (Asked("ray:10.0.0.1:6379", 4, 0.5).name, Asked("ray:10.0.0.1:6379").where) == ("ray", "10.0.0.1:6379")
    for wrong in (dict(cpus=2), dict(gpus=1), dict(engine="local:x"), dict(engine="ray", cpus=0)):
        with pytest.raises(UserError):
            Asked(**wrong)


def test_an_unknown_engine_is_named_before_anything_is_done(tmp_path):
    from qgf.laboratory.compare import compare  # here, as workers import this file
    from qgf.laboratory.study import read_study

    (tmp_path / "one.toml").write_text(STUDY)
    with pytest.raises(UserError, match=r"unknown engine 'rai': did you mean 'ray'\? \(known: local, ray, slurm\)"):
        compare(read_study(tmp_path / "one.toml"), tmp_path / "out", tmp_path, engine=Asked("rai"))
    assert not (tmp_path / "out").exists()


def test_jobs_are_submitted_again_when_they_are_lost_and_tell_mistakes(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    from qgf.laboratory.engines.on_slurm import OnSlurm

    engine = OnSlurm(Asked("slurm:local"), [], tmp_path / "jobs", every=0.05)
    try:
        lost, wrong = engine.submit(fragile, tmp_path / "once", 1), engine.submit(mistaken)
        with pytest.raises(UserError, match=r"^one clear line$"):
            wrong.result(120)
        assert lost.result(120) == 2
    finally:
        engine.close()
    assert list((tmp_path / "jobs").glob("*.out")) and not list((tmp_path / "jobs").glob("%*"))  # named by their jobs


def test_a_cluster_without_slurm_is_one_line(tmp_path):
    pytest.importorskip("submitit")
    from qgf.laboratory.engines.on_slurm import OnSlurm

    with pytest.raises(UserError, match="--engine slurm:"):
        OnSlurm(Asked("slurm"), [], tmp_path / "jobs")
