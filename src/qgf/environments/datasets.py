"""Where datasets come from: a name that a family knows, or an .npz file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qgf.data.dataset import Dataset
from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.environments.family import Label, family_of
from qgf.errors import UserError


def load_dataset(name: str | Path, directory: str | Path | None = None, download: bool = True) -> Dataset:
    """A dataset by its environment's name, or from any .npz file in the format of `qgf.data.dataset`.

    By name, NAME.npz and NAME-val.npz are looked for in `data_dir(directory)`, where `qgf collect` puts them, and
    downloaded if they are not there and can be had; the family of the name adds the rewards and masks of its tasks,
    or the goal that each state is. Raises UserError if the dataset is neither there nor to be had, or is wrong.
    """
    if str(name).endswith(".npz"):
        return _read(Path(name), str(name), lambda arrays, path: arrays)
    name = str(name)
    family = family_of(name)
    folder = data_dir(directory)
    path = folder / f"{family.file(name)}.npz"
    if not path.is_file() and not (download and family.download(name, folder)):
        tried = " and it cannot be downloaded" if download else ""
        raise UserError(f"{path}: no such dataset{tried}; {family.source(name)}")
    return _read(path, family.check(name), family.labeller(name))


def _read(path: Path, name: str, label: Label) -> Dataset:
    """A file, and NAME-val.npz beside it."""

    def one(path: Path) -> Dataset:
        arrays = label(read_npz(path), path)
        return replace(Dataset.from_arrays(arrays, str(path)), goals=arrays.get("goals"))

    dataset, beside = one(path), path.with_name(f"{path.stem}-val.npz")
    return replace(dataset, name=name, path=path, validation=one(beside) if beside.is_file() else None)
