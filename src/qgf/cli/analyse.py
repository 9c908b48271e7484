"""`qgf analyse`."""

import webbrowser
from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import bar, closing


def analyse(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = (),
    updates: int = 5_000,
    states: int = 512,
    best_of: tuple[int, ...] = (1, 4, 16, 64),
    seed: int = 0,
    data_dir: Optional[Path] = None,
    open: bool = False,
):
    """Measure what the critic's gradient is worth: noise, Jacobians, Q reached, distance from the data, cost.

    Trains two critics on halves of the data, one that guides and one that judges; a second analysis reuses them.

    Args:
        run: Run directory.
        guide: Default all that the run can do, without the controls.
        updates: Of the two critics, at most the run's own number.
        states: Held-out states to measure at.
        best_of: Numbers of unguided actions to choose from, for comparison.
        seed: Of states and noise.
        data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
        open: Open the report in a browser.
    """
    from qgf.laboratory.analysis import analyse as measure
    from qgf.pages.report import report as write

    with bar("analysing", "") as tell:
        progress = lambda name, done, total: tell(done, total, name=name)
        measure(run, guide, updates, states, best_of, data_dir, seed, progress)
    page = write(run)
    if open:
        webbrowser.open(page.resolve().as_uri())
    closing(f"wrote {run / 'analysis'} and {page}", f"qgf tune {run}")
