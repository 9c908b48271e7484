"""Make OGBench's datasets on the spot with the scripted oracles that ship in its wheel.

Every episode has its own seed, drawn from (seed, split, number), so that the result does not depend on how many
processes work on it. Finished episodes wait in NAME.partial/ until all are there: a killed collection goes on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data.folder import data_dir
from qgf.data.npz import read_npz
from qgf.environments.family import Counted
from qgf.environments.ogbench.making import made
from qgf.environments.ogbench.names import KINDS, EnvName, parse_name, split_name
from qgf.environments.ogbench.pictures import drawn_always
from qgf.errors import UserError, unknown
from qgf.files import locked, read_json, sealed_path, write_json
from qgf.processes import FORK, cores, end_with_parent, start

COLLECTABLE = ("pointmaze", "cube", "scene", "puzzle")
"""Groups of environments with a scripted oracle at hand."""
Job = tuple[str, int]
"""Split and number of an episode."""
PUBLISHED_ROWS = {"cube-triple": 3e6, "puzzle-4x5": 3e6, "cube-quadruple": 5e6, "puzzle-4x6": 5e6}
"""Environment -> rows of the published training set, where they are not a million."""
LARGE_ROWS = 10**8
"""Of the published sets that are folders, of files of a million each."""
FILE_ROWS = 10**6


def check(name: EnvName) -> EnvName:
    """The same name; UserError where no oracle is at hand."""
    if name.group not in COLLECTABLE:
        raise UserError(
            f"{name.dataset}: no scripted oracle in the ogbench wheel (collectable: {', '.join(COLLECTABLE)})"
        )
    if name.kind not in KINDS[name.group]:
        raise unknown(f"kind of {name.group} data", name.kind, KINDS[name.group])
    return name


def episode_length(name: EnvName) -> int:
    """Rows of one episode."""
    if check(name).group != "pointmaze":
        return 1001
    return 201 if name.kind == "stitch" else 2001 if "giant" in name.env else 1001


def training_episodes(name: EnvName, transitions: int | None = None) -> int:
    """Whole episodes that hold at least so many transitions, by default those of the published dataset."""
    length = episode_length(name) - 1
    if transitions is not None:
        return -(-transitions // length)
    if name.large:
        return round(LARGE_ROWS / length)
    return round(next((n for env, n in PUBLISHED_ROWS.items() if name.env.startswith(env)), 1e6) / length)


def collect(
    name: str,
    transitions: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    directory: str | Path | None = None,
    overwrite: bool = False,
    progress: Counted = lambda done, total: None,
) -> Path:
    """Write NAME.npz (at least `transitions`, default as published) and NAME-val.npz (a tenth more); the former's path.

    Resumes an interrupted collection. `progress(done, total)` counts transitions. Raises UserError if the dataset is
    there already and `overwrite` is not set, or if the environment has no scripted oracle.
    """
    parsed = parse_name(name)
    dataset, train = parsed.dataset, training_episodes(parsed, transitions)
    if train < 1:
        raise UserError(f"transitions must be at least 1, got {transitions}")
    folder, workers = data_dir(directory), workers or len(cores())
    if parsed.large:
        return _collect_files(parsed, train, seed, folder / dataset, workers, overwrite, progress)
    jobs = [("train", k) for k in range(train)] + [("val", k) for k in range(-(-train // 10))]
    target = folder / f"{dataset}.npz"
    partial, gone = folder / f"{dataset}.partial", folder / f"{dataset}.gone"
    shutil.rmtree(gone, ignore_errors=True)
    if target.exists() and not overwrite and not partial.exists():  # a collection that was begun may end
        raise UserError(f"{target} is there already; pass --overwrite to make it anew")
    with locked(partial):
        _claim(partial, dict(dataset=dataset, seed=seed))
        _finish(parsed, jobs, seed, partial, target, workers, progress)
        partial.rename(gone)  # it is all there or gone at any moment
    shutil.rmtree(gone)
    return target


def _collect_files(
    name: EnvName, train: int, seed: int, folder: Path, workers: int, overwrite: bool, progress: Counted
) -> Path:
    """Write the files of a large dataset one after another, of a million transitions each, and beside each one held
    out. What is there already is kept, so that a collection goes on, and can grow.
    """
    length = episode_length(name)
    each, total = FILE_ROWS // (length - 1), train + -(-train // 10)
    files = [folder / f"{name.dataset.replace('-100m', '')}-{k:03d}.npz" for k in range(-(-train // each))]
    if all(file.exists() for file in files) and not overwrite and not (folder / "partial").exists():
        raise UserError(f"{folder} is there already; pass --overwrite to make it anew")
    with locked(folder):
        if overwrite:
            for path in [folder / "plan.json", *folder.glob("*.npz")]:
                path.unlink(missing_ok=True)
        _claim(folder, dict(dataset=name.dataset, seed=seed))
        done, partial = 0, folder / "partial"
        for k, file in enumerate(files):
            numbers = range(k * each, min((k + 1) * each, train))
            held_out = range(-(-numbers[0] // 10), -(-(numbers[-1] + 1) // 10))
            jobs = [("train", n) for n in numbers] + [("val", n) for n in held_out]
            if not file.exists():
                before = done * length
                partial.mkdir(exist_ok=True)
                count = lambda now, of, before=before: progress(before + now, total * length)
                _finish(name, jobs, seed, partial, file, workers, count)
            shutil.rmtree(partial, ignore_errors=True)
            done += len(jobs)
    return folder


def _finish(
    name: EnvName, jobs: list[Job], seed: int, partial: Path, target: Path, workers: int, progress: Counted
) -> None:
    """Collect what is missing of the episodes, and join them to the dataset's two files, of which `target` is last."""
    dataset, length = name.dataset, episode_length(name)
    todo = [job for job in jobs if not _shard(partial, *job).exists()]
    done = len(jobs) - len(todo)
    progress(done * length, len(jobs) * length)
    for _ in _collected(dataset, seed, todo, partial, workers):
        done += 1
        progress(done * length, len(jobs) * length)
    for split, path in (("val", target.with_name(f"{target.stem}-val.npz")), ("train", target)):
        episodes = [read_npz(_shard(partial, *job)) for job in jobs if job[0] == split]
        if not episodes:  # a tenth of fewer than ten
            continue
        with sealed_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **{key: np.concatenate([e[key] for e in episodes]) for key in episodes[0]})  # type: ignore[arg-type]


