"""Where metrics go besides metrics.csv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qgf.errors import UserError, unknown

Log = Callable[[int, dict[str, float]], None]


def tensorboard(directory: Path, config: dict) -> Log:
    """Event files in `directory`/tensorboard."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(directory / "tensorboard"))

    def log(step: int, logs: dict[str, float]) -> None:
        for key, value in logs.items():
            writer.add_scalar(key, value, step)
        writer.flush()

    return log


def wandb(directory: Path, config: dict) -> Log:
    """A Weights & Biases run, under the account that `wandb login` set up."""
    import wandb

    run = wandb.init(project="qgf", name=directory.name, dir=str(directory), config=config)
    return lambda step, logs: run.log(logs, step=step)


LOGGERS = dict(tensorboard=tensorboard, wandb=wandb)


def make_loggers(names: tuple[str, ...], directory: Path, config: dict) -> list[Log]:
    """The loggers by name. Raises UserError for an unknown one, or one whose package is not installed."""
    made = []
    for name in names:
        if name not in LOGGERS:
            raise unknown("logger", name, LOGGERS)
        try:
            made.append(LOGGERS[name](directory, config))
        except ImportError as error:
            raise UserError(f"logger {name} needs a package: pip install 'qgf[{name}]'") from error
    return made
