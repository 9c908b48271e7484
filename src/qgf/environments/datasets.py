"""Where datasets come from: a name that a family knows, or a file or folder of a format that a reader knows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from qgf.data import stored
from qgf.data.actions import UNIT, equal, in_units_of, same, shown
from qgf.data.dataset import Dataset
from qgf.data.fingerprint import fingerprint
from qgf.data.folder import data_dir
from qgf.data.labels import Rewarded, read_labels
from qgf.data.layout import MADE_OF, Arrays, Hazard
from qgf.data.readers import is_data, read, reader_of
from qgf.data.stored import AnyDataset, Stored
from qgf.environments.family import Label, family_of, find_family, named_by
from qgf.environments.simulators import Missing
from qgf.errors import Caution, UserError
from qgf.files import at_home

SUFFIXES = (".npz", ".npy", ".h5", ".hdf5", ".parquet", ".zarr", ".pkl", ".csv", ".json")
"""What ends like this is meant for a file."""


def load_dataset(
    name: str | Path,
    directory: str | Path | None = None,
    download: bool = True,
    keys: Sequence[str] = (),
    labels: str | Path | None = None,
    rewards: Rewarded | None = None,
    held_out: float | None = None,
) -> Dataset | Stored:
    """A dataset by its environment's name, or from a file or folder of any format in `qgf.data.readers.READERS`.

    By name, NAME.npz and NAME-val.npz are looked for in `data_dir(directory)`, where `qgf collect` puts them (or the
    directory is the data themselves, which were moved), and downloaded if they are not there and can be had; the family
    of the name adds the rewards and masks of its tasks, or the goal that each state is. `keys` says what observations
    are made of, where the format has them by name; `labels` is a file that says which episodes succeed
    (`qgf.data.labels`), for data without rewards, and `rewards` how these follow from success. `held_out` is the share
    of its episodes that becomes its validation, for data without (`Dataset.apart`). Record shards (`qgf.data.stored`)
    are opened, not read; by name they are in NAME.shards. Raises UserError if the dataset is neither there nor to be
    had, or is wrong.
    """
    name = str(at_home(name))
    directory = None if directory is None else at_home(directory)
    itself = directory is not None and is_data(directory)
    chosen: dict[str, Any] = dict(keys=keys, labels=labels, rewards=rewards, held_out=held_out)
    if is_data(name) or (itself and find_family(name) is None):
        path = Path(directory if directory is not None and itself else name)
        if stored.reads(path) and environment_of(known := Stored.of(path).meta.name):  # that of the name
            return fitted(_read(path, known, **chosen), known)
        return _read(path, name, **chosen)
    if given := f"labels {labels}" if labels else rewards and f"choice of rewards ({rewards})":
        raise UserError(f"{name} is an environment's name, whose tasks have rewards: leave out the {given}")
    if held_out is not None:
        raise UserError(f"{name} is an environment's name, whose held-out episodes are in its own NAME-val.npz")
    if keys:
        raise UserError(
            f"{name} is an environment's name, whose observations are whole: leave out the keys {', '.join(keys)}"
        )
    if find_family(name) is None and (Path(name).exists() or Path(name).suffix in SUFFIXES):
        reader_of(name)  # says that it is not there, or what is not known of it
    family = family_of(name)
    folder = data_dir(directory)
    path = folder if itself else folder / f"{family.file(name)}.npz"
    if not itself and stored.reads(shards := folder / family.shards(name)):
        return fitted(_load(name, shards), name)
    if (parts := path.with_suffix("")).is_dir() and not path.is_file():
        raise UserError(
            f"{parts}: a folder of many files, which is converted once: qgf data {name} --convert {shards}"
            + (f" --data-dir {directory}" if directory else "")
        )
    if not path.is_file() and not (download and family.download(name, folder)):
        tried = " and it cannot be downloaded" if download else ""
        raise UserError(f"{path}: no such dataset{tried}; {family.source(name)}")
    return fitted(_load(name, path), name)


def fitted(dataset: AnyDataset, env: str) -> AnyDataset:
    """The dataset of an environment: its actions are the environment's own, and scaled by the range that this takes, or
    they are in [-1, 1] and parts of that (`in_units_of`). Raises UserError if they are neither.
    """
    try:
        low, high = family_of(env).actions(env)
    except Missing:  # the simulator is not needed to train
        return dataset
    if np.shape(low) not in ((), (dataset.action_dim,)):
        raise UserError(f"{dataset.name} has actions of {dataset.action_dim} numbers, {env} takes {np.size(low)}")
    box = np.broadcast_to(low, (dataset.action_dim,)), np.broadcast_to(high, (dataset.action_dim,))
    told = dataset.action_range is not None and not same(dataset.action_range, dataset.extent)  # by the data themselves
    if told or not (np.isfinite(low).all() and np.isfinite(high).all()):
        return dataset
    if in_units_of(dataset.extent, box, dataset.name, env):
        return replace(dataset, action_range=None if equal(box, UNIT) else box)
    note = f"actions lie in [-1, 1], {env} takes {shown(box)}: they are taken for parts of that"
    return replace(dataset, action_range=None, notes=tuple(dict.fromkeys((*dataset.notes, note))))


def environment_of(name: str) -> str | None:
    """The environment that a dataset's name tells, None if it is that of a file."""
    return None if is_data(name) or find_family(name) is None else name