def _claim(partial: Path, plan: dict) -> None:
    """Make sure that what is in NAME.partial/ belongs to the same collection."""
    path = partial / "plan.json"
    if path.exists() and (found := read_json(path, dict)) != plan:
        raise UserError(f"{partial} holds a collection with other settings ({found}); delete it or use its seed")
    write_json(path, plan)


def _shard(partial: Path, split: str, k: int) -> Path:
    return partial / f"{split}-{k:05d}.npz"


def _collected(dataset: str, seed: int, todo: list[Job], partial: Path, workers: int) -> Iterator[None]:
    """Collect episodes in worker processes; yields when one is written."""
    worker = start(work)
    try:
        worker.connection.send((dataset, seed, todo, str(partial), workers))
        for _ in todo:
            if isinstance(failed := worker.connection.recv(), Exception):
                raise failed
            yield
    except EOFError:
        raise UserError(f"{dataset}: the processes that collect it ended; fewer --workers need less memory") from None
    finally:
        worker.stop()


def work(connection: Connection) -> None:
    """What the process that collects does: fork into as many as asked for, and say when an episode is written."""
    dataset, seed, todo, partial, workers = connection.recv()
    if not split_name(dataset).visual:  # each process draws by itself
        _env(dataset).reset(seed=0)  # compiled before they fork, it is there for all of them
    with ProcessPoolExecutor(workers, get_context(FORK), initializer=end_with_parent) as pool:
        pending: Any = {pool.submit(_collect_one, dataset, seed, split, k, partial) for split, k in todo}
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            if connection.poll():  # it is closed: nobody waits for the rest
                os._exit(1)
            for future in finished:
                connection.send(future.exception())


def _collect_one(dataset: str, seed: int, split: str, k: int, partial: str) -> None:
    """Collect episode `k` of a split and write it where `collect` looks for it (in a worker process)."""
    from qgf.environments.chunk import seed_globals
    from qgf.environments.ogbench.oracles import manipulate, navigate

    name = parse_name(dataset)
    entropy = [seed, ("train", "val").index(split), k]
    episode_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    seed_globals(episode_seed)
    rng = np.random.default_rng([*entropy, 1])
    env = _env(dataset)
    if name.group == "pointmaze":
        rows = list(navigate(env, name.kind, rng, episode_seed))
    else:
        rows = manipulate(env, name.group, name.kind, rng, episode_seed)
    with sealed_path(_shard(Path(partial), split, k)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **_stack(rows))  # type: ignore[arg-type]


def _stack(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    types: dict[str, type] = dict(terminals=bool, button_states=np.int64)
    types |= {key: np.uint8 for key, x in rows[0].items() if getattr(x, "dtype", None) == np.uint8}  # pictures
    return {key: np.array([row[key] for row in rows], types.get(key, np.float32)) for key in rows[0]}


@lru_cache(maxsize=1)
def _env(dataset: str):
    parsed = parse_name(dataset)
    options: dict[str, Any] = {} if parsed.group == "pointmaze" else dict(mode="data_collection")
    make = drawn_always if parsed.visual else made
    return make(parsed, terminate_at_goal=False, max_episode_steps=episode_length(parsed), **options)
