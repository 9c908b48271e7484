"""`qgf data`: Say what a dataset holds and what is suspicious about it; convert it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import tyro

from qgf.cli.printing import bar, closing, console, print_table
from qgf.data.labels import Rewarded

if TYPE_CHECKING:
    from qgf.data.doctor import Examination

Where = Annotated[Optional[Path], tyro.conf.arg(aliases=("--data",))]
"""The folder of datasets, or the data that a run was trained on where they are now."""

MOST = 40
"""Dimensions that are shown one by one."""


def data(
    dataset: tyro.conf.Positional[str],
    /,
    obs_keys: tuple[str, ...] = (),
    labels: Optional[Path] = None,
    rewards: Optional[Rewarded] = None,
    horizon: int = 5,
    data_dir: Optional[Path] = None,
    convert: Optional[Path] = None,
    overwrite: bool = False,
):
    """Say what was understood of a dataset, what is suspicious about it and what to do; write it in qgf's own format.

    Args:
        dataset: A file or folder of any format that `qgf names` lists, or an environment's name.
        obs_keys: What observations are made of, where the format has them by name, in this order.
        labels: A file that says which episodes succeeded, 1 or 0 in a line for each.
        rewards: How rewards follow from success, as `qgf train` has it.
        horizon: Actions per chunk, for what is lost at the ends of episodes.
        data_dir: The folder of datasets by name, by default $QGF_DATA or ~/.ogbench/data.
        convert: Write the data to this .npz file, and its validation part to NAME-val.npz; or under any other name as
            record shards, a folder of which training needs no more than a part in memory.
        overwrite: Replace what is there already.
    """
    from qgf.data import Dataset
    from qgf.data.doctor import examine, summary, suspicions
    from qgf.data.npz import write_npz
    from qgf.data.stored import Stored
    from qgf.environments.datasets import load_dataset

    shards = convert is not None and convert.suffix != ".npz"
    if convert is not None and shards:
        _write_shards(dataset, convert, data_dir, obs_keys, labels, rewards, overwrite)
        loaded = load_dataset(convert)
    else:
        loaded = load_dataset(dataset, data_dir, keys=obs_keys, labels=labels, rewards=rewards)
    found = examine(loaded, horizon)
    console.print(loaded.name)
    for line in summary(found)[:2]:
        console.print(line)
    _print_rewards(found)
    _print_dimensions(found)
    for note in (*loaded.notes, *filter(None, [loaded.scaling])):
        console.print(f"read so: {note}")
    for note in suspicions(found):
        console.print(f"look at: {note}")
    if loaded.validation is not None:
        console.print(f"beside it, held out: {summary(examine(loaded.validation, horizon))[0]}")
    if convert is None:
        given = {"--data-dir": data_dir, "--labels": labels, "--rewards": rewards}
        again = [part for option, x in given.items() if x is not None for part in (option, x)]
        again += ["--obs-keys", *obs_keys] if obs_keys else []
        return closing("nothing written", "data", dataset, *again, "--convert", "OUT.npz")
    if isinstance(loaded, Stored):
        loaded = loaded if shards else loaded.whole()
    if isinstance(loaded, Dataset):
        write_npz(convert, loaded, overwrite)
    closing(f"wrote {convert}", "train", convert)


def _write_shards(dataset, convert, data_dir, obs_keys, labels, rewards, overwrite) -> None:
    from qgf.environments.converting import convert as write

    with bar("converting", "rows") as tell:
        write(dataset, convert, data_dir, obs_keys, labels, overwrite, tell, rewards)


def _print_rewards(found: Examination) -> None:
    if found.rewards is None:
        return
    rows = [[f"{value:.4g}", f"{count:,}"] for value, count in zip(*found.rewards, strict=True)]
    print_table(("reward from", "steps"), rows, words=0)
    if found.discount is not None:
        steps = f"where the task ends, that takes {found.ending:.0f} steps (median)"
        console.print(f"{steps}: as far looks --discount {found.discount:g}")
    console.print(f"{100 * found.lost:.1f} % of the actions start no chunk of {found.horizon}")


def _print_dimensions(found: Examination) -> None:
    """Every number of observations and actions: mean and deviation, or range."""
    for what, head, columns in (
        ("observation", ("mean", "deviation"), (found.obs_mean, found.obs_std)),
        ("action", ("least", "most"), (found.action_low, found.action_high)),
    ):
        shown = list(zip(*columns, strict=True))[:MOST]
        if not shown:  # pictures alone
            continue
        print_table((what, *head), [[str(i), *(f"{x:.4g}" for x in row)] for i, row in enumerate(shown)], words=0)
        if len(columns[0]) > MOST:
            console.print(f"and {len(columns[0]) - MOST} more")
