"""`qgf train`."""

from dataclasses import replace
from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import bar, closing, console
from qgf.training.config import TrainConfig, to_json


def train_command(method):
    """`qgf train` for a training method and its critic, whose own options it offers."""

    def train(
        dataset: tyro.conf.Positional[str],
        /,
        config: tyro.conf.OmitArgPrefixes[TrainConfig] = TrainConfig(),
        method: tyro.conf.OmitArgPrefixes[type(method)] = method,
        out: Optional[Path] = None,
        flow: Optional[Path] = None,
        critic_from: Optional[Path] = None,
        data_dir: Optional[Path] = None,
        log: tuple[str, ...] = (),
        overwrite: bool = False,
    ):
        """Train a flow policy by cloning and a critic by TD; continues a run that was interrupted, to the bit.

        Choose the training method with --method NAME and the critic with --critic NAME; their options are listed under
        --method NAME --critic NAME --help.

        Args:
            dataset: OGBench single-task name (pointmaze-medium-navigate-singletask-task1-v0), for --method gc an
                oraclerep name (pointmaze-medium-navigate-oraclerep-v0), or an .npz file.
            out: Run directory, default runs/NAME.
            flow: A run whose cloned flow is reused, so that only a critic is trained for this task.
            critic_from: A run whose critic is reused.
            data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
            log: Loggers besides metrics.csv: tensorboard, wandb.
            overwrite: Delete what the run directory holds and start again.
        """
        from qgf.environments.datasets import load_dataset

        loaded = load_dataset(dataset, data_dir)
        out = out or Path("runs") / Path(loaded.name).stem
        run = run_training(loaded, replace(config, method=method), out, log, flow, critic_from, overwrite)
        closing(f"wrote {run.directory}", f"qgf evaluate {run.directory} --guide none ood qgf --best-of 1 4")

    return train


def run_training(dataset, config, out, log=(), flow=None, critic_from=None, overwrite=False):
    from qgf.training.loggers import make_logger
    from qgf.training.loop import train as run

    console.print(f"{dataset.name}: {dataset.transitions:,} transitions, {dataset.obs_dim} -> {dataset.action_dim}")
    record = make_logger(log, out, to_json(config))
    with bar("training", "updates") as tell:

        def progress(step, logs):
            tell(step, config.steps, f"{logs['updates_per_second']:.0f}/s")
            record(step, logs)

        return run(dataset, config, out, flow, critic_from, overwrite=overwrite, progress=progress)
