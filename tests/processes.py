"""Programs that a test starts in order to kill them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import qgf


def start(code: str, *arguments, **options) -> subprocess.Popen:
    """A Python program of its own session that finds the package that is being tested; `options` are Popen's."""
    sources = str(Path(qgf.__file__).parents[1]), str(Path(__file__).parent)
    path = os.pathsep.join([*sources, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | dict(PYTHONPATH=path), start_new_session=True, **options)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the program ended before it could be killed"
        assert time.monotonic() < deadline, "the program never came so far"
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL for the program alone; what it started has to notice by itself."""
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def session_ends(process: subprocess.Popen, seconds: float) -> bool:
    """Whether every process that the program started ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def clear(process: subprocess.Popen) -> None:
    """End whatever is left of the program's session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
