"""Being told to stop: SIGINT (Ctrl-C) and SIGTERM (a machine that is taken away)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
STOP = (signal.SIGINT, signal.SIGTERM)


class Terminated(BaseException):
    """SIGTERM came, as KeyboardInterrupt is SIGINT."""


class Told(BaseException):
    """A signal came in a stretch that need not be finished (`Held.unless`)."""


class Held:
    """What became of signals that are held back."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._interruptible = False

    def __bool__(self) -> bool:
        """Whether one has come."""
        return self.number is not None

    def heard(self) -> None:
        """What has come did what it should: it is not raised again when the block ends."""
        self.number = None

    def unless(self, work: Callable[[], T]) -> T | None:
        """What `work` returns, which need not be finished: None if a signal has come, or comes meanwhile, whatever
        that breaks in it.
        """
        try:
            self._interruptible = True
            return None if self else work()
        except BaseException:
            if self:
                return None
            raise
        finally:
            self._interruptible = False


@contextmanager
def terminable() -> Iterator[None]:
    """Meanwhile SIGTERM raises Terminated, unless it is ignored."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def held_back() -> Iterator[Held]:
    """Hold SIGINT and SIGTERM back until the block ends; then the one that came does what it would have done. Who sends
    a second one does not want to wait: that one is let through. Outside the main thread nothing is held back.
    """
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.getsignal(number) for number in STOP}
    before = {number: x for number, x in before.items() if x not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: Any) -> None:
        if held:
            restore()
            held.number = None
            signal.raise_signal(number)
            return
        held.number = number
        if held._interruptible:
            raise Told

    for number in before:
        signal.signal(number, note)
    try:
        yield held
    except Told:  # at the very end of a stretch
        pass
    finally:
        restore()
        if held.number is not None:
            signal.raise_signal(held.number)


@contextmanager
def blocked() -> Iterator[None]:
    """Keep the signals from this thread, and from what it starts meanwhile, until they are unblocked there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Leave stopping to whoever started this process, which ends with it."""
    for number in STOP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
