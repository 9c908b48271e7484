"""Train into a run directory: metrics, exact checkpoints, resume, calibration, portable policy."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qgf.checkpoint import Checkpoints, Trained, load_trained, save_trained
from qgf.config import TrainConfig, from_json, read_json, to_json, write_json
from qgf.data import Dataset
from qgf.errors import UserError
from qgf.files import LOCK, locked, write_text
from qgf.hindsight import GoalChunks
from qgf.learner import Chunks, Data, Learner, State
from qgf.sampling import Policy, calibrate
from qgf.types import Spec

CALIBRATION_STATES = 256
VALIDATION_SIZE = 1024
FREE = ("steps", "log_every", "checkpoint_every")  # may change when a run is resumed

Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Run:
    """A run directory: config.json, metrics.csv, checkpoints/, policy/, and what evaluate and report add."""

    directory: Path

    @property
    def config(self) -> TrainConfig:
        return from_json(self.record["train"])

    @property
    def record(self) -> dict:
        return read_json(self.directory / "config.json", "a run directory")

    def policy_dirs(self) -> list[Path]:
        """One folder per seed: policy/, or policy/seed0/ ... when several were trained together."""
        policy = self.directory / "policy"
        return sorted(policy.glob("seed*"), key=lambda p: int(p.name[4:])) or [policy]

    def policy(self, seed: int = 0, **guidance) -> Policy:
        """The trained policy under `Policy.guided(**guidance)`: guide, strength or weight, best_of, steps."""
        folders = self.policy_dirs()
        if not 0 <= seed < len(folders):
            raise UserError(f"{self.directory}: no policy of seed {seed}, it has {len(folders)}")
        return load_trained(folders[seed]).policy().guided(**guidance)

    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv."""
        with open(self.directory / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]} if rows else {}


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


def spec_of(dataset: Dataset, config: TrainConfig) -> Spec:
    """The sizes of the networks for a dataset."""
    return Spec(dataset.obs_dim + dataset.goal_dim, dataset.action_dim, config.horizon, dataset.goal_dim)


def to_device(dataset: Dataset, config: TrainConfig, mean: np.ndarray, std: np.ndarray) -> Data:
    """The dataset as device arrays, observations normalised, with every chunk's return computed once."""
    if dataset.goals is not None:
        return goals_to_device(dataset, dataset.goals, config, mean, std)
    starts = dataset.starts(config.horizon)
    returns, bootstrap = dataset.chunk_returns(starts, config.horizon, config.discount)
    obs = (dataset.observations - mean) / std
    return Chunks(*map(jnp.asarray, (obs, dataset.actions, starts.astype(np.int32), returns, bootstrap)))


def goals_to_device(dataset: Dataset, goals: np.ndarray, config: TrainConfig, mean, std) -> GoalChunks:
    """The dataset as device arrays, observations and goals normalised; returns are known when a goal is drawn."""
    method, size = config.method, dataset.obs_dim
    starts = dataset.starts(method.long, "--long")
    last = np.flatnonzero(dataset.ends)
    ends = last[np.searchsorted(last, starts)]
    return GoalChunks(
        obs=jnp.asarray((dataset.observations - mean[:size]) / std[:size]),
        goals=jnp.asarray((goals - mean[size:]) / std[size:]),
        actions=jnp.asarray(dataset.actions),
        starts=jnp.asarray(starts, jnp.int32),
        ends=jnp.asarray(ends, jnp.int32),
        discount=config.discount,
        mix=method.mix,
        long=method.long,
    )


def initial_state(learner: Learner, config: TrainConfig) -> State:
    """The first state of one seed, or of several with a leading axis."""
    key = jax.random.key(config.seed)
    if config.seeds == 1:
        return learner.init(key)
    return jax.jit(jax.vmap(learner.init))(jax.random.split(key, config.seeds))


