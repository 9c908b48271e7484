"""Train into a run directory: metrics, exact checkpoints, resume, calibration, portable policy."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qgf.data import Dataset
from qgf.data.doctor import examine, suspicions
from qgf.data.fingerprint import fingerprint
from qgf.data.stored import Stored
from qgf.errors import Caution, UserError
from qgf.files import at_home, locked, stays_inside, turn, write_json
from qgf.plugins import USED
from qgf.signals import held_back
from qgf.training.checkpoint import KEEP, Checkpoints
from qgf.training.config import TrainConfig, to_json
from qgf.training.devices import anywhere, first, together
from qgf.training.diverged import refuse
from qgf.training.doubts import diverged, doubts
from qgf.training.export import exported, restored, write_policies
from qgf.training.folder import _check_free, _check_names, _claim, _clear, begun_with
from qgf.training.health import EVERY, health
from qgf.training.late import judged
from qgf.training.learner import State
from qgf.training.lending import in_their_units
from qgf.training.loggers import Log, make_logger
from qgf.training.memory import read_size
from qgf.training.metrics import Metrics, recorded
from qgf.training.run import Run
from qgf.training.scales import keep as keep_scales
from qgf.training.scales import kept as kept_scales
from qgf.training.setup import Setup, prepare, updates_of
from qgf.training.watch import Evaluate, Trial, Watch

VALIDATION_SIZE = 1024

Progress = Callable[[int, dict[str, float]], None]


class Stop(Exception):
    """Raised by `progress` or `evaluate` to end training here, as if this update were the last."""


def train(
    dataset: Dataset | Stored,
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
    env: str | None = None,
    memory: int | str | None = None,
    tell: Callable[[str], None] = lambda line: None,
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

    `memory` bytes ("2GB") are what data may take on the device: of more a window is held that moves through them, which
    a run keeps (`training.window`). By default data in memory are held whole, and of those on the disk as much as fits
    into a quarter of what is free; `tell` is told, in a line, what was chosen.

    `env` is remembered as what to play. Raises UserError if the directory holds another run, or if another process is
    writing it.
    """
    directory = at_home(directory or Path("runs") / Path(dataset.name).stem)
    flow, critic_from = (run and at_home(run) for run in (flow, critic_from))
    dataset = in_their_units(dataset, flow, critic_from)
    source: dict[str, Any] = dict(path=dataset.path and str(dataset.path.resolve()), fingerprint=fingerprint(dataset))
    if dataset.keys:
        source["keys"] = list(dataset.keys)
    if dataset.labels is not None:
        source["labels"] = str(dataset.labels.resolve())
    if dataset.rewarded is not None:
        source["rewards"] = dataset.rewarded
    if dataset.held_out is not None:
        source["held_out"] = dataset.held_out
    if dataset.references is not None:
        source["references"] = list(dataset.references)
    if dataset.action_range is not None:
        source["actions"] = [x.tolist() for x in dataset.action_range]
    if notes := suspicions(examine(dataset, config.horizon), sensors=False):
        source["look_at"] = notes
    record: dict[str, Any] = dict(dataset=dataset.name, data=source, flow=flow and str(flow), train=to_json(config))
    if env:
        record["env"] = env
    if critic_from:
        record["critic_from"] = str(critic_from)
    if USED:
        record["use"] = USED
    trial = _trial(config, evaluate, eval_every, patience)
    write_log = make_logger(tuple(log) if first() else (), directory, to_json(config))
    begun = None if overwrite else begun_with(directory)
    setup = prepare(
        dataset, config, flow, critic_from, None if overwrite else kept_scales(directory, dataset),
        begun, None if memory is None else read_size(memory),
    )  # fmt: skip
    if setup.window.plan.every:
        record["window"] = asdict(setup.window.plan)
    if setup.held:
        tell(setup.held)
    if setup.devices.hosts > 1:
        record["hosts"] = setup.devices.hosts
        if trial:
            raise UserError("--eval-every: several processes that train together play nothing; evaluate afterwards")
    with ExitStack() as held:
        with together():
            if first():
                _check_names(dataset.name, dataset.path or "", directory.resolve())
                _check_free(directory)
                held.enter_context(locked(directory))
                if overwrite and (directory / "config.json").exists():
                    _clear(directory)  # only now that nothing else can be wrong, and only if it is a run
                stays_inside(directory)
                _claim(directory, record)
        settings = directory / "config.json"
        if not setup.learner.losses:  # all is lent: the run joins a flow and a critic
            state = setup.start()
            if first():
                write_json(settings, record)
        else:
            checkpoints = Checkpoints(directory / "checkpoints", keep, config.checkpoint_every)
            state, latest = _newest(setup, checkpoints)
            if latest >= config.steps and trial is None and exported(directory / "policy", config.seeds, latest):
                return Run(directory)  # it is finished, and is not written again
            if first():
                write_json(settings, record)  # those in FREE may be others; only now that nothing else is wrong
                keep_scales(directory, setup.scales)
            if notes:
                more = f" (+{len(notes) - 1}: qgf data)" if notes[1:] else ""
                warnings.warn(f"{dataset.name}: look at: {notes[0]}{more}", Caution, stacklevel=2)
            with closing(setup.window):
                state = _learn(setup, state, latest, checkpoints, directory, write_log, progress, trial)
        policies = setup.trained(state)
        with together():
            if first():
                with turn(directory):
                    write_policies(policies, directory / "policy")
    return Run(directory)


