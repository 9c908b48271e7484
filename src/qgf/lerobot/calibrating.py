"""How far a strength of 1 pushes: sigma_a and E|grad Q| of a policy's own chunks, measured once and kept as JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from qgf.errors import Caution, UserError
from qgf.files import FINITE, read_json, write_text
from qgf.lerobot.batches import own_batch
from qgf.lerobot.critics import home
from qgf.lerobot.policies import Shape
from qgf.torch.guidance import grad, norm
from qgf.torch.observations import plain
from qgf.torch.strength import raw_weight
from qgf.types import Calibration

FILE = "qgf-calibration.json"
CHUNKS = 32
Scale = Annotated[float, msgspec.Meta(ge=0, le=FINITE)]


class Scales(msgspec.Struct, forbid_unknown_fields=True):
    sigma: Scale
    grad_norm: Scale
    states: int  # over how many it was measured
    executed: int  # actions of a chunk


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    critics: dict[str, Scales]  # by the SHA-256 of a critic's weights


@dataclass
class Store:
    """The scales of one critic on one policy, and the file where they are kept."""

    path: Path | None
    digest: str | None  # None: a function, which the file cannot know again
    executed: int
    scales: Calibration | None = None

    @classmethod
    def of(cls, policy, critic, shape: Shape, given: Calibration | str | Path | None) -> Store:
        """What was given, or what is kept. Raises UserError for a file that is none."""
        folder = home(policy)
        beside = None if folder is None else folder / FILE
        named = isinstance(given, (str, Path))
        store = cls(Path(given) if named else beside, getattr(critic, "digest", None), shape.count)  # type: ignore[arg-type]
        kept = store.read().critics.get(store.digest or "")
        if kept is not None and kept.executed == shape.count:
            store.scales = Calibration(kept.sigma, kept.grad_norm)
        if given is not None and not named:
            store.scales = given  # type: ignore[assignment]
        return store

    def read(self) -> Kept:
        if self.path is None or not self.path.is_file():
            return Kept(1, {})
        kept = read_json(self.path, Kept, "calibrations")
        if kept.format != 1:
            raise UserError(f"{self.path}: format {kept.format}, this version reads 1")
        return kept

    def keep(self, scales: Calibration, states: int) -> None:
        self.scales = scales
        if self.path is not None and self.digest is not None:
            every = self.read().critics
            every[self.digest] = Scales(scales.sigma, scales.grad_norm, states, self.executed)
            write_text(self.path, json.dumps(msgspec.to_builtins(Kept(1, every)), indent=2) + "\n")


def calibrate(policy, batches: Iterable[Any], chunks: int = CHUNKS) -> Calibration:
    """Measure what a strength of 1 is for a guided policy, over `chunks` unguided chunks of each of its batches.

    sigma_a is the mean over states and numbers of the standard deviation of the executed actions in the policy's units,
    E|g| the mean norm of grad Q there. Batches are what the pre-processor gives; a few hundred states of the data are
    enough. The scales are in force from now on, and for a run's critic they are kept in qgf-calibration.json beside the
    policy. Raises UserError for a policy that is not guided, and without batches.
    """
    if "guidance" not in vars(policy):
        raise UserError(
            "this policy is not guided: guide(policy, critic, strength=1.0), then calibrate(policy, batches)"
        )
    made = policy.guidance
    scales, states = _measured(policy, made, batches, chunks)
    made.store.keep(scales, states)
    if made.strength is not None or made.weight is None:
        made.weight = _weight(made, scales)
    return scales


def measured(policy, made, batches: Iterable[Any]) -> None:
    """Calibrate on what a policy is asked first; nothing is kept, as it is few states."""
    scales, states = _measured(policy, made, batches, CHUNKS)
    made.store.scales, made.weight = scales, _weight(made, scales)
    told = f"strength is measured over the {states} first states: better calibrate(policy, batches), once, on the data"
    warnings.warn(Caution(told), stacklevel=4)


def _weight(made, scales: Calibration) -> float:
    return raw_weight(made.strength, None, scales, made.shape.dims * made.shape.count, made.guide)


def _measured(policy, made, batches: Iterable[Any], chunks: int) -> tuple[Calibration, int]:
    ask, fresh = made.seam.one, getattr(policy, "reset", lambda: None)
    sigma: list[Tensor] = []
    slopes: list[Tensor] = []
    states, in_force, best_of = 0, made.weight, made.best_of
    made.weight, made.best_of = 0.0, 1
    try:
        with plain(), torch.random.fork_rng():  # the policy's own noise goes on as if nothing had been measured
            for batch in batches:
                every = []
                for _ in range(chunks):
                    fresh()
                    ask(own_batch(batch))
                    every.append(made.chunk)
                    slopes.append(norm(grad(made.q(rows=slice(None)))(made.chunk)).flatten())
                sigma.append(torch.std(torch.stack(every), dim=0, correction=0).mean(dim=(1, 2)))
                states += len(sigma[-1])
    finally:
        made.weight, made.best_of = in_force, best_of
        fresh()
    if not sigma:
        raise UserError("calibrate takes a few batches, got none")
    return Calibration(float(torch.cat(sigma).mean()), float(torch.cat(slopes).mean())), states
