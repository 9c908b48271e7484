"""Two kinds of files: exact training checkpoints (Orbax), and portable policies (config.json + model.safetensors)."""

from __future__ import annotations

import logging
from pathlib import Path

import jax

from qgf.errors import UserError
from qgf.files import check_folder, seal

KEEP = 2
AFTER = "delete it to resume from the one before, or pass --overwrite to start again"


class Checkpoints:
    """Exact training states in `directory`, the newest few; a write that is cut short leaves the older ones intact."""

    def __init__(self, directory: Path, keep: int = KEEP):
        if keep < 1:
            raise UserError(f"keep must be at least 1, got {keep}")
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every step
        import orbax.checkpoint as ocp

        self._ocp, self.directory = ocp, directory.resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
        try:
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except OSError as error:
            raise UserError(f"{directory}: cannot be written ({error.strerror or error})") from error

    def latest(self) -> int | None:
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """The updates after which there is one, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state) -> None:
        try:
            self._manager.save(step, args=self._ocp.args.StandardSave(_storable(state)))
            seal(self.directory / str(step))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.directory}: checkpoint {step} cannot be written ({_first_line(error)})") from error

    def restore(self, step: int, like):
        """The state saved at `step`, with the structure of `like`. Raises UserError if it is truncated or foreign."""
        where = self.directory / str(step)
        _check_whole(where)
        try:
            restored = self._manager.restore(step, args=self._ocp.args.StandardRestore(_storable(like)))
        except Exception as error:  # Orbax raises a different type for every kind of damage
            raise UserError(
                f"{where}: checkpoint is truncated or of another run ({_first_line(error)}); {AFTER}"
            ) from error
        return restored._replace(key=jax.random.wrap_key_data(restored.key))

    def close(self) -> None:
        self._manager.close()


def _check_whole(where: Path) -> None:
    try:
        check_folder(where)
    except UserError as error:
        raise UserError(f"{error}; {AFTER}") from None


def _storable(state):
    """The state with its PRNG key as plain numbers."""
    return state._replace(key=jax.random.key_data(state.key))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
