"""`qgf export`: Make a run's policy of one of its checkpoints, finished or not."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.data import Where
from qgf.cli.printing import closing
from qgf.errors import UserError


def export(
    run: tyro.conf.Positional[Path],
    /,
    step: Optional[int] = None,
    best: bool = False,
    data_dir: Where = None,
):
    """Write the policy of a run, which evaluate and all else take, from a checkpoint: of an interrupted run, too.

    Args:
        run: The run's directory.
        step: The updates of the checkpoint to take, by default the newest that there is.
        best: Take the best policy that was played while training (`qgf train --eval-every`) instead.
        data_dir: The folder of datasets, or the data themselves; without this option where the run found its data,
            $QGF_DATA or ~/.ogbench/data.
    """
    from qgf.cli.evaluate import environment_of
    from qgf.environments.datasets import dataset_of
    from qgf.training.export import export as write
    from qgf.training.export import export_best
    from qgf.training.run import Run
    from qgf.training.trained import load_trained

    if best and step is not None:
        raise UserError("give --step or --best, not both")
    there = Run(run)
    folder = export_best(there) if best else write(there, dataset_of(there.record, data_dir), step)
    updates = load_trained(there.policy_dirs()[0]).updates
    following = ("evaluate", run) if environment_of(there) else ("analyse", run)
    closing(f"wrote {folder}, the policy after {updates} updates", *following)
