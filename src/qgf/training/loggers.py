"""Where metrics go besides metrics.csv."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from qgf.errors import UserError
from qgf.registry import Registry

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


tensorboard.package, wandb.package = "tensorboardX", "wandb"  # type: ignore[attr-defined]
LOGGERS = Registry[Callable[[Path, dict], Log]]("logger", dict(tensorboard=tensorboard, wandb=wandb))
"""By name, logger(run directory, its configuration) -> `Log`; its attribute `package` says what it has to import."""


def make_logger(names: tuple[str, ...], directory: Path, config: dict) -> Log:
    """One logger that feeds all of `names`; they are opened at the first call, when the run directory exists.

    Raises UserError for an unknown name, or one whose package is not installed.
    """
    for name in names:
        package = getattr(LOGGERS.find(name), "package", None)
        if package and find_spec(package) is None:
            raise UserError(f"logger {name} needs the package {package}: pip install {package}")
    opened: list[Log] = []

    def log(step: int, logs: dict[str, float]) -> None:
        if not opened:
            opened.extend(LOGGERS[name](directory, config) for name in names)
        for one in opened:
            one(step, logs)

    return log
