"""Who may write a run directory, and with which settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from qgf.errors import UserError
from qgf.files import BOOKKEEPING, is_temporary, read_json, write_json
from qgf.training.config import Record, from_json, to_json
from qgf.training.window import WHOLE, Plan

FREE = ("steps", "log_every", "checkpoint_every")  # may change when a run is resumed
READ_AS = ("keys", "labels", "rewards", "held_out")  # of `Source`, what was chosen when data were read


def _claim(directory: Path, record: dict) -> None:
    """Write config.json if there is none; else make sure that the run that is there was made with the same settings."""
    path = directory / "config.json"
    if path.exists():
        old = msgspec.to_builtins(read_json(path, Record, "a run directory"))
        old["train"] = to_json(from_json(old["train"], path))  # with today's defaults for settings it does not know
        others = ("dataset", "flow", "critic_from")
        flat = [
            {**r["train"], **{name: r.get(name) for name in others}, "hosts": r.get("hosts", 1)} for r in (old, record)
        ]
        changed = [k for k in flat[1] if k not in FREE and flat[0].get(k) != flat[1][k]]
        if changed:
            differences = ", ".join(f"{k}={flat[0].get(k)} there, {flat[1][k]} now" for k in changed)
            raise UserError(
                f"{directory} holds a run with other settings ({differences}); use another --out or --overwrite"
            )
        data = [r.get("data") or {} for r in (old, record)]
        there, now = (known.get("fingerprint") for known in data)
        if there and there != now:
            pairs = {key: [known.get(key) for known in data] for key in READ_AS}
            read = "".join(f"; {key} {x} there, {y} now" for key, (x, y) in pairs.items() if x != y)
            raise UserError(
                f"{directory} was trained on other data of the name {record['dataset']} (fingerprint {there} there, "
                f"{now} now{read}); use another --out or --overwrite"
            )
        scales = [(r.get("data") or {}).get("actions") for r in (old, record)]
        if there and scales[0] != scales[1]:
            raise UserError(
                f"{directory} scales actions by {scales[0]}, now it would by {scales[1]}; give the --env that it was "
                "trained with, or use another --out or --overwrite"
            )
    else:
        write_json(path, record)


def begun_with(directory: Path) -> Plan | None:
    """What a run that is there holds of its data; None if there is no run, or one of before the question was."""
    path = directory / "config.json"
    if not path.exists():
        return None
    window = read_json(path, Record, "a run directory").window
    return WHOLE if window is None else Plan(window.block, window.blocks, window.every)


def _check_names(*names: str | Path) -> None:
    """Raises UserError for one that config.json, or a checkpoint's path, could not have."""
    for name in map(str, names):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{name!a}: the name is not UTF-8, which a run cannot record; rename it") from None


def _check_free(directory: Path) -> None:
    if (directory / "config.json").exists() or not directory.is_dir():
        return
    if any(path.name not in BOOKKEEPING and not is_temporary(path) for path in directory.iterdir()):
        raise UserError(f"{directory} is not empty and is no run directory; use another --out")


def _clear(directory: Path) -> None:
    """Delete a run; its config.json last, so that what an interruption leaves is still known as a run."""
    for path in sorted(directory.iterdir(), key=lambda path: path.name == "config.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in BOOKKEEPING:
            path.unlink()
