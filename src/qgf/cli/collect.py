"""`qgf collect`: Make a dataset on this machine: OGBench's oracles, or a controller of your own, act."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import bar, closing


def collect(
    env: tyro.conf.Positional[str],
    /,
    transitions: Optional[int] = None,
    seed: int = 0,
    workers: Optional[int] = None,
    data_dir: Optional[Path] = None,
    overwrite: bool = False,
):
    """Make a dataset on this machine: of OGBench with the scripted oracles of its wheel, of any other environment with
    a controller of your own (--use FILE), or without one with random actions.

    Args:
        env: Environment and kind of data: pointmaze-medium-navigate, cube-single-play, scene-noisy, and so on; or any
            environment of gymnasium's.
        transitions: How many transitions to make, by default as many as OGBench published (one million for most), of
            others 100,000; a tenth more is made for validation.
        seed: The same seed gives the same data, whatever the number of workers.
        workers: Number of processes for OGBench, by default one per core.
        data_dir: The folder of datasets that the file goes to, by default $QGF_DATA or ~/.ogbench/data.
        overwrite: Replace a dataset that is there already.
    """
    from qgf.environments import family_of

    family = family_of(env)
    with bar("collecting", "transitions") as tell:
        path = family.collect(
            env, transitions, seed, workers, data_dir, overwrite, lambda done, total: tell(done, total)
        )
    where = ("--data-dir", data_dir) if data_dir else ()
    if path.is_dir():  # of many files
        shards = path.parent / family.shards(family.task(env, 1))
        return closing(f"wrote {path}", "data", family.task(env, 1), "--convert", shards, *where)
    closing(f"wrote {path}", "train", family.task(env, 1), *where)
