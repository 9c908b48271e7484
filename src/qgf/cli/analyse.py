"""`qgf analyse`: Measure what the critic's gradient of a run is worth, from its data alone."""

import webbrowser
from pathlib import Path

import tyro

from qgf.cli.data import Where
from qgf.cli.printing import bar, closing, print_table


def analyse(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = (),
    updates: int = 5_000,
    states: int = 512,
    best_of: tuple[int, ...] = (1, 4, 16, 64),
    members: str = "own",
    choose: str = "own",
    robust: bool = False,
    beside: tuple[Path, ...] = (),
    seed: int = 0,
    data_dir: Where = None,
    open: bool = False,
):
    """Measure what the critic's gradient is worth: noise, Jacobians, Q reached, distance from the data, cost.

    Trains two critics on halves of the data, one that guides and one that judges; a second analysis reuses them.

    Args:
        run: The run's directory.
        guide: Guides to measure; without this option all that the run has the networks for. `qgf names guide` lists
            them.
        updates: Updates of each of the two critics, at most as many as the run itself had.
        states: Number of held-out states at which everything is measured.
        best_of: Numbers of unguided actions of which the best is taken, for comparison.
        members: How the critic's ensemble is asked for guidance: mean, min, lcb (mean - std / 2), the number of one, or
            own, as the critic does by itself.
        choose: The same for the best of several samples; others are the members that do not guide.
        robust: The unit of strength takes the largest tenth of the gradients for its least.
        beside: Instead of all that, measure how alike the gradients of this run's critics, one a seed, and of these
            runs' are: what training seeds do not agree on is noise. Nothing is trained.
        seed: Seed of the states and of the noise.
        data_dir: The folder of datasets, or the data themselves; without this option where the run found its data,
            $QGF_DATA or ~/.ogbench/data.
        open: Open the report in a browser when all is measured.
    """
    if beside:
        return _beside(run, beside, states, dict(members=members, robust=robust), seed, data_dir)
    from qgf.laboratory.analysis import Asked
    from qgf.laboratory.analysis import analyse as measure
    from qgf.pages.report import report as write

    with bar("analysing", "") as tell:
        progress = lambda name, done, total: tell(done, total, name=name)
        measure(run, guide, updates, states, best_of, data_dir, seed, progress, Asked(members, choose, robust))
    page = write(run)
    if open:
        webbrowser.open(page.resolve().as_uri())
    closing(f"wrote {run / 'analysis'} and {page}", "report", run, "--open")


def _beside(run, others, states, how, seed, data_dir):
    from qgf.laboratory.analysis import beside

    rows = beside(run, others, states, data_dir, seed, **how)
    numbers = lambda x: (f"{x.cosine:.2f}", f"{x.cosine_low:.2f} to {x.cosine_high:.2f}", f"{100 * x.steep:.0f} %")
    head = ("critic", "and", "cosine of grad Q", "95 % interval", "states with both")
    print_table(head, [[x.first, x.second, *numbers(x)] for x in rows], words=2)
    closing(f"wrote {run / 'analysis' / 'seeds.csv'}", "report", run)
