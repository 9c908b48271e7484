"""Environments by name: what an OGBench name means, and vector environments that play chunks of actions."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

from qgf.errors import UserError, unknown

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GLFW complains on every machine without a display
        import gymnasium
        import ogbench  # noqa: F401  (registers its environments)
except ImportError as error:
    raise UserError(f"environments need {error.name}: pip install 'qgf[ogbench]'") from error

warnings.filterwarnings("ignore", module="glfw")  # MuJoCo asks for a display again when it first renders
gymnasium.logger.min_level = gymnasium.logger.ERROR  # precision warnings of the simulators' spaces

KINDS = ("singletask", "oraclerep")
TASKS = 5
"""OGBench has five goals in every environment."""


class EnvName(NamedTuple):
    """An OGBench name taken apart, e.g. cube-single-play-singletask-task2-v0 or cube-single-play-oraclerep-v0.

    To OGBench's oraclerep names, whose episodes have one of five goals each, come those of one goal,
    cube-single-play-oraclerep-task2-v0.
    """

    full: str
    env: str  # gymnasium id, cube-single-singletask-task2-v0
    dataset: str  # file name, cube-single-play-v0
    single_task: bool
    goals: bool = False


def parse_name(name: str) -> EnvName:
    """Take an OGBench name apart. Raises UserError with the nearest known name if there is no such environment."""
    name = name if re.search(r"-v\d+$", name) else f"{name}-v0"
    parts = name.split("-")
    kind = next((kind for kind in KINDS if kind in parts), "")
    if kind:
        at = parts.index(kind)
        env, dataset = "-".join(parts[: at - 1] + parts[at:]), "-".join(parts[:at] + parts[-1:])
    else:
        env, dataset = "-".join(parts[:-2] + parts[-1:]), name
    if env not in gymnasium.registry:
        raise unknown("environment", name, _known_names(kind))
    return EnvName(name, env, dataset, kind == "singletask", kind == "oraclerep")


def tasks_of(name: str) -> list[str]:
    """The names of all goals of an oraclerep name, or the name itself if it is of one task."""
    parsed = parse_name(name)
    base, version = parsed.full.rsplit("-", 1)
    whole = parsed.goals and base.endswith("-oraclerep")
    return [f"{base}-task{k}-{version}" for k in range(1, TASKS + 1)] if whole else [parsed.full]


def _known_names(kind: str) -> list[str]:
    names = []
    for env in gymnasium.registry:
        base, *rest = re.split(r"-(?=singletask-task|oraclerep|v\d)", env, maxsplit=1)
        of = next((of for of in KINDS if f"-{of}-" in env), "")
        if rest and of == kind and re.match("pointmaze|cube|scene|puzzle", base):
            names += [f"{base}-{kind}-{rest[0]}" for kind in (("navigate",) if "maze" in base else ("play",))]
    return names
