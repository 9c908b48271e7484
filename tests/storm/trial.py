"""One kill: a command is stopped at an operation, called again, and what there is then compared."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from qgf.files import BOOKKEEPING, SUMS
from qgf.files.sums import states
from storm.commands import COMMANDS, alone, call, prepare
from storm.operations import Killed, Operations, close

INSIDE = re.compile(r"(checkpoints/\d+)/.*")


class Storm:
    """A command, what it leaves when nothing stops it, and its operations."""

    def __init__(self, name: str, where: Path, data: Path, operations: Operations):
        self.name, self.where, self.operations = name, where, operations
        self.start, self.work, command = where / "start", where / "work", COMMANDS[name]
        where.mkdir()
        with alone():
            prepare(name, self.start, data)
            shutil.copytree(self.start, self.work)
            with operations.below(self.work) as seen:
                status, said = call(command.arguments, self.work)
            assert status == 0, said
        self.seen, self.whole = list(seen), content(self.work)

    def strike(self, number: int) -> str:
        """Kill at an operation and call again. Returns what is wrong then, "" if nothing is."""
        shutil.rmtree(self.work)
        shutil.copytree(self.start, self.work)
        self.stop(number)  # what has fewer operations this time is not stopped
        return self.again()

    def stop(self, number: int) -> int:
        """Call the command and kill it at an operation; the operations that it had."""
        with alone(), suppress(Killed), self.operations.below(self.work, number) as seen:
            call(COMMANDS[self.name].arguments, self.work)
        close(self.work)
        return len(seen)

    def again(self) -> str:
        command = COMMANDS[self.name]
        with alone():
            status, said = call(command.arguments, self.work)
        return judged(self.whole, content(self.work), status, said, command.again)


def judged(whole: dict[str, bytes], now: dict[str, bytes], status: int, said: str, again: str) -> str:
    if status and not (again and status == 2 and again in said):
        return f"refused: {said}"
    if more := sorted(now.keys() - whole.keys()):
        return f"left over: {', '.join(more)}"
    if less := sorted(whole.keys() - now.keys()):
        return f"missing: {', '.join(less)}"
    if other := [name for name in whole if whole[name] != now[name]]:
        return f"other bytes: {', '.join(other)}"
    return ""


def content(root: Path) -> dict[str, bytes]:
    """Every file below a folder and what it holds; of a checkpoint, whose files have random names, that it is whole,
    and of sums which files have right ones.
    """
    found: dict[str, bytes] = {}
    for at, folders, names in os.walk(root):
        for name in names:
            path = Path(at, name)
            place = path.relative_to(root).as_posix()
            if name == SUMS:
                found[place] = repr(sorted(_generic(states(Path(at))))).encode()
            elif inside := INSIDE.search(place):
                found[place[: inside.start()] + inside[1]] = b""
            elif name in BOOKKEEPING:
                found[place] = b""  # who wrote last; a process that is gone holds nothing
            else:
                found[place] = path.read_bytes()
        if not folders and not names:
            found[f"{Path(at).relative_to(root).as_posix()}/"] = b""
    return found


def _generic(known: dict[str, str]) -> set[str]:
    """States by file, without the names that are random in a checkpoint."""
    return {f"{re.sub('[0-9a-f]{32}', '*', name)} {state}" for name, state in known.items()}
