"""`qgf distil`: Let a small network learn what a run's guide says, so that guidance costs next to nothing."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.data import Where
from qgf.cli.printing import bar, closing, console, print_table


def distil(
    run: tyro.conf.Positional[Path],
    /,
    guide: str = "qgf",
    strength: float = 1.0,
    members: str = "own",
    robust: bool = False,
    states: int = 16_384,
    updates: int = 20_000,
    width: Optional[int] = None,
    seed: int = 0,
    data_dir: Where = None,
):
    """Let a small network learn what a run's guide says, along guided and unguided paths from the states of its data;
    `--guide amortised` asks the network. Kept beside every policy of the run, which stays as it is.

    Args:
        run: The run's directory.
        guide: The teacher: any guide that adds a direction while denoising, your own (--use) too.
        strength: How hard the guided paths are pushed on average; the learned guide then takes any strength, in its
            teacher's unit.
        members: How the teacher asks the critic's ensemble: mean, min, lcb, the number of one, or own.
        robust: The unit of strength takes the largest tenth of the gradients for its least.
        states: States to learn at; a sixteenth as many, of the data held out if there are any, are for examining.
        updates: Updates of the network.
        width: Units of its two layers, by default half of the flow's, from 64 to 256.
        seed: Seed of the states, the noise and the network.
        data_dir: The folder of datasets, or the data themselves; without this option where the run found its data,
            $QGF_DATA or ~/.ogbench/data.
    """
    from qgf.environments.datasets import dataset_of
    from qgf.files import stays_inside, turn
    from qgf.training.distil import Study, distilled, states_of
    from qgf.training.lesson import write_lesson
    from qgf.training.run import Run
    from qgf.types import MOST

    there, study = Run(run), Study(states=states, updates=updates, width=width, seed=seed)
    stays_inside(run)
    taught, others = states_of(dataset_of(there.record, data_dir), there.config.horizon, study)
    rows = []
    for k, folder in enumerate(there.policy_dirs()):
        trained = there.trained(k)
        teacher = trained.policy().guided(guide, strength, members=members, robust=robust)
        with bar("learning", "") as tell:
            progress = lambda name, done, total, tell=tell: tell(done, total, name=name)
            (net, about), found = distilled(trained, teacher, taught, others, study, progress)
        with turn(run):
            path = write_lesson(folder, net, about)
        acts = "amortised" if found.error <= MOST else f"{about.teacher}: more than {MOST:.0%} is unexplained"
        rows.append([str(k), f"{found.error:.1%}", f"{found.cosine:.2f}", f"{found.norm:.2f}", acts])
    head = ("policy seed", "unexplained", "cosine", "size, of the teacher's", "--guide amortised is")
    print_table(head, rows)
    console.print(f"at {len(others)} states that it was not taught at, all times of guided and unguided paths")
    closing(f"wrote {path}", "evaluate", run, "--guide", "none", about.teacher, "amortised")
