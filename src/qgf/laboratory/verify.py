"""Whether what lies on disk is what was written: runs, policies, checkpoints, studies and data, by their sums."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from qgf.data.readers import is_data, read
from qgf.errors import Unknown, UserError
from qgf.files import SUMS, real_size, seal
from qgf.files.sums import inside, states
from qgf.training.run import Run
from qgf.training.saved import load_policy
from qgf.training.weights import WEIGHTS

SUFFIXES = (".json", ".csv", ".npz", ".safetensors")
"""Of what is written to be read again, and so carries a sum."""


class Found(NamedTuple):
    """One folder, or one file that was asked for."""

    what: str  # run, policy, checkpoint, study, data
    path: Path
    good: tuple[str, ...]  # files whose sums are right
    unlisted: tuple[str, ...]  # that have none
    damage: tuple[str, ...]  # a line each


def verify(paths: Iterable[str | Path]) -> list[Found]:
    """Everything of ours at these paths and below. Raises UserError for a path where there is nothing of that kind."""
    found = []
    for path in map(Path, paths):
        there = [_file(path)] if not path.is_dir() else [x for folder in _folders(path) if (x := _folder(folder))]
        if not there:
            raise UserError(f"{path}: holds no run, policy, study or data")
        found += there
    return found


def accept(paths: Iterable[str | Path]) -> None:
    """Take everything of ours at these paths and below as it is now: its sums are listed anew."""
    for path in map(Path, paths):
        if not path.is_dir():
            real_size(path)
            seal(path)
            continue
        for folder in _folders(path):
            what, names = _kind(folder), _names(folder)
            if what == "checkpoint":
                seal(folder)
            elif what:
                (folder / SUMS).unlink(missing_ok=True)
                for name in names:
                    seal(folder / name)


def _folders(path: Path) -> Iterator[Path]:
    """A folder and those below it, but for the insides of checkpoints, each one thing; links are not followed."""
    for at, below, _ in os.walk(path):
        below.sort()
        if _kind(Path(at)) == "checkpoint":
            below.clear()
        yield Path(at)


def _kind(folder: Path) -> str:
    """What a folder is, "" if it is none of ours."""
    has = lambda name: os.path.lexists(folder / name)
    if folder.name.isdecimal() and folder.parent.name == "checkpoints":
        return "checkpoint"
    if has(WEIGHTS):
        return "policy"
    if has("config.json") and any(map(has, ("policy", "checkpoints", "metrics.csv"))):
        return "run"
    if has("episodes.csv"):
        return "study"
    return "data" if has(SUMS) or any(folder.glob("*.npz")) else ""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES and not path.is_dir())


def _folder(folder: Path) -> Found | None:
    if not (what := _kind(folder)):
        return None
    try:
        listed = states(folder)
    except UserError as error:
        return Found(what, folder, (), (), (str(error),))
    good = tuple(name for name, state in listed.items() if state == "good")
    damage = [f"{folder / name}: {state}" for name, state in listed.items() if state != "good"]
    if what == "checkpoint":
        unlisted = [name for name in inside(folder) if name not in listed]
        if listed:  # it was sealed as a whole
            damage += [f"{folder / name}: not listed" for name in unlisted]
    else:
        unlisted = [name for name in _names(folder) if name not in listed]
        damage += _unreadable(what, folder, unlisted) if not damage else []
    return Found(what, folder, good, tuple(unlisted), tuple(damage))


def _unreadable(what: str, folder: Path, unlisted: list[str]) -> list[str]:
    """What is wrong whatever the sums say: a policy or a run that cannot be read, data without a sum that cannot be."""
    damage = []
    try:
        if what == "policy":
            load_policy(folder)
        elif what == "run":
            _ = Run(folder).config
    except Unknown as error:
        damage += [str(error)] if "config.json" in unlisted else []  # of a user's own, see `--use`
    except UserError as error:
        damage.append(str(error))
    for path in (folder / name for name in unlisted if name.endswith(".npz")):
        damage += _file(path).damage
    return damage


def _file(path: Path) -> Found:
    """A file that is named: by its sum, or if it has none and is one of data by reading it."""
    real_size(path)
    try:
        state = states(path.parent).get(path.name)
        if state is None and is_data(path):
            read(path)
    except UserError as error:
        return Found("file", path, (), (), (str(error),))
    damage = () if state in ("good", None) else (f"{path}: {state}",)
    return Found("file", path, (path.name,) * (state == "good"), (path.name,) * (state is None), damage)