def references_of(record: Mapping[str, Any], env: str) -> tuple[float, float] | None:
    """The returns that a normalised score calls 0 and 100, from a run's data or the environment that is played."""
    if (known := (record.get("data") or {}).get("references")) is not None:
        return known[0], known[1]
    try:
        return family_of(named_by("a run", env)).references(env)
    except UserError:  # it is not registered here, or it is code that nobody asked for
        return None


def dataset_of(record: Mapping[str, Any], directory: str | Path | None = None) -> Dataset | Stored:
    """The data that a run was trained on, by its config.json: from `directory` if that is given, else from where they
    were, else from the folder of datasets.

    Raises UserError if they are not there, or if the data of that name are others than the run's.
    """
    name, known = record["dataset"], record.get("data") or {}
    where = Path(known.get("path") or name)
    if directory is None and known and where.exists():
        dataset = _load(name, where, known)
    elif environment_of(name) is None:
        dataset = _read(
            where if directory is None else _moved(where, Path(directory)),
            name,
            **_choices(known),
        )
    else:
        dataset = load_dataset(name, directory)
    if known and (now := fingerprint(dataset)) != known["fingerprint"]:
        raise UserError(
            f"{dataset.path}: other data than those of the name {name} that the run was trained on (fingerprint {now}, "
            f"the run's {known['fingerprint']}, once in {where}); say where those are now with --data-dir"
        )
    ends = known.get("actions")
    return replace(dataset, action_range=ends and (np.array(ends[0]), np.array(ends[1])))


def _choices(known: Mapping[str, Any]) -> dict[str, Any]:
    """As what a run read its data."""
    return dict(keys=known.get("keys") or ()) | {name: known.get(name) for name in ("labels", "rewards", "held_out")}


def _load(name: str, path: Path, known: Mapping[str, Any] = MappingProxyType({})) -> Dataset | Stored:
    """The data of a name, from their file."""
    if environment_of(name) is None or stored.reads(path):
        return _read(path, name, **_choices(known))
    family = family_of(name)
    return _read(path, family.check(name), family.labeller(name))


def _read(
    path: Path,
    name: str,
    label: Label = lambda arrays, path: arrays,
    keys: Sequence[str] = (),
    labels: str | Path | None = None,
    rewards: Rewarded | None = None,
    held_out: float | None = None,
) -> Dataset | Stored:
    """A file, and the one beside it that is called NAME-val; so are the labels of that; else, where a share is to
    be `held_out`, the rest of it. Or record shards.
    """

    if stored.reads(path):
        found = Stored.of(path, name)
        found.chosen(keys, labels or rewards or held_out)
        return found

    def one(path: Path, labels: Path | None) -> Dataset:
        said = None if labels is None else read_labels(labels)
        made = laid_out(read(path, keys), path, str(path), label, said, keys, rewards)
        caution(path, made.notes)
        return replace(made, labels=labels)

    said = None if labels is None else at_home(labels)
    dataset, beside = one(path, said), beside_of(path)
    told = said and beside_of(said)
    if told and beside.exists() and not told.exists():
        raise UserError(f"{told}: no such file: labels of the held-out episodes in {beside} are looked for there")
    if held_out is not None:
        if beside.exists():
            raise UserError(f"{path}: its held-out episodes are in {beside}: leave out the share to be held out")
        return replace(dataset.apart(held_out), name=name, path=path)
    other = one(beside, told) if beside.exists() else None
    if other is not None and (other.obs_dim, other.action_dim) != (dataset.obs_dim, dataset.action_dim):
        raise UserError(
            f"{beside}: {other.obs_dim} observations and {other.action_dim} actions, but {path} has "
            f"{dataset.obs_dim} and {dataset.action_dim}"
        )
    return replace(dataset, name=name, path=path, validation=other)


def laid_out(
    arrays: Arrays,
    path: Path,
    name: str,
    label: Label,
    labels: np.ndarray | None,
    keys: Sequence[str],
    rewards: Rewarded | None = None,
) -> Dataset:
    """What a reader read of a file, labelled and checked; errors call it `name`."""
    arrays = label(arrays, path)
    made = Dataset.from_arrays(arrays, name, labels, rewards)
    return replace(made, goals=arrays.get("goals"), keys=tuple(map(str, arrays.get(MADE_OF, keys))))


def caution(path: Path, notes: Iterable[str]) -> None:
    """Warn of the hazards among notes."""
    for note in notes:
        if isinstance(note, Hazard):
            warnings.warn(f"{path}: {note}", Caution, stacklevel=5)


def _moved(path: Path, place: Path) -> Path:
    """Where data are that were at `path` and are now at, or in, `place`."""
    return place if is_data(place) else place / path.name


def beside_of(path: Path) -> Path:
    """What is called NAME-val beside a file or folder."""
    return path.with_name(f"{path.stem}-val{path.suffix}")