def _trial(config: TrainConfig, evaluate, every, patience) -> Trial | None:
    if evaluate is None or every is None:
        if evaluate or every or patience:
            raise UserError("evaluate, eval_every and patience belong together: give the first two, or none")
        return None
    trial = Trial(evaluate, every, patience)
    trial.check(config)
    return trial


def _newest(setup: Setup, checkpoints: Checkpoints) -> tuple[State, int]:
    """The state that training goes on from, and its number of updates."""
    latest = checkpoints.latest()
    if latest is None:
        return setup.start(), 0
    return restored(setup, checkpoints, latest), latest


def _learn(
    setup: Setup,
    state: State,
    latest: int,
    checkpoints: Checkpoints,
    directory: Path,
    write_log: Log,
    progress: Progress,
    trial: Trial | None,
) -> State:
    """The training loop, from a checkpoint to the last update.

    SIGINT and SIGTERM end it after the compiled call in which they come, with a checkpoint and without a policy.
    """
    config = setup.config
    table = Metrics(directory / "metrics.csv", keep=latest) if first() else None
    watch = Watch(trial, directory, config.seeds, keep=latest) if trial else None
    if watch and latest and watch.due(latest, config) and not watch.has(latest):  # a signal came before it was over
        watch.play(latest, setup.trained(state))
    step, alarmed, ended, told = updates_of(state), "", False, False
    before = np.inf
    with held_back() as stop:
        while step < config.steps and (watch is None or watch.patient) and not ended:
            updates = min(config.log_every - step % config.log_every, config.steps - step)
            state, logs, rate = _updated(setup, state, step, updates)
            step += updates
            optimiser, decays = judged(state.optimiser, logs)
            if decays is not None:
                state, logs = state._replace(optimiser=optimiser), logs | {"critic/decays": decays}
            refuse(setup, checkpoints, logs, step, directory)
            means = {key: float(x.mean()) for key, x in logs.items()} | dict(updates_per_second=rate)
            beyond = float(np.max(logs.get("critic/beyond", 0)))
            if not alarmed and beyond >= before and (alarmed := diverged(beyond, step)):  # and not on its way back
                warnings.warn(f"{directory}: after {step:,} updates {alarmed}", Caution, stacklevel=3)
            before = beyond
            due = recorded(step, config.log_every, config.seeds)
            with together():
                if due and table:
                    table.add(step, logs)
            try:
                if watch and watch.due(step, config):
                    means |= stop.unless(partial(watch.play, step, setup.trained(state))) or {}
                if told := anywhere(bool(stop)):
                    break
                if step % config.checkpoint_every == 0 or step == config.steps:
                    checkpoints.save(step, state)
                if first():
                    if due:
                        write_log(step, means)
                    progress(step, means)
            except Stop:
                ended = True
            told = anywhere(bool(stop))
            ended = told or anywhere(ended)
        if checkpoints.latest() != step:  # it ended early
            checkpoints.save(step, state)
        checkpoints.close()
        if table:
            table.close()
    if told:  # and this process was not
        raise UserError("another of the processes that train together was told to stop; the same commands continue")
    for note in doubts(Run(directory).metrics()) if first() else ():
        warnings.warn(f"{directory}: {note}", Caution, stacklevel=3)
    return state


def _updated(setup: Setup, state: State, step: int, updates: int) -> tuple[State, dict[str, np.ndarray], float]:
    """The state after one compiled call that begins after update `step`, what that logged for each seed
    [seeds], and updates per second."""
    began = time.perf_counter()
    if (shapes := setup.window.begin(step)) is not None:  # read while that is compiled
        setup.learner.compile(state, shapes, updates)
    state, found = setup.learner.run(state, setup.window.at(step), updates)
    if setup.held_out:
        checked = setup.learner.validate(state, setup.held_out, VALIDATION_SIZE)
        found |= {f"val/{key.removeprefix('loss/')}": x for key, x in checked.items() if key.startswith("loss/")}
    if setup.config.log_every >= EVERY:  # not by the length, which a run that goes on does not know from its start
        found |= health(setup.learner.program, state, setup.held_out or setup.chunks, setup.bounds)
    logs = {key: np.atleast_1d(x) for key, x in setup.in_users_unit(setup.devices.here(found)).items()}
    return state, logs, updates / (time.perf_counter() - began)
