"""Networks that one run lends another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from qgf.data import Dataset
from qgf.data.actions import UNIT, same, within
from qgf.data.scaling import squared
from qgf.data.stored import AnyDataset, Stored
from qgf.errors import UserError
from qgf.training.config import TrainConfig
from qgf.training.scales import Scales
from qgf.training.trained import Trained, load_trained
from qgf.types import Spec


def spec_of(dataset: Dataset | Stored, config: TrainConfig) -> Spec:
    """The sizes of the networks for a dataset."""
    numbers = dataset.obs_dim + dataset.goal_dim
    return Spec(numbers, dataset.action_dim, config.horizon, dataset.goal_dim, dataset.cameras)


def unit_for(dataset: Dataset | Stored, critic_from: str | Path | None) -> float:
    """The unit of rewards: a lent critic's own, else that of the data. Raises UserError for rewards so large or small
    that float32 cannot square them, as the length of a gradient asks.
    """
    if said := squared(dataset.reward_unit):
        raise UserError(f"{dataset.name}: {said}")
    return load_trained(critic_from).reward_unit if critic_from else dataset.reward_unit


def in_their_units(dataset: AnyDataset, *lenders: str | Path | None) -> AnyDataset:
    """The dataset with its actions scaled as those were that the lenders' networks know. Raises UserError if two of
    them do not agree, or if the data are beyond their range.
    """
    known = {run: load_trained(run).actions for run in lenders if run}
    if not known:
        return dataset
    if len(set(known.values())) > 1:
        raise UserError(f"{' and '.join(map(str, known))} scale actions differently, so they cannot be joined")
    (run, ends), *_ = known.items()
    range = None if ends is None else (np.array(ends[0]), np.array(ends[1]))
    if not within(dataset.extent, UNIT if range is None else range) and not same(dataset.action_range, range):
        raise UserError(f"{run}: its networks know actions in another range than those of {dataset.name}")
    return replace(dataset, action_range=range)


def _donated(
    flow, critic_from, dataset: Dataset | Stored, config: TrainConfig, reward_unit: float = 1.0
) -> tuple[dict, Scales | None]:
    """The networks that other runs lend, by name, and the scales of observations that go with them."""
    frozen: dict = {}
    scales = None
    for run, what in ((flow, "flow"), (critic_from, "critic")):
        if run:
            donor = _donor(run, dataset, config)
            if not (parts := donor.method.lends[what]):
                raise UserError(f"{run}: method {donor.method.name} has no {what} of its own to lend")
            if scales and not np.array_equal(scales[:2], (donor.mean, donor.std)):
                raise UserError(
                    f"{flow} and {critic_from} normalise observations differently, so they cannot be joined"
                )
            if what == "critic":
                mine, theirs = config.method.critic, donor.method.critic
                mine.in_units(1 / reward_unit).check_lent(run, theirs.in_units(1 / donor.reward_unit))
            scales = Scales.lent(donor)._replace(reward_unit=reward_unit)
            frozen |= {part: getattr(donor.nets, part) for part in parts}
    return frozen, scales


def _donor(flow: str | Path, dataset: Dataset | Stored, config: TrainConfig) -> Trained:
    """The run whose networks are reused, after checking that they fit."""
    donor = load_trained(flow)
    wanted = spec_of(dataset, config)
    if donor.spec != wanted:
        raise UserError(f"{flow}: its networks are for {donor.spec}, this run needs {wanted}")
    there, here = ((m.width, m.depth, m.network) for m in (donor.method, config.method))
    if there != here:
        width, depth, network = there
        kind = f" --network {network}" if network != here[2] else ""
        raise UserError(
            f"{flow}: its networks ({network}) have width {width} and depth {depth}; "
            f"pass --width {width} --depth {depth}{kind}"
        )
    if (features := donor.method.fourier) != config.method.fourier:
        raise UserError(f"{flow}: its networks see {features} Fourier features; pass --fourier {features}")
    if wanted.images and (encoder := donor.method.encoder) != config.method.encoder:
        raise UserError(f"{flow}: its networks see with {encoder}; pass --encoder {encoder}")
    return donor
