"""Exact training checkpoints (Orbax)."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from qgf.errors import UserError
from qgf.files import FLOOR, SUMS, Room, check_folder, seal
from qgf.training.devices import first, together

KEEP = 2
LARGER = 10
"""Times the numbers in it that a checkpoint may be large."""
GONE = ".gone"
"""How folders end that are being deleted."""
HALF = ".orbax-checkpoint-tmp"
"""What Orbax puts into the name of a folder until all is in it."""


class Checkpoints:
    """Exact training states in `directory`, a folder for each, called by its updates; those of the newest `keep`
    multiples of `every` are kept, and the newest of all.

    A folder of that name is complete at any moment: one is written, and deleted, under another. `write` is for who
    holds the run's lock, and deletes what a killed process left.
    """

    def __init__(self, directory: Path, keep: int = KEEP, every: int = 1, write: bool = True):
        if keep < 1:
            raise UserError(f"keep must be at least 1, got {keep}")
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax reports every step, and what it raises too
        logging.getLogger("asyncio").addFilter(_is_news)
        import orbax.checkpoint as ocp

        self._ocp, self.directory = ocp, directory.resolve()
        self.keep, self.every, self.write = keep, every, write
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False, create=write)
        try:
            with together():
                if write and first() and directory.is_dir():
                    self._sweep()
            if directory.is_dir():
                Room.of(self.directory)  # no pipes and no devices, for which Orbax would wait for ever
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except OSError as error:
            raise UserError(f"{directory}: cannot be written ({error.strerror or error})") from error

    def _sweep(self) -> None:
        for path in self.directory.iterdir():
            if path.name.endswith(GONE) or HALF in path.name:
                shutil.rmtree(path)

    def latest(self) -> int | None:
        return max(self.steps(), default=None)

    def steps(self) -> list[int]:
        """The updates after which there is one, in order."""
        if not self.directory.is_dir():
            return []
        return sorted(int(path.name) for path in self.directory.iterdir() if path.name.isdecimal() and path.is_dir())

    def save(self, step: int, state) -> None:
        """Write a checkpoint, then delete those that are no longer kept."""
        try:
            with _quiet():
                self._manager.save(step, args=self._ocp.args.StandardSave(_storable(state)))
            with together():
                if first():
                    seal(self.directory / str(step))
                    self._prune()
        except Exception as error:  # as many types as there are ways to fail
            raise UserError(f"{self.directory}: checkpoint {step} cannot be written ({_first_line(error)})") from error

    def _prune(self) -> None:
        *older, _ = self.steps()
        kept = [step for step in reversed(older) if step % self.every == 0][: self.keep - 1]
        for step in set(older) - set(kept):
            gone = self.directory / f"{step}{GONE}"
            (self.directory / str(step)).rename(gone)
            shutil.rmtree(gone)

    def restore(self, step: int, like):
        """The state saved at `step`, with the structure of `like`. Raises UserError if it is damaged or foreign."""
        where = self.directory / str(step)
        most, size = LARGER * sum(x.nbytes for x in jax.tree.leaves(_storable(like))), Room.of(where).size
        try:
            if size > FLOOR + most:
                raise UserError(f"{where}: is {size >> 20} MiB large, more than a checkpoint of this run can be")
            check_folder(where)
        except UserError as error:
            raise UserError(f"{error}; {self._instead(step)}") from None
        try:
            with _quiet():
                restored = self._manager.restore(step, args=self._ocp.args.StandardRestore(_storable(like)))
        except Exception as error:  # Orbax raises a different type for every kind of damage
            raise UserError(
                f"{where}: checkpoint is truncated or of another run ({_first_line(error)}); {self._instead(step)}"
            ) from error
        if self.write and first():  # whoever wrote it may have been killed before the last of it
            if not (where / SUMS).exists():
                seal(where)
            self._prune()
        return restored._replace(key=jax.random.wrap_key_data(restored.key))

    def _instead(self, step: int) -> str:
        """What to do about a checkpoint that cannot be used."""
        older = max((other for other in self.steps() if other < step), default=None)
        before = f"{self.directory / str(older)}, the one before" if older else "the start, as there is none before"
        return f"delete {self.directory / str(step)} to resume from {before}, or pass --overwrite to start again"

    def close(self) -> None:
        self._manager.close()


def _is_news(record: logging.LogRecord) -> bool:
    """Not what an event loop says of Orbax's other writes: of many that a full disk ends, one is raised."""
    return not any(word in record.getMessage().lower() for word in ("orbax", "ocdbt"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Meanwhile, and from then on if it fails, threads do not print that the event loop Orbax gave up is closed."""
    before = sys.unraisablehook

    def told(found):
        if not (found.exc_type is RuntimeError and str(found.exc_value) == "Event loop is closed"):
            before(found)

    sys.unraisablehook = told
    yield
    sys.unraisablehook = before


def _storable(state):
    """The state with its PRNG key as plain numbers."""
    return state._replace(key=jax.random.key_data(state.key))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
