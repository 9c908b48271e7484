"""Where datasets come from: an OGBench name or an .npz file."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np

from qgf.data.dataset import Dataset
from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.errors import UserError


def load_dataset(name: str | Path, directory: str | Path | None = None, download: bool = True) -> Dataset:
    """A dataset by OGBench name, or from any .npz file in the format of `qgf.data.dataset`.

    By name, NAME.npz and NAME-val.npz are looked for in `data_dir(directory)`, where `qgf collect` puts them, and
    downloaded if they are not there; single-task names get their rewards and masks, and oraclerep names the goal that
    each state is, from OGBench's own functions.
    Raises UserError if the dataset is neither there nor to be had, or if its content is wrong.
    """
    if str(name).endswith(".npz"):
        path = Path(name)
        validation = path.with_name(f"{path.stem}-val.npz")
        dataset = Dataset.from_arrays(read_npz(path), str(path))
        if validation.is_file():
            dataset = replace(dataset, validation=Dataset.from_arrays(read_npz(validation), str(validation)))
        return dataset

    from qgf.environments.ogbench.names import parse_name

    parsed = parse_name(str(name))
    folder = data_dir(directory)
    paths = [folder / f"{parsed.dataset}{suffix}.npz" for suffix in ("", "-val")]
    if not paths[0].is_file() and not (download and _download(parsed.dataset, folder)):
        raise UserError(
            f"{paths[0]}: no such dataset and it cannot be downloaded; make it with: "
            f"qgf collect {parsed.dataset.rsplit('-', 1)[0]}"
        )
    env = _task_env(parsed.env) if parsed.single_task or parsed.goals else None
    held_out = _labelled(paths[1], parsed.env, env) if paths[1].is_file() else None
    return replace(_labelled(paths[0], parsed.env, env), name=parsed.full, validation=held_out)


def _labelled(path: Path, env_id: str, env) -> Dataset:
    arrays = read_npz(path)
    if env is not None:
        from ogbench.relabel_utils import add_oracle_reps, relabel_dataset

        goals = "oraclerep" in env_id
        if "qpos" not in arrays:
            what = "goals" if goals else "rewards"
            raise UserError(f"{path}: missing key 'qpos', needed to compute the {what} of {env_id}")
        state = np.random.get_state()
        label = add_oracle_reps if goals else relabel_dataset
        label(env_id, env, arrays)  # may reset the environment, which draws from the global generator
        np.random.set_state(state)
    dataset = Dataset.from_arrays({k: v for k, v in arrays.items() if k not in _INFO}, str(path))
    return replace(dataset, goals=arrays.get("oracle_reps"))


_INFO = ("qpos", "qvel", "button_states", "oracle_reps")


def _task_env(env_id: str):
    import gymnasium

    state = np.random.get_state()  # the simulators draw from the global generator when they reset
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    np.random.set_state(state)
    return env


def _download(name: str, folder: Path) -> bool:
    """Fetch NAME.npz and NAME-val.npz from OGBench's server; False if it cannot be reached or does not have them."""
    from ogbench.utils import DATASET_URL, download_datasets

    try:
        urllib.request.urlopen(f"{DATASET_URL}/{name}.npz", timeout=10).close()
        download_datasets([name], str(folder))
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
    return True
