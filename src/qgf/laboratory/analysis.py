"""All measurements of what a critic's gradient is worth, for a run, with critics of its own to guide and to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import msgspec
import numpy as np

from qgf.data import Dataset
from qgf.data.stored import Stored, held
from qgf.environments.datasets import dataset_of
from qgf.errors import UserError
from qgf.files import locked, stays_inside, write_csv, write_table
from qgf.laboratory.cost import Price, cost
from qgf.laboratory.noise import Cosine, Jacobian, jacobians, noise_sensitivity
from qgf.laboratory.reach import (
    SAMPLES,
    Far,
    Reached,
    distance_from_data,
    gradient_as_optimiser,
    neighbours,
    sweep,
)
from qgf.laboratory.seeds import Alike, alike, policies_of
from qgf.method.policy import Policy
from qgf.method.strength import OWN
from qgf.playing.arm import arms, runnable
from qgf.training.config import TrainConfig
from qgf.training.export import listed
from qgf.training.loop import train
from qgf.training.run import Run
from qgf.training.trained import load_trained

Named = Callable[[str, int, int], None]
"""(name of the measurement, done, total)."""


class Asked(msgspec.Struct, frozen=True):
    """How the ensembles of an analysis are asked (`Policy.guided`); a row of asked.csv, where it is not the usual."""

    members: str = OWN
    choose: str = OWN
    robust: bool = False


TABLES: dict[str, type[msgspec.Struct]] = dict(noise=Cosine, jacobian=Jacobian, value=Reached, distance=Far, cost=Price)
"""What the rows of each analysis/NAME.csv are."""


def halves(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """Every other episode each, with the same validation data. Raises UserError if there is only one episode."""
    episode = dataset.numbers
    if episode[-1] == 0:
        raise UserError(f"{dataset.name}: one episode cannot be halved")

    return dataset.rows(episode % 2 == 0), dataset.rows(episode % 2 == 1)


def half_critic(run: Run, half: Dataset, directory: Path, updates: int, tell: Callable[[int, int], None]) -> Policy:
    """The run's frozen flow, if it has one to lend, with a critic of its settings trained on half of the data; kept in
    `directory`.
    """
    config = replace(run.config, seeds=1, steps=min(updates, run.config.steps))
    flow = run.policy_dirs()[0] if config.method.lends["flow"] else None
    known = _finished(directory, flow, config)
    if not (known and listed(directory / "policy")):
        there = (directory / "config.json").exists() and _settings(directory)
        same = there == (config, flow and str(flow))
        resumes = same and (known or not (directory / "policy").exists())
        progress = lambda step, logs: tell(step, config.steps)
        train(half, config, directory, flow, overwrite=not resumes, progress=progress)
    return Run(directory).policy()


def _settings(directory: Path) -> tuple[TrainConfig, str | None]:
    run = Run(directory)
    return run.config, run.record.get("flow")


def _finished(directory: Path, flow: Path | None, config: TrainConfig) -> bool:
    """Whether `directory` holds a critic of these settings, trained to its end beside this very flow."""
    try:
        settings, trained = Run(directory).config, load_trained(directory / "policy")
    except UserError:
        return False
    lent = config.method.lends["flow"] if flow else ()
    nets = load_trained(flow).nets if flow else None
    same_flow = all(bool(eqx.tree_equal(getattr(trained.nets, part), getattr(nets, part))) for part in lent)
    return settings == config and same_flow


class States(NamedTuple):
    """Where something is measured."""

    observations: Any  # [n, S]
    episodes: np.ndarray  # [n] the episode that each is of


def some_states(dataset: Dataset | Stored, horizon: int, n: int, seed: int = 0) -> States:
    """n observations at which chunks start, of episodes that nothing was trained on if there are any."""
    source = dataset.validation or held(dataset)
    starts = source.starts(horizon)
    rng = np.random.default_rng(seed)
    rows = rng.choice(starts, n, replace=len(starts) < n)
    return States(source.seen(rows, rng), source.numbers[rows])


def analyse(
    directory: str | Path,
    guides: Iterable[str] = (),
    updates: int = 5_000,
    states: int = 512,
    samples: Sequence[int] = SAMPLES,
    data_dir: str | Path | None = None,
    seed: int = 0,
    progress: Named = lambda name, done, total: None,
    asked: Asked = Asked(),
) -> Path:
    """Measure a run's guides (default: all that it can run) at `states` held-out states; returns its analysis/ folder.

    Writes analysis/*.csv. The critics of two halves of the data, one to guide and one to judge, are trained once for
    `updates` updates (at most the run's own) and kept there.
    `progress(name, done, total)`. `asked`, if it is not the usual, is kept beside the tables. Raises UserError for what
    the run cannot do, before anything is trained.
    """
    run = Run(Path(directory))
    dataset = held(dataset_of(run.record, data_dir))
    if states < 2 or min(samples, default=1) < 1:
        raise UserError(f"an analysis needs at least two states and best of one, got {states} and {min(samples)}")
    observations, episodes = some_states(dataset, run.config.horizon, states, seed)
    how = msgspec.structs.asdict(asked)
    policy = run.policy(**how)
    guides = [guide for guide in runnable(policy, observations, guides) if guide != "none"]
    if not guides:
        raise UserError("there is nothing to analyse without a guide; leave --guide out for all")
    folder = run.directory / "analysis"
    stays_inside(run.directory)
    with locked(folder):
        first, second = (
            half_critic(run, half, folder / name, updates, partial(progress, f"critic of the {name} half"))
            for name, half in zip(("first", "second"), halves(dataset), strict=True)
        )
        chunks, key = neighbours(dataset, observations, policy.horizon), jax.random.key(seed)
        half, judge = first.guided("none", **how), second.guided("none", **how).guiding
        measured = _tables(policy, half, judge, observations, episodes, key, guides, samples, chunks, progress, how)
        for name, rows in measured:
            write_csv(folder / f"{name}.csv", rows, TABLES[name].__struct_fields__)
        write_table(folder / "asked.csv", [] if asked == Asked() else [how])
    return folder


def beside(
    directory: str | Path,
    others: Iterable[str | Path],
    states: int = 512,
    data_dir: str | Path | None = None,
    seed: int = 0,
    **how: Any,
) -> list[Alike]:
    """How alike the gradients of the critics of a run's seeds and of other runs are, asked as `how` says
    (`Policy.guided`), at `states` held-out states of the run's data; written to analysis/seeds.csv.
    """
    run = Run(Path(directory))
    dataset, key = dataset_of(run.record, data_dir), jax.random.key(seed)
    policies = policies_of([run, *(Run(Path(other)) for other in others)], **how)
    rows = alike(policies, *some_states(dataset, run.config.horizon, states, seed), key)
    stays_inside(run.directory)
    with locked(folder := run.directory / "analysis"):
        write_csv(folder / "seeds.csv", rows, Alike.__struct_fields__)
    return rows


def _tables(
    policy, half, judge, observations, episodes, key, guides, samples, chunks, progress, how
) -> Iterator[tuple[str, Sequence[msgspec.Struct]]]:
    """Every measurement by the name of its table."""
    chosen = list(dict.fromkeys(arm.asking(**how) for arm in sweep(guides, samples=samples)))
    tell = lambda name: dict(progress=partial(progress, name), episodes=episodes)
    yield "noise", noise_sensitivity(policy, observations, key, guides, **tell("noise"))
    yield "jacobian", jacobians(policy, observations, key, episodes)
    yield "value", gradient_as_optimiser(half, observations, key, chosen, judge, **tell("Q reached"))
    far = tell("distance from the data")
    yield "distance", distance_from_data(half, observations, key, chosen, chunks, judge, **far)
    priced = arms(["none", *guides]) + arms(("none", "qgf"), best_of=[n for n in samples if n > 1])
    priced = [arm.asking(**how) for arm in priced]
    yield "cost", cost(policy, observations, key, priced, progress=partial(progress, "cost"))
