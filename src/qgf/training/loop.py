"""Train into a run directory: metrics, exact checkpoints, resume, calibration, portable policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qgf.data import Dataset
from qgf.errors import UserError
from qgf.files import locked
from qgf.method.policy import calibrate
from qgf.training.checkpoint import Checkpoints
from qgf.training.config import TrainConfig, to_json
from qgf.training.device import to_device
from qgf.training.folder import _check_free, _claim, _clear
from qgf.training.learner import Data, Learner, State
from qgf.training.lending import _donated, spec_of
from qgf.training.metrics import Metrics
from qgf.training.run import Run
from qgf.training.trained import Trained, save_trained

CALIBRATION_STATES = 256
VALIDATION_SIZE = 1024

Progress = Callable[[int, dict[str, float]], None]


def train(
    dataset: Dataset,
    config: TrainConfig = TrainConfig(),
    directory: str | Path | None = None,
    flow: str | Path | None = None,
    critic_from: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda step, logs: None,
) -> Run:
    """Train a flow by behaviour cloning and a critic by TD, into `directory` (default runs/NAME).

    Continues exactly where an earlier call with the same configuration stopped, to the bit. `flow` is a run whose
    cloned flow is used as it is (with its observation normalisation), so that only the critic is trained, and
    `critic_from` one whose critic is. `progress(step, logs)` is called after every compiled call. Raises UserError if
    the directory holds another run, or if another process is writing it.
    """
    directory = Path(directory or Path("runs") / Path(dataset.name).stem)
    record = dict(dataset=dataset.name, flow=flow and str(flow), train=to_json(config))
    if critic_from:
        record["critic_from"] = str(critic_from)
    _check_goals(dataset, config.method)
    method = config.method.prepared(dataset.rewards, config.discount)
    frozen, scales = _donated(flow, critic_from, dataset, replace(config, method=method))
    mean, std = scales or dataset.normaliser()
    chunks = to_device(dataset, config, mean, std)
    held_out = dataset.validation and to_device(dataset.validation, config, mean, std)
    spec = spec_of(dataset, config)
    precision = None if config.precision == "float32" else config.precision
    learner = Learner(method, spec, config.learning_rate, config.batch_size, frozen, precision)
    nets = jax.eval_shape(lambda key: method.init(spec, key), jax.random.key(0))
    if foreign := [part for part in frozen if not hasattr(nets, part)]:
        raise UserError(f"{flow or critic_from}: method {method.name} has no {foreign[0]} that could be lent to it")
    _check_free(directory)
    with locked(directory):
        if overwrite and (directory / "config.json").exists():
            _clear(directory)  # only now that nothing else can be wrong, and only if it is a run
        _claim(directory, record)
        if learner.losses:
            state = _learn(learner, config, directory, chunks, held_out, progress)
        else:  # all is lent: the run joins a flow and a critic
            state = initial_state(learner, config)
        _export(learner, state, chunks, directory, dataset.name, mean, std, config)
    return Run(directory)


def _learn(learner: Learner, config: TrainConfig, directory: Path, chunks: Data, held_out, progress) -> State:
    """The training loop, from the newest checkpoint to the last update."""
    state = initial_state(learner, config)
    checkpoints = Checkpoints(directory / "checkpoints")
    latest = checkpoints.latest()
    if latest is not None:
        fresh, state = state, checkpoints.restore(latest, state)
        state = state._replace(nets=learner.with_frozen(state.nets, fresh.nets))  # whoever lends may have gone on
    table = Metrics(directory / "metrics.csv", keep=latest or 0)
    step = updates_of(state)
    while step < config.steps:
        began, updates = time.perf_counter(), min(config.log_every - step % config.log_every, config.steps - step)
        state, logs = learner.run(state, chunks, updates)
        if held_out:
            checked = learner.validate(state, held_out, VALIDATION_SIZE)
            logs |= {f"val/{key.removeprefix('loss/')}": x for key, x in checked.items() if key.startswith("loss/")}
        logs = {key: np.atleast_1d(np.asarray(x)) for key, x in logs.items()}
        step += updates
        _check_finite(logs, step, directory)
        table.add(step, logs)
        if step % config.checkpoint_every == 0 or step == config.steps:
            checkpoints.save(step, state)
        rate = updates / (time.perf_counter() - began)
        progress(step, {key: float(x.mean()) for key, x in logs.items()} | dict(updates_per_second=rate))
    checkpoints.close()
    return state


def updates_of(state: State) -> int:
    """The updates a state has had; those of several seeds are trained together."""
    return int(jnp.ravel(state.step)[0])


def initial_state(learner: Learner, config: TrainConfig) -> State:
    """The first state of one seed, or of several with a leading axis."""
    key = jax.random.key(config.seed)
    if config.seeds == 1:
        return learner.init(key)
    return jax.jit(jax.vmap(learner.init))(jax.random.split(key, config.seeds))


def _check_goals(dataset: Dataset, method) -> None:
    if method.goal_conditioned and dataset.goals is None:
        raise UserError(
            f"{dataset.name}: method {method.name} needs goals; use a name such as "
            "pointmaze-medium-navigate-oraclerep-v0"
        )
    if dataset.goals is not None and not method.goal_conditioned:
        raise UserError(
            f"{dataset.name} has goals and no rewards, which method {method.name} needs: use --method gc, or a "
            "single-task name"
        )


def _check_finite(logs: dict[str, np.ndarray], step: int, directory: Path) -> None:
    for key, x in logs.items():
        if not np.isfinite(x).all():
            raise UserError(
                f"{directory}: {key} is {x[~np.isfinite(x)][0]} after {step} updates, training diverged; "
                "try a smaller --learning-rate"
            )


def _export(learner: Learner, state: State, chunks: Data, directory: Path, name: str, mean, std, config) -> None:
    """Calibrate and write the portable policy of every seed, under the updates it had (a resumed run may have more)."""
    updates = updates_of(state)
    rng = np.random.default_rng(config.seed)
    rows = rng.choice(len(chunks.starts), CALIBRATION_STATES)
    observations = np.asarray(chunks.states(jnp.asarray(rows), jax.random.key(config.seed))) * std + mean
    for seed in range(config.seeds):
        nets = state.nets if config.seeds == 1 else jax.tree.map(lambda x, seed=seed: x[seed], state.nets)
        trained = Trained(nets, jnp.asarray(mean), jnp.asarray(std), learner.method, learner.spec, updates, name)
        scales = calibrate(trained.policy(), observations, jax.random.key(config.seed)).calibration
        trained = replace(trained, calibration=scales)
        save_trained(trained, directory / "policy" if config.seeds == 1 else directory / "policy" / f"seed{seed}")
