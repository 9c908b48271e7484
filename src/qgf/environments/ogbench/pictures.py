"""OGBench's environments that show pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgf.environments.ogbench.names import VISUAL, EnvName
from qgf.environments.simulators import quiet, simulator
from qgf.errors import UserError

if TYPE_CHECKING:
    import gymnasium

SIZE = 64
"""Pixels, OGBench's own."""


def drawn(name: EnvName, described: bool = True, **options: Any) -> gymnasium.Env:
    """A visual environment whose pictures are drawn when they are looked at, observations {"image": picture}."""
    env = drawn_always(name, **options)
    from qgf.environments.ogbench.visual import Visual  # a wrapper needs gymnasium

    return Visual(env)


def drawn_always(name: EnvName, **options: Any) -> gymnasium.Env:
    """A visual environment whose observations are pictures [64, 64, 3] of uint8.

    Pictures of robots are OGBench's. Point mazes are none of its visual environments, but its mazes can be drawn: seen
    from above, without shadows, which without a graphics card take most of the time. Raises UserError where nothing can
    be drawn.
    """
    make = simulator("gymnasium").make
    try:
        with quiet():
            if name.group != "pointmaze":
                return make(f"{VISUAL}{name.env}", disable_env_checker=True, **options)
            size = dict(ob_type="pixels", render_mode="rgb_array", width=SIZE, height=SIZE)
            env = make(name.env, disable_env_checker=True, **size, **options)
            env.unwrapped.custom_renderer.scene.flags[simulator("mujoco").mjtRndFlag.mjRND_SHADOW] = 0
            return env
    except Exception as error:  # MuJoCo and its back ends raise many types
        raise cannot_draw(error) from error


def cannot_draw(error: Exception) -> UserError:
    return UserError(
        f"this machine cannot render MuJoCo ({type(error).__name__}: {error}); "
        "set MUJOCO_GL to egl or osmesa and install that library"
    )
