"""A critic that qgf trained, for a policy's batches and chunks in the policy's own units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qgf.errors import UserError
from qgf.files import read_json
from qgf.files.sums import sha256
from qgf.lerobot.policies import Shape
from qgf.lerobot.units import Affine, units
from qgf.torch.reading import WEIGHTS, load_critic
from qgf.words import FEATURES, STATES


class Learned:
    """critic(batch, a[B, H, A]) -> [B]: the run's observations are made of the batch's, its actions of the policy's."""

    def __init__(self, run: str | Path, known: dict[str, Affine], shape: Shape, columns: tuple[str, ...] | None):
        run = Path(run)
        self.critic = load_critic(run)
        if (self.critic.horizon, self.critic.action_dim) != (shape.count, shape.dims):
            raise UserError(
                f"{run}: its critic knows {self.critic.horizon} actions of {self.critic.action_dim} numbers, the "
                f"policy executes {shape.count} of {shape.dims}: n_action_steps, or qgf train --horizon {shape.count}"
            )
        folder = run / "policy" if (run / "policy").is_dir() else run
        self.digest = sha256(folder / WEIGHTS)
        self.size = int(self.critic.net.mean.numel())  # type: ignore[attr-defined]
        self.known, self.action = known, known.get("action", Affine())
        self.columns = columns or _recorded(run)

    def __call__(self, batch: dict[str, Any], a: Tensor) -> Tensor:
        return self.moved(a)(self.seen(batch, a), self.action.outward(a))

    @property
    def inner(self):
        return self.critic

    def around(self, f):
        """What the critic can do besides (`types.ability`), for the policy's batches."""
        return lambda batch, a, *rest: f(self.seen(batch, a), self.action.outward(a), *rest)

    def moved(self, a: Tensor):
        if self.critic.net.mean.device != a.device:  # type: ignore[attr-defined]
            self.critic.to(a.device)
        return self.critic

    def seen(self, batch: dict[str, Any], a: Tensor) -> Tensor:
        """What the critic knows of a batch, [B, S] in the robot's units: of several times the last."""
        if missing := [name for name in self.columns or () if name not in batch]:
            raise UserError(f"the critic's {missing[0]} is not in the policy's batch ({', '.join(batch)})")
        last = lambda x: x[:, -1] if x.ndim == 3 else x
        names = self.columns or tuple(name for name in STATES if name in batch)
        parts = {name: self.known.get(name, Affine()).outward(last(batch[name]).to(a)) for name in names}
        inputs = [name for name in names if name in self.known]
        without = lambda names: [name for name in names if name != FEATURES]
        for some in (names,) if self.columns else (names, without(names), inputs):
            if sum(parts[name].shape[-1] for name in some) == self.size:
                return torch.cat([parts[name] for name in some], dim=-1)
        found = " + ".join(f"{name} [{x.shape[-1]}]" for name, x in parts.items()) or "none of its states"
        raise UserError(
            f"the critic sees {self.size} numbers, the policy's batch has {found}: name its columns, observations="
        )

    def range(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """The data's lowest and highest actions in the policy's units, [A] each."""
        ends = self.critic.actions
        one = torch.ones(shape.dims)
        low, high = (-one, one) if ends is None else (ends.low, ends.high)
        return self.action.inward(low, -torch.inf), self.action.inward(high, torch.inf)


def learned(run: str | Path, policy, shape: Shape, preprocessor: Any, columns) -> Learned:
    """The critic of a run for a policy, whose units are those of `preprocessor`, else of the folder it was loaded from.

    Raises UserError where neither is there, and for a critic of other chunks.
    """
    source = preprocessor or home(policy)
    if source is None:
        raise UserError(
            "the critic knows actions in the robot's units, the policy in normalised ones: give its preprocessor=, or "
            "the folder that has it"
        )
    return Learned(run, units(source), shape, None if columns is None else tuple(columns))


def home(policy) -> Path | None:
    """The folder that a policy was loaded from."""
    path = getattr(policy.config, "pretrained_path", None)
    return Path(path) if path and Path(path).is_dir() else None


def _recorded(run: Path) -> tuple[str, ...] | None:
    """The columns that a run's observations were made of, where they were chosen (`qgf train --keys`)."""
    file = run / "config.json"
    source = read_json(file, dict[str, Any], "a run").get("data") if file.is_file() else None
    keys = source.get("keys") if isinstance(source, dict) else None
    return tuple(keys) if keys else None
