"""`qgf report`: Write one page about a run that opens from disk."""

import webbrowser
from pathlib import Path

import tyro

from qgf.cli.printing import closing


def report(run: tyro.conf.Positional[Path], /, open: bool = False):
    """Write report.html and figures/ of a run.

    Args:
        run: The run's directory.
        open: Open the page in a browser.
    """
    from qgf.pages.report import report as write

    page = write(run)
    if open:
        webbrowser.open(page.resolve().as_uri())
    closing(f"wrote {page}", *(() if open else ("report", run, "--open")))
