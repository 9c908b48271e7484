"""What an OGBench name means: cube-single-play-singletask-task2-v0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from qgf.environments.simulators import simulator
from qgf.errors import UserError, unknown

GOALS = (1, 2, 3, 4, 5)
"""OGBench has five goals in every environment."""
KINDS = {
    "pointmaze": ("navigate", "stitch"),
    "antmaze": ("navigate", "stitch", "explore"),
    "humanoidmaze": ("navigate", "stitch"),
    "antsoccer": ("navigate", "stitch"),
    "cube": ("play", "noisy"),
    "scene": ("play", "noisy"),
    "puzzle": ("play", "noisy"),
}
"""The kinds of published data of each group of environments."""
LARGE = (
    *(f"{name}-play" for name in ("cube-double", "cube-triple", "cube-quadruple", "cube-octuple", "scene")),
    *(f"puzzle-{size}-play" for size in ("3x3", "4x4", "4x5", "4x6")),
    "cube-quadruple-noisy",
    "humanoidmaze-giant-navigate",
)
"""Of these 100 million transitions are published too."""
FORMS = ("singletask", "oraclerep")
VISUAL = "visual-"
"""What names begin with whose observations are pictures."""
LOOKS = re.compile(rf"({VISUAL})?({'|'.join(KINDS)}|powderworld)-")
PARTS = re.compile(
    rf"(?P<base>.+?)-(?P<kind>[^-]+)(?P<size>-100m)?(-(?P<form>{'|'.join(FORMS)})(-task(?P<task>\d+))?)?-(?P<version>v\d+)"
)


class EnvName(NamedTuple):
    """An OGBench name taken apart, e.g. cube-single-play-singletask-task2-v0 or cube-single-play-oraclerep-v0.

    To OGBench's oraclerep names, whose episodes have one of five goals each, come those of one goal,
    cube-single-play-oraclerep-task2-v0.
    """

    full: str
    group: str  # cube
    env: str  # OGBench's id without pictures, cube-single-singletask-task2-v0; of an oraclerep name cube-single-v0
    dataset: str  # file name, cube-single-play-v0; where it is `large` that of a folder
    kind: str  # of the data, play
    single_task: bool = False
    goals: bool = False
    task: int | None = None  # which goal it is, if it is one
    visual: bool = False  # visual-cube-single-...: observations are pictures
    large: bool = False  # cube-double-play-100m-...: many files, of 100 million transitions

    @property
    def with_states(self) -> str:
        """The same name without pictures."""
        return self.full.removeprefix(VISUAL)

    def with_task(self, task: int | None) -> str:
        """The same name for another goal, or for all."""
        base, version = self.dataset.rsplit("-", 1)
        form = "oraclerep" if self.goals else "singletask"
        return f"{base}-{form}-{version}" if task is None else f"{base}-{form}-task{task}-{version}"


def looks_like(name: str) -> bool:
    """Whether a name is meant as one of OGBench's."""
    return LOOKS.match(name) is not None and not name.endswith(".npz")


def split_name(name: str) -> EnvName:
    """Take a name apart by its words alone, without simulators. Raises UserError for what is no such name, and for data
    of a sort that cannot be trained on.
    """
    full = name if re.search(r"-v\d+$", name) else f"{name}-v0"
    if full.startswith("powderworld-"):
        raise UserError(f"{name}: its actions are discrete, and a flow gives numbers; there is no way")
    parts = PARTS.fullmatch(full)
    if parts is None or (not parts["form"] and _meant(full)):
        raise unknown("environment", name, known_names(_meant(full)))
    base, kind, form, version = parts["base"], parts["kind"], parts["form"], parts["version"]
    size = parts["size"] or ""
    env = full.replace(f"{base}-{kind}{size}", base, 1) if form == "singletask" else f"{base}-{version}"
    task = int(parts["task"]) if parts["task"] else None
    dataset, group = f"{base}-{kind}{size}-{version}", base.removeprefix(VISUAL).split("-")[0]
    single, goals, visual = form == "singletask", form == "oraclerep", full.startswith(VISUAL)
    return EnvName(full, group, env.removeprefix(VISUAL), dataset, kind, single, goals, task, visual, bool(size))


def parse_name(name: str) -> EnvName:
    """Take a name apart. Raises UserError with the nearest known name if there is no such environment."""
    parsed = split_name(name)
    simulator("ogbench")  # which adds its environments to gymnasium's registry
    known = simulator("gymnasium").registry
    drawn = not parsed.visual or parsed.group == "pointmaze" or f"{VISUAL}{parsed.env}" in known
    if parsed.env not in known or not drawn or (parsed.goals and parsed.task not in (None, *GOALS)):
        raise unknown("environment", name, known_names(_meant(parsed.full)))
    return parsed


def _meant(name: str) -> str | None:
    return next((form for form in FORMS if f"-{form}" in name), None)


def known_names(form: str | None = None) -> list[str]:
    """All names with published data, of whole environments or of tasks ("singletask", "oraclerep")."""
    simulator("ogbench")
    return list(_names(form))


def _names(form: str | None) -> Iterator[str]:
    tasks = [""] if form is None else [f"-{form}", *(f"-{form}-task{k}" for k in GOALS)]
    for env in simulator("gymnasium").registry:
        base, _, version = env.rpartition("-")
        group = base.removeprefix(VISUAL).split("-")[0]
        if looks_like(env) and group in KINDS and "singletask" not in base:
            for start in (base, f"{VISUAL}{base}") if group == "pointmaze" else (base,):
                yield from (f"{start}-{kind}{task}-{version}" for kind in KINDS[group] for task in tasks)
                kinds = (kind for kind in KINDS[group] if f"{start}-{kind}" in LARGE)
                yield from (f"{start}-{kind}-100m{task}-{version}" for kind in kinds for task in tasks)
