"""What commands read: for every kind of artefact its files, how it is read, and what must hold of what was read."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from qgf.cli.main import main
from qgf.data.dataset import Dataset
from qgf.data.doctor import examine, summary
from qgf.data.fingerprint import fingerprint
from qgf.environments.datasets import load_dataset
from qgf.environments.maze import Walks
from qgf.errors import UserError
from qgf.files import Finite, read_csv, read_json
from qgf.laboratory.analysis import TABLES
from qgf.laboratory.study import read_study
from qgf.method.policy import Policy
from qgf.pages.tutorial import server
from qgf.playing.ledger import Ledger
from qgf.playing.scores import read_scores
from qgf.playing.tune import Saved
from qgf.training import trained
from qgf.training.checkpoint import Checkpoints
from qgf.training.config import from_json, to_json
from qgf.training.run import Run
from qgf.training.saved import load_policy
from qgf.training.scales import kept
from qgf.training.setup import prepare
from qgf.training.trained import load_trained
from qgf.training.watch import _read as read_played

trained.skeleton_of = cache(trained.skeleton_of)  # a third of the time of reading a policy


@dataclass(frozen=True)
class Kind:
    """One kind of artefact. `read` is given the folder with one of `files` changed."""

    name: str
    place: str  # below the folder of artefacts
    files: tuple[str, ...]  # patterns; one file that fits is changed
    form: str  # of its content, see `changes.FORMS`; by suffix where it is ""
    read: Callable[[Path], Any]
    holds: Callable[[Any], bool] = field(default=lambda found: True)
    sealed: bool = True  # its files carry sums


def config(folder: Path):
    found = Run(folder).config
    assert from_json(to_json(found)) == found
    return found


def finite(found) -> bool:
    """Of a policy: every number but its bounds, which actions may lack; and deviations are positive."""
    scaled, bounds = (
        ((found.velocity, found.critic), (found.low, found.high)) if isinstance(found, Policy) else ((found,), ())
    )
    leaves = [x for x in jax.tree.leaves(found) if hasattr(x, "dtype") and not any(x is one for one in bounds)]
    numbers = [np.asarray(x) for x in leaves]
    return bool(all(np.isfinite(x).all() for x in numbers) and all((np.asarray(x.std) > 0).all() for x in scaled))


def scales(folder: Path):
    return kept(folder, _data(BASE / "data" / "compact.npz"))


@cache
def _data(path: Path) -> Dataset:
    return load_dataset(path)


@cache
def _like(folder: Path):
    """The state of the run, without its numbers, for which something would have to be compiled."""
    setup = prepare(_data(folder / "data" / "compact.npz"), Run(folder / "run").config)
    state = jax.eval_shape(setup.start)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state._replace(key=()))
    return zeros._replace(key=jax.random.key(0))


def checkpoint(folder: Path):
    kept = Checkpoints(folder / "checkpoints", write=False)
    try:
        state = kept.restore(20, _like(BASE))
        return state._replace(key=jax.random.key_data(state.key))
    finally:
        kept.close()


BASE = Path()
"""The folder of artefacts as they are."""


def whole(state) -> bool:
    return all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(state) if np.asarray(x).dtype.kind == "f")


def ledger(folder: Path):
    found = Ledger(folder / "episodes.csv")
    return list(found.rows.values()), found.costs


def outcomes(found) -> bool:
    rows = found[0] if isinstance(found, tuple) else found
    return all(len(row.won) in (0, row.episodes) and row.won.sum() in (0, row.successes) for row in rows)


def analysis(folder: Path):
    return [read_csv(folder / f"{name}.csv", kind) for name, kind in TABLES.items()]


def offline(folder: Path):
    return read_json(folder / "offline.json", dict[str, Finite])


def dataset(path: str) -> Callable[[Path], Dataset]:
    return lambda folder: load_dataset(folder / path)


def sound(found: Dataset) -> bool:
    """Of data: lengths fit, numbers are finite, masks in range, the last row ends an episode."""
    n = len(found.ends)
    columns = [x for x in (found.observations, found.actions, found.rewards, found.masks) if x is not None]
    return (
        all(len(x) == n and np.isfinite(x).all() for x in columns)
        and (found.masks is None or bool(((found.masks >= -1e-5) & (found.masks <= 1 + 1e-5)).all()))
        and bool(found.ends[-1])
        and found.obs_dim > 0
        and found.action_dim > 0
    )


def command(path: str) -> Callable[[Path], str]:
    """`qgf data PATH`: what it prints. What it says on stderr is raised."""

    def read(folder: Path) -> str:
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(["data", str(folder / path)])
        except SystemExit as status:
            if status.code == 2 and err.getvalue().startswith("qgf: "):
                raise UserError(err.getvalue().removeprefix("qgf: ").strip("\n")) from None
            raise AssertionError(f"status {status.code}: {err.getvalue()}") from None
        return out.getvalue()

    return read


def request(folder: Path) -> str:
    """The tutorial's answer to what is in a file; one other than 200 is raised."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall((folder / "request.http").read_bytes())
        ours.shutdown(socket.SHUT_WR)
        _server().RequestHandlerClass(theirs, ("127.0.0.1", 1), _server())
        theirs.close()
        ours.settimeout(1)
        answer = b"".join(iter(lambda: ours.recv(65536), b""))
    if not answer.startswith(b"HTTP/1.0 200") and not answer.startswith(b"<!doctype"):
        raise UserError(f"{folder}: {answer[:40].decode('latin-1').splitlines()[:1]}")
    return answer.decode().split("\r\n\r\n", 1)[-1]


