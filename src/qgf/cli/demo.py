"""`qgf demo`."""

import webbrowser
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from qgf.cli.evaluate import play_arms, print_scores
from qgf.cli.printing import bar, closing
from qgf.cli.train import run_training
from qgf.training.config import TrainConfig
from qgf.training.methods import METHODS


def demo(out: Path = Path("runs/demo"), open: bool = False):
    """Everything once, in minutes: collect pointmaze-medium, train, guide, evaluate on 50 episodes, report.

    Args:
        out: Run directory; its data goes to a folder demo-data beside it.
        open: Open the report in a browser.
    """
    from qgf.environments.datasets import load_dataset
    from qgf.environments.ogbench.collect import collect as make_data
    from qgf.pages.report import report as write
    from qgf.playing.arm import arms

    began = perf_counter()
    name, data = "pointmaze-medium-navigate", out.parent / "demo-data"
    if not (data / f"{name}-v0.npz").exists():
        with bar("collecting", "transitions") as tell:
            make_data(name, 100_000, directory=data, progress=lambda done, total: tell(done, total))
    dataset = load_dataset(f"{name}-singletask-task1-v0", data)
    run = run_training(dataset, replace(TrainConfig(), steps=10_000, method=METHODS["bc"](width=128)), out)
    chosen = arms(("none", "ood", "qgf")) + arms(("none",), best_of=(4,)) + arms(("qgf",), (0.1, 0.3, 3.0))
    scores = play_arms(run, chosen)
    print_scores(scores)
    page = write(run.directory)
    if open:
        webbrowser.open(page.resolve().as_uri())
    closing(
        f"wrote {page} in {perf_counter() - began:.0f} s; open it in a browser",
        f"qgf evaluate {out} --guide all --strength 0.5 1 2",
    )