class Metrics:
    """metrics.csv: one row per log interval and seed. Opening it drops what a killed run wrote after its checkpoint."""

    def __init__(self, path: Path, keep: int):
        self.path, self.columns = path, None
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        kept = whole[:1] + [line for line in whole[1:] if int(line.split(",", 1)[0]) <= keep]
        if len(kept) > 1:
            self.columns = kept[0].strip().split(",")[2:]
        write_text(path, "".join(kept) if self.columns else "")

    def add(self, step: int, logs: dict[str, np.ndarray]) -> None:
        text = io.StringIO()
        if self.columns is None:
            self.columns = sorted(logs)
            print("step", "seed", *self.columns, sep=",", file=text)
        for seed in range(len(next(iter(logs.values())))):
            print(step, seed, *(repr(float(logs[key][seed])) for key in self.columns), sep=",", file=text)
        try:
            with open(self.path, "a") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error


def _donated(flow, critic_from, dataset: Dataset, config: TrainConfig) -> tuple[dict, tuple | None]:
    """The networks that other runs lend, by name, and the normalisation of observations that goes with them."""
    frozen: dict = {}
    scales = None
    for run, parts in ((flow, ("flow",)), (critic_from, ("critic", "value", "target", "long"))):
        if run:
            donor = _donor(run, dataset, config)
            if scales and not np.array_equal(scales, (donor.mean, donor.std)):
                raise UserError(
                    f"{flow} and {critic_from} normalise observations differently, so they cannot be joined"
                )
            if "critic" in parts:
                _check_critics(run, donor.method, config.method)
            scales = (np.asarray(donor.mean), np.asarray(donor.std))
            frozen |= {part: getattr(donor.nets, part) for part in parts if hasattr(donor.nets, part)}
    return frozen, scales


def _check_critics(run: str | Path, there, here) -> None:
    if there.critic != here.critic:
        raise UserError(f"{run}: its critic is of the kind {there.critic}; pass --critic {there.critic}")
    if there.ensemble_size != here.ensemble_size:
        raise UserError(f"{run}: it has {there.ensemble_size} critics; pass --critics {there.ensemble_size}")
    if here.critic == "hl-gauss":
        histograms = [(m.value_low, m.value_high, m.bins) for m in (there, here)]
        if histograms[0] != histograms[1]:
            low, high, bins = histograms[0]
            raise UserError(
                f"{run}: its histograms are others; pass --value-low {low} --value-high {high} --bins {bins}"
            )


def _donor(flow: str | Path, dataset: Dataset, config: TrainConfig) -> Trained:
    """The run whose networks are reused, after checking that they fit."""
    donor = load_trained(flow)
    wanted = spec_of(dataset, config)
    if donor.spec != wanted:
        raise UserError(f"{flow}: its networks are for {donor.spec}, this run needs {wanted}")
    sizes = [(m.width, m.depth) for m in (donor.method, config.method)]
    if sizes[0] != sizes[1]:
        (width, depth), _ = sizes
        raise UserError(
            f"{flow}: its networks have width {width} and depth {depth}; pass --width {width} --depth {depth}"
        )
    return donor


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


def _claim(directory: Path, record: dict) -> None:
    """Write config.json, or make sure that the run that is there was made with the same settings."""
    path = directory / "config.json"
    if path.exists():
        old = read_json(path, "a run directory")
        if "train" in old:
            old["train"] = to_json(from_json(old["train"]))  # with today's defaults for settings it does not know
        others = ("dataset", "flow", "critic_from")
        flat = [{**r.get("train", {}), **{name: r.get(name) for name in others}} for r in (old, record)]
        changed = [k for k in flat[1] if k not in FREE and flat[0].get(k) != flat[1][k]]
        if changed:
            differences = ", ".join(f"{k}={flat[0].get(k)} there, {flat[1][k]} now" for k in changed)
            raise UserError(
                f"{directory} holds a run with other settings ({differences}); use another --out or --overwrite"
            )
    write_json(path, record)


def _check_free(directory: Path) -> None:
    if (directory / "config.json").exists() or not directory.is_dir():
        return
    if any(path.name != LOCK for path in directory.iterdir()):
        raise UserError(f"{directory} is not empty and is no run directory; use another --out")


def _clear(directory: Path) -> None:
    """Delete a run; its config.json last, so that what an interruption leaves is still known as a run."""
    for path in sorted(directory.iterdir(), key=lambda path: path.name == "config.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


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
