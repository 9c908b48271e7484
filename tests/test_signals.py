"""Signals that wait until what must be finished is."""

import os
import signal
import threading

import pytest

from qgf.signals import Terminated, held_back, terminable


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal, which a handler of the test's own notes."""
    before = signal.signal(request.param, lambda number, frame: CAME.append(number))
    CAME.clear()
    yield request.param
    signal.signal(request.param, before)


CAME: list[int] = []


def test_a_signal_waits_for_the_end_of_the_block_and_then_does_what_it_does(number):
    with held_back() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and CAME == []
    assert [number] == CAME
    signal.raise_signal(number)
    assert [number, number] == CAME


def test_the_second_one_does_not_wait(number):
    with held_back() as stop:
        signal.raise_signal(number)
        assert stop and CAME == []
        signal.raise_signal(number)
        assert [number] == CAME
    assert [number] == CAME


def test_some_work_is_left_early_and_its_errors_with_it(number):
    def work():
        signal.raise_signal(number)
        pytest.fail("it goes on")

    with held_back() as stop:
        assert stop.unless(lambda: 3) == 3
        assert stop.unless(work) is None
        assert stop.unless(lambda: pytest.fail("it begins after a signal")) is None
        assert stop and CAME == []
    assert [number] == CAME


def test_without_a_signal_errors_are_errors(number):
    with pytest.raises(ValueError), held_back() as stop:
        stop.unless(lambda: int("x"))
    assert CAME == []


def test_a_signal_counts_more_than_the_error_that_it_caused():
    """As when the processes that a program waits for are terminated with it."""
    with pytest.raises(Terminated), terminable(), held_back():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError


def test_terminated_is_an_exception_only_where_a_program_asks_for_it():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_ignored_stays_ignored_and_other_threads_hold_nothing_back():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop
    finally:
        signal.signal(signal.SIGINT, before)
    found = []

    def other():
        with held_back() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [False]
