"""OGBench's environments as they are played here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qgf.environments.ogbench.names import EnvName
from qgf.environments.ogbench.pictures import drawn
from qgf.environments.simulators import loaded, quiet, simulator

if TYPE_CHECKING:
    import gymnasium

MANIPULATION = ("cube", "scene", "puzzle")
"""Groups of environments with a robot arm; the others are stepped by OGBench's own code."""


def made(name: EnvName, described: bool = True, **options: Any) -> gymnasium.Env:
    """A new environment, which does what OGBench's does, to the last bit. An arm's that is not `described` says in a
    step's info `success` alone, which is cheaper. Observations are vectors [S], or {"image": picture} (`visual`).
    """
    if name.visual:
        return drawn(name, **options)
    gym = simulator("gymnasium")
    with quiet():
        spec = gym.spec(name.env)
        if name.group in MANIPULATION:
            from qgf.environments.ogbench.lean import LEAN  # needs the simulator

            spec = replace(spec, entry_point=LEAN[name.group])
            options |= dict(described=described)
        return loaded(gym.make(spec, disable_env_checker=True, **options))
