"""Train into a run directory: metrics, exact checkpoints, resume, calibration, portable policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data import Dataset
from qgf.data.fingerprint import fingerprint
from qgf.errors import UserError
from qgf.files import locked
from qgf.plugins import USED
from qgf.training.checkpoint import KEEP, Checkpoints
from qgf.training.config import TrainConfig, to_json
from qgf.training.export import restored, write_policies
from qgf.training.folder import _check_free, _claim, _clear
from qgf.training.learner import State
from qgf.training.loggers import make_logger
from qgf.training.metrics import Metrics
from qgf.training.run import Run
from qgf.training.setup import Setup, prepare, updates_of
from qgf.training.watch import Evaluate, Trial, Watch

VALIDATION_SIZE = 1024

Progress = Callable[[int, dict[str, float]], None]


class Stop(Exception):
    """Raised by `progress` or `evaluate` to end training here, as if this update were the last."""


def train(
    dataset: Dataset,
    config: TrainConfig = TrainConfig(),
    directory: str | Path | None = None,
    flow: str | Path | None = None,
    critic_from: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda step, logs: None,
    log: Iterable[str] = (),
    keep: int = KEEP,
    evaluate: Evaluate | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
) -> Run:
    """Train a flow by behaviour cloning and a critic by TD, into `directory` (default runs/NAME).

    Continues exactly where an earlier call with the same configuration stopped, to the bit. `flow` is a run whose
    cloned flow is used as it is (with its observation normalisation), so that only the critic is trained, and
    `critic_from` one whose critic is. `progress(step, logs)` is called after every compiled call, and so are the
    loggers named by `log`. The newest `keep` checkpoints are kept.

    Every `eval_every` updates, a multiple of the configuration's log_every, and after the last, `evaluate(policy)` is
    called (see `watch.Evaluate`): its numbers are a row of played.csv, and the best policy is in best/. `patience` such
    calls in a row without a better policy end training, as does `Stop` raised by `evaluate` or `progress`; the policy
    of that update is exported. None of this changes what is trained.

    Raises UserError if the directory holds another run, or if another process is writing it.
    """
    directory = Path(directory or Path("runs") / Path(dataset.name).stem)
    source: dict[str, Any] = dict(path=dataset.path and str(dataset.path.resolve()), fingerprint=fingerprint(dataset))
    if dataset.keys:
        source["keys"] = list(dataset.keys)
    record: dict[str, Any] = dict(dataset=dataset.name, data=source, flow=flow and str(flow), train=to_json(config))
    if critic_from:
        record["critic_from"] = str(critic_from)
    if USED:
        record["use"] = USED
    trial = _trial(config, evaluate, eval_every, patience)
    write_log = make_logger(tuple(log), directory, to_json(config))

    def told(step: int, logs: dict[str, float]) -> None:
        write_log(step, logs)
        progress(step, logs)

    setup = prepare(dataset, config, flow, critic_from)
    _check_free(directory)
    with locked(directory):
        if overwrite and (directory / "config.json").exists():
            _clear(directory)  # only now that nothing else can be wrong, and only if it is a run
        _claim(directory, record)
        nothing_to_learn = not setup.learner.losses  # all is lent: the run joins a flow and a critic
        state = setup.start() if nothing_to_learn else _learn(setup, directory, told, keep, trial)
        write_policies(setup.trained(state), directory / "policy")
    return Run(directory)


def _trial(config: TrainConfig, evaluate, every, patience) -> Trial | None:
    if evaluate is None or every is None:
        if evaluate or every or patience:
            raise UserError("evaluate, eval_every and patience belong together: give the first two, or none")
        return None
    trial = Trial(evaluate, every, patience)
    trial.check(config)
    return trial


def _learn(setup: Setup, directory: Path, progress: Progress, keep: int, trial: Trial | None) -> State:
    """The training loop, from the newest checkpoint to the last update."""
    config, learner = setup.config, setup.learner
    state = setup.start()
    checkpoints = Checkpoints(directory / "checkpoints", keep)
    latest = checkpoints.latest()
    if latest is not None:
        state = restored(setup, checkpoints, latest)
    table = Metrics(directory / "metrics.csv", keep=latest or 0)
    watch = Watch(trial, directory, config.seeds, keep=latest or 0) if trial else None
    step = updates_of(state)
    while step < config.steps and (watch is None or watch.patient):
        began, updates = time.perf_counter(), min(config.log_every - step % config.log_every, config.steps - step)
        state, found = learner.run(state, setup.chunks, updates)
        if setup.held_out:
            checked = learner.validate(state, setup.held_out, VALIDATION_SIZE)
            found |= {f"val/{key.removeprefix('loss/')}": x for key, x in checked.items() if key.startswith("loss/")}
        logs = {key: np.atleast_1d(np.asarray(x)) for key, x in found.items()}
        step += updates
        _check_finite(logs, step, directory)
        table.add(step, logs)
        rate = updates / (time.perf_counter() - began)
        means = {key: float(x.mean()) for key, x in logs.items()} | dict(updates_per_second=rate)
        try:
            if watch and (step % watch.trial.every == 0 or step == config.steps):
                means |= watch.play(step, setup.trained(state))
            if step % config.checkpoint_every == 0 or step == config.steps:
                checkpoints.save(step, state)
            progress(step, means)
        except Stop:
            break
    if checkpoints.latest() != step:  # it ended early
        checkpoints.save(step, state)
    checkpoints.close()
    table.close()
    return state


def _check_finite(logs: dict[str, np.ndarray], step: int, directory: Path) -> None:
    for key, x in logs.items():
        if not np.isfinite(x).all():
            raise UserError(
                f"{directory}: {key} is {x[~np.isfinite(x)][0]} after {step} updates, training diverged; "
                "try a smaller --learning-rate"
            )