@cache
def _server():
    return server("<!doctype html><p>the tutorial</p>")


RUN = "run"
KINDS = [
    Kind("run config", RUN, ("config.json",), "json", config),
    Kind("policy config", "run/policy", ("config.json",), "json", load_trained, finite),
    Kind("policy weights", "run/policy", ("model.safetensors",), "safetensors", load_trained, finite),
    Kind("saved policy config", "mine", ("config.json",), "json", load_policy, finite),
    Kind("saved policy weights", "mine", ("model.safetensors",), "safetensors", load_policy, finite),
    Kind("checkpoint", RUN, ("checkpoints/20/**/*",), "bytes", checkpoint, whole),
    Kind("scales.json", RUN, ("scales.json",), "json", scales),
    Kind("metrics.csv", RUN, ("metrics.csv",), "csv", lambda folder: Run(folder).metrics()),
    Kind("played.csv", RUN, ("played.csv",), "csv", lambda folder: read_played(folder / "played.csv")),
    Kind("evaluation.csv", RUN, ("evaluation.csv",), "csv", lambda f: read_scores(f / "evaluation.csv"), outcomes),
    Kind("walks.npz", RUN, ("walks.npz",), "npz", lambda folder: Walks.load(folder / "walks.npz")),
    Kind("tuned.json", "run/tuning", ("tuned.json",), "json", lambda f: read_json(f / "tuned.json", Saved)),
    Kind("analysis", "run/analysis", ("*.csv",), "csv", analysis),
    Kind("ledger", "study", ("episodes.csv",), "csv", ledger, outcomes),
    Kind("costs", "study", ("costs.csv",), "csv", ledger, outcomes),
    Kind("offline.json", "study", ("offline.json",), "json", offline),
    Kind("study", "study", ("study.toml",), "toml", lambda folder: read_study(folder / "study.toml"), sealed=False),
    Kind("plan.json", "partial", ("plan.json",), "json", lambda folder: read_json(folder / "plan.json", dict)),
    Kind("sums", "run/policy", ("SHA256SUMS",), "bytes", load_trained, finite, sealed=False),
    Kind("npz, compact", "data", ("compact.npz",), "npz", dataset("compact.npz"), sound),
    Kind("HDF5, robomimic", "data", ("robomimic.hdf5",), "hdf5", dataset("robomimic.hdf5"), sound, sealed=False),
    Kind("HDF5, ManiSkill", "data", ("trajectory.h5",), "hdf5", dataset("trajectory.h5"), sound, sealed=False),
    Kind("Minari", "data/minari/tiny/walk-v0", ("data/*",), "", dataset("."), sound, sealed=False),
    Kind("LeRobot", "data/lerobot", ("meta/*", "data/*/*"), "", dataset("."), sound, sealed=False),
    Kind("zarr", "data/replay.zarr", (".z*", "**/.z*", "**/[0-9]*"), "", dataset("."), sound, sealed=False),
    Kind("qgf data, D4RL", "data", ("d4rl.hdf5",), "hdf5", command("d4rl.hdf5"), sealed=False),
    Kind("qgf data, npz", "data", ("transitions.npz",), "npz", command("transitions.npz")),
    Kind("request", "request", ("request.http",), "http", request, sealed=False),
]  # fmt: skip


def print_of(found: Any) -> str:
    """What tells two results apart."""
    if isinstance(found, Dataset):
        return f"{fingerprint(found)} {found.obs_dim} {summary(examine(found, 1))}"
    if isinstance(found, Iterable) or hasattr(found, "__dataclass_fields__"):
        leaves, structure = jax.tree.flatten(found)
        shown = [(np.asarray(x).dtype, np.asarray(x).tobytes()) if hasattr(x, "dtype") else repr(x) for x in leaves]
        return f"{shown} {structure} {vars(found) if isinstance(found, Walks) else ''}"
    return repr(found)
