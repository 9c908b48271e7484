"""Losses that are no numbers any more: which part went wrong first, and what is left to go on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qgf.errors import UserError
from qgf.training.checkpoint import Checkpoints
from qgf.training.export import restored
from qgf.training.learner import State
from qgf.training.setup import Setup

MOST = 20_000
"""Updates that are made again to see which was the first."""


def wrong(logs: dict[str, np.ndarray]) -> list[str]:
    """The names of what is not finite, losses first."""
    names = [name for name, x in logs.items() if not np.isfinite(x).all()]
    return sorted(names, key=lambda name: not name.startswith("loss/"))


def refuse(setup: Setup, checkpoints: Checkpoints, logs: dict[str, np.ndarray], step: int, directory: Path) -> None:
    """Raises UserError if anything logged after `step` updates is not finite, naming the part that was so first."""
    if not (names := wrong(logs)):
        return
    latest = checkpoints.latest()
    state = setup.start() if latest is None else restored(setup, checkpoints, latest)
    first, when = _first(setup, state, latest or 0, step)
    what = f"{first} went wrong first, at update {when:,}" if first else f"{names[0]} is not finite"
    good = (
        f"the last good checkpoint is {checkpoints.directory / str(latest)}" if latest else "there is no checkpoint yet"
    )
    checkpoints.close()
    raise UserError(
        f"{directory}: training diverged before {step:,} updates: {what}; {good}; try a smaller --learning-rate"
    )


def _first(setup: Setup, state: State, start: int, end: int) -> tuple[str, int]:
    """The first loss that is not finite, and the number of the update that had it; "" if none is seen again."""
    for number in range(start + 1, min(end, start + MOST) + 1):
        state, found = setup.learner.run(state, setup.window.at(number - 1), 1)
        if names := wrong({key: np.asarray(x) for key, x in setup.devices.here(found).items()}):
            return names[0], number
    return "", 0
