"""What commands print: progress, tables, and what to try next."""

from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False)


@contextmanager
def bar(name, unit, keep=True):
    """A progress bar with time left; tell(done, total, note, name). A new name is a new bar, below the others or below
    those that are not done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn(unit))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, *times, console=console) as bar:
        tasks: dict = {}

        def tell(done, total, note="", name=name):
            if name not in tasks:
                for task in [task for task in bar.tasks if task.finished and not keep]:
                    bar.remove_task(tasks.pop(task.description))
                tasks[name] = bar.add_task(name, total=total, note="")
            bar.update(tasks[name], completed=done, total=total, note=note)

        yield tell


def closing(wrote, following):
    """The last lines of a command: what it wrote, and what to try next."""
    console.print(f"{escape(wrote)}\nnext: [bold]{escape(following)}[/bold]", soft_wrap=True)
