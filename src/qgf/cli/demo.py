"""`qgf demo`: Everything once, in minutes: collect, train, guide, evaluate, report."""

import webbrowser
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Optional

from qgf.cli.evaluate import play_arms, print_scores
from qgf.cli.printing import bar, closing
from qgf.cli.train import run_training


def demo(out: Optional[Path] = None, quick: bool = False, open: bool = False):
    """Everything once, in minutes: collect pointmaze-medium, train, guide, evaluate on 50 episodes, report.

    Args:
        out: The run's directory, by default runs/demo, or runs/demo-quick; its data goes to a folder beside it.
        quick: A tenth of the data and of the updates and ten episodes: to see that all works, not how well.
        open: Open the report in a browser when it is written.
    """
    from qgf.environments import family_of
    from qgf.environments.datasets import load_dataset
    from qgf.pages.report import report as write
    from qgf.playing.arm import arms
    from qgf.training.config import TrainConfig
    from qgf.training.methods import METHODS

    began = perf_counter()
    transitions, updates, episodes = (10_000, 1_000, 10) if quick else (100_000, 10_000, 50)
    called, name = "demo-quick" if quick else "demo", "pointmaze-medium-navigate"
    out = out or Path("runs") / called
    data = out.parent / f"{called}-data"
    if not (data / f"{name}-v0.npz").exists():
        with bar("collecting", "transitions") as tell:
            family_of(name).collect(name, transitions, directory=data, progress=lambda done, total: tell(done, total))
    dataset = load_dataset(f"{name}-singletask-task1-v0", data)
    run = run_training(dataset, replace(TrainConfig(), steps=updates, method=METHODS["bc"](width=128)), out)
    chosen = arms(("none", "ood", "qgf")) + arms(("none",), best_of=(4,)) + arms(("qgf",), (0.1, 0.3, 3.0))
    print_scores(play_arms(run, chosen, episodes))
    page = write(run.directory)
    if open:
        webbrowser.open(page.resolve().as_uri())
    wrote = f"wrote {page} in {perf_counter() - began:.0f} s; open it in a browser"
    closing(wrote, "evaluate", out, "--guide", "all", "--strength", 0.5, 1, 2)
