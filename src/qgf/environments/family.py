"""A family of environments: all that the rest of the package asks about an environment's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qgf.data.actions import Range
from qgf.environments.simulators import Missing
from qgf.environments.spaces import check_actions
from qgf.errors import UserError, unknown
from qgf.plugins import BROUGHT
from qgf.registry import Registry

if TYPE_CHECKING:
    import gymnasium

    from qgf.environments.maze import Maze

Counted = Callable[[int, int], None]
Label = Callable[[dict[str, Any], Path], dict[str, Any]]
"""(arrays, their file) -> arrays."""
LANES = 16
"""Episodes in flight. Fixed rather than read off the machine, so that results do not depend on its cores."""


def success_of(info: dict[str, Any]) -> bool | None:
    """Whether the task is solved, by what most environments call it; None if they say nothing. Raises UserError for
    what is neither true nor false, as a share of what is done.
    """
    for key in ("success", "is_success"):
        if (said := info.get(key)) is not None:
            x = np.asarray(said).ravel()
            if x.size != 1 or x.dtype.kind not in "biuf" or x[0] not in (0, 1):
                raise UserError(
                    f'info has {key} {said!r}, neither true nor false: say what success is (--success "{key}>=1")'
                )
            return bool(x[0])
    return None


class Family:
    """Environments that are known by their names.

    `owns` and `make` are what a family must say. The other answers given here are those of environments with
    one task each, whose data are a file of the same name.
    """

    name: ClassVar[str] = ""

    def owns(self, name: str) -> bool:
        """Whether a name is one of this family's, right or wrong, by the looks of it."""
        raise UserError(f"family {self.name!r} does not say which names are its own: give it owns(name)")

    def check(self, name: str) -> str:
        """The name in full, here as it is. Raises UserError with the nearest name if there is no such environment."""
        return name

    def imports(self, name: str) -> str:
        """The module that a name asks to be imported, "" if it asks for none, as here."""
        return ""

    def make(self, name: str, size: int | None = None) -> gymnasium.Env:
        """A new environment, observations [S], actions [A]; its `render` gives pictures of `size` pixels."""
        raise UserError(f"family {self.name!r} does not say how its environments are made: give it make(name)")

    def actions(self, name: str) -> Range:
        """The range of an environment's actions, low and high, [A] each or one number for all."""
        env = self.make(name)
        try:
            check_actions(name, env.action_space)
            return env.action_space.low, env.action_space.high
        finally:
            env.close()

    def maker(self, name: str) -> Callable[[], gymnasium.Env]:
        """`make` as it is sent to worker processes, which know nothing but what is in it."""
        return partial(self.make, name)

    def forks(self, name: str) -> bool:
        """Whether an environment is nothing but memory, so that one can be made, and a copy of its process be another:
        no threads, files or pictures that are held.
        """
        return False

    def seeded(self, name: str) -> bool:
        """Whether the seed of reset is known to decide an episode; otherwise that is tried where one is played."""
        return False

    def names(self) -> Iterable[str]:
        """Names to suggest where one is wrong."""
        return ()

    def success(self, info: dict[str, Any]) -> bool | None:
        """Whether the task is solved by the `info` of a step; None if that does not say."""
        return success_of(info)

    def references(self, name: str) -> tuple[float, float] | None:
        """The returns that a normalised score calls 0 and 100, where they are known."""
        return None

    def lanes(self, name: str) -> int:
        """How many episodes to play at a time."""
        return LANES

    def maze(self, name: str) -> Maze | None:
        """What pictures draw of an environment whose state starts with a place in a maze."""
        return None

    # Tasks

    def tasks(self, name: str) -> list[str]:
        """The environments that an evaluation spreads its episodes over."""
        return [self.check(name)]

    def goal(self, name: str) -> str:
        """What tables call one of several tasks of one policy, "task 3"."""
        return ""

    def task(self, name: str, number: int) -> str:
        """The environment of one task, from 1, of what a study calls an environment."""
        if number != 1:
            raise UserError(f"{name} has one task, there is no task {number}")
        return name

    def trained(self, name: str) -> str:
        """The data that a policy for this environment is trained on, as `load_dataset` knows them."""
        return name

    # Data

    def file(self, name: str) -> str:
        """The data's file, without .npz, in the folder of datasets."""
        return name

    def shards(self, name: str) -> str:
        """The folder of its record shards, if it was converted to them, in the folder of datasets."""
        return f"{name}.shards"

    def labeller(self, name: str) -> Label:
        """What adds this task's rewards and masks, or `goals`, to the arrays of a data file."""
        return lambda arrays, path: arrays

    def download(self, name: str, folder: Path) -> bool:
        """Fetch the data's files; False if they cannot be had."""
        return False

    def source(self, name: str) -> str:
        """What to do where data are missing."""
        return f"put {self.file(name)}.npz there, or give the file's own name"

    def transitions(self, name: str, wanted: int) -> int:
        """How many transitions `collect` makes if so many are wanted."""
        return wanted

    def collect(
        self,
        name: str,
        transitions: int | None = None,
        seed: int = 0,
        workers: int | None = None,
        directory: str | Path | None = None,
        overwrite: bool = False,
        progress: Counted = lambda done, total: None,
    ) -> Path:
        """Make the data's files; the path of the one to train on."""
        raise UserError(f"{name}: qgf has nothing that collects data here; {self.source(name)}")


def _check(name: str, family: Family) -> None:
    if not isinstance(family, Family):
        raise UserError(f"family {name!r}: {family!r} is no Family; derive one and add an instance of it")


FAMILIES: Registry[Family] = Registry("family", named=True, check=_check)
"""By name; those that were added last are asked first."""


def find_family(name: str) -> Family | None:
    """The family that owns a name, None if none does."""
    return next((family for family in reversed(list(FAMILIES.values())) if family.owns(name)), None)


def family_of(name: str) -> Family:
    """The family that owns a name. Raises UserError with the nearest known name if none does."""
    family = find_family(name)
    if family is None:
        raise unknown("environment", name, list(chain.from_iterable(map(_names, FAMILIES.values()))))
    return family


def named_by(where: str | Path, name: str) -> str:
    """The name of an environment that a run or a study names. Raises UserError if that would import and call what its
    reader has not: a module which no file of his own has imported (`--use`).
    """
    family = find_family(name)
    module = family.imports(name) if family else ""
    if module and module not in BROUGHT:
        raise UserError(
            f"{where} names the environment {name}, which would import the module {module}, code: if you know it, give "
            f"--env {name}, or qgf --use with a file that imports {module}"
        )
    return name


def maze_of(name: str) -> Maze | None:
    """The maze of an environment, None if it has none, or if `name` is of no environment."""
    family = find_family(name)
    return family.maze(name) if family else None


def _names(family: Family) -> Iterable[str]:
    try:
        return family.names()
    except Missing:
        return ()
