"""What commands print: progress, tables, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from qgf.plugins import USED

UNLIMITED = 10_000
"""Columns of what is no terminal: a file, a pipe, a log."""


class _Console(Console):
    """One that leaves it to the command line what becomes of a closed pipe."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise


console = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)  # names and paths print as they are

Tell = Callable[..., None]


@contextmanager
def bar(name: str, unit: str, keep: bool = True) -> Iterator[Tell]:
    """A progress bar with time left; tell(done, total, note, name). A new name is a new bar, below the others or below
    those that are not done.
    """
    plain = lambda text: TextColumn(text, markup=False)
    columns = (plain("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), plain(unit))
    times = (TimeElapsedColumn(), plain("left"), TimeRemainingColumn(), plain("{task.fields[note]}"))
    with Progress(*columns, *times, console=_console()) as bar:
        tasks: dict = {}

        def tell(done: int, total: int, note: str = "", name: str = name) -> None:
            if name not in tasks:
                for task in [task for task in bar.tasks if task.finished and not keep]:
                    bar.remove_task(tasks.pop(task.description))
                tasks[name] = bar.add_task(name, total=total, note="")
            bar.update(tasks[name], completed=done, total=total, note=note)

        yield tell


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, title: str | None = None) -> None:
    """A table whose first `words` columns fold where the terminal is narrow, and whose others are numbers, which are
    never cut: where even so it is too wide, its lines go on in the next line of the terminal.
    """
    rows = [list(row) for row in rows]
    table = Table(box=None, header_style="bold", padding=(0, 1), title=title)
    for i, name in enumerate(head):
        if i < words:
            table.add_column(Text(name), overflow="fold")
        else:
            whole = max(map(len, [name, *(row[i] for row in rows)]))
            table.add_column(Text(name), justify="right", no_wrap=True, min_width=whole)
    for row in rows:
        table.add_row(*map(Text, row))
    least = Measurement.get(console, console.options.update(width=UNLIMITED), table).minimum
    _console(least).print(table, crop=False)


def _console(least: int = 0) -> Console:
    """A console for what is laid out in columns: as wide as the terminal but no narrower than `least`, and without
    limit where there is no terminal.
    """
    width = max(console.width, least) if console.is_terminal else UNLIMITED
    return _Console(highlight=False, markup=False, emoji=False, width=width)


def closing(wrote: str, *following: object) -> None:
    """The last lines of a command: what it wrote, and the command of qgf to try next, given by its parts, with the
    files of the user's own that this one was given.
    """
    console.print(wrote)
    if following:
        own = [part for one in USED if "file" in one for part in ("--use", one["file"])]
        console.print(Text("next: ").append(shlex.join(["qgf", *own, *map(str, following)]), "bold"))
