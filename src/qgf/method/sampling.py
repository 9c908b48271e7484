"""Guided sampling: one action, from noise to its end."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from qgf.errors import UserError, unknown
from qgf.method.flow import STEPS, Flow, clean
from qgf.method.guides import find, need
from qgf.method.schedules import Schedule
from qgf.method.schedules import schedule as find_schedule
from qgf.method.shaping import Shaping, shaped
from qgf.types import Estimator, Trace, Value, Velocity


class At:
    """f at one state, At(f, obs)(x) = f(obs, x), and what it can do besides (`types.ability`) at that state."""

    def __init__(self, f, obs):
        self.inner, self.obs = f, obs

    def __call__(self, *args):
        return self.inner(self.obs, *args)

    def around(self, f) -> At:
        return At(f, self.obs)


class Grid(NamedTuple):
    """The Euler steps of a path that does not start at time 0."""

    starts: ArrayLike  # [n] t_0, then the grid's own points k / T behind it
    lengths: ArrayLike  # [n]


def grid(steps: int, t0: float) -> Grid | None:
    """From t0 to the next of the points k / T, then from point to point; None where t0 = 0, the whole grid.

    A t0 less than a thousandth of a step before a point counts as being there. Raises UserError unless 0 <= t0 < 1.
    """
    if not 0 <= t0 < 1:
        raise UserError(f"t0 must lie in [0, 1), where 0 is noise and 1 an action; got {t0}")
    if t0 == 0:
        return None
    n = max(int(np.ceil((1 - t0) * steps - 1e-3)), 1)
    starts = np.append(t0, np.arange(steps - n + 1, steps) / steps)
    return Grid(starts, np.diff(starts, append=1.0))


SOLVERS = dict(euler=1, midpoint=2)
"""Ways to take a step, and how often each asks for the velocity."""


def check_pace(solver: str, guide_steps: int | None) -> None:
    """Raises UserError for a solver that is none, and unless guide_steps is a whole number from 1 on, or None."""
    if solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS)
    if guide_steps is not None and not (isinstance(guide_steps, (int, np.integer)) and guide_steps >= 1):
        raise UserError(f"guide_steps must be a whole number from 1 on, got {guide_steps!r}")


def turns(points: int, solver: str, steps: int, guide_steps: int | None) -> np.ndarray | None:
    """At which of the points where a path asks for the velocity it asks the guide, too, [points, per step]: evenly
    spread, the first among them, `guide_steps` of a whole path's `steps`. None: at all.
    """
    each = SOLVERS[solver]
    if guide_steps is None or guide_steps >= steps * each:
        return None
    asked = np.arange(-1, points * each) * guide_steps // (steps * each)
    return (np.diff(asked) > 0).reshape(points, each)


def sample(
    v: Velocity,
    q: Value,
    a0: Array,
    guide: str | Estimator = "qgf",
    weight: ArrayLike = 0.05,
    steps: int = STEPS,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    schedule: str | Schedule = "constant",
    trace: bool = False,
    t0: float = 0.0,
    shaping: Shaping | None = None,
    solver: str = "euler",
    guide_steps: int | None = None,
) -> Array | Trace:
    """Denoise one action with guidance (paper, algorithm 1): a <- a + (v(a, t) + w g) / T, t = 0, 1/T, ..., 1 - 1/T.

    v(a[d], t[]) -> [d], q(a[d]) -> [], a0[d] ~ N(0, I). Returns clip(a_T, low, high), [d], or the whole `Trace`.
    A direction that is not finite leaves its step unguided. Constant w is nominally 1/beta, but the samples are not
    exactly prop. to pi exp(Q / beta): adding grad Q / beta to the score would add ((1 - t)/t) grad Q / beta to v.

    With `t0` the path starts at that time, from the point a0 = a_t0; the first step ends at the next k/T. To start from
    an action a known in advance: a0 = (1 - t0) noise + t0 a. `shaping` is what becomes of a direction first.

    `solver` "midpoint" moves by the field v + w g at half a step, error O(1 / T^2) for twice the work of a step; what
    the trace tells of a step but t and a is of there. `guide_steps`: so many times of a whole path is the guide asked,
    evenly from its beginning, and its direction, not its weight, is kept meanwhile. By default wherever v is.
    """
    path = denoise(v, q, a0, guide, weight, steps, low, high, schedule, grid(steps, t0), shaping, solver, guide_steps)
    return path if trace else finish(q, path, guide, weight, low, high)


def denoise(
    v, q, a0, guide, weight, steps, low, high, schedule="constant", grid: Grid | None = None,
    shaping: Shaping | None = None, solver: str = "euler", guide_steps: int | None = None,
) -> Trace:  # fmt: skip
    """The path of `sample`."""
    if steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    check_pace(solver, guide_steps)
    ask, factor = find(guide), find_schedule(schedule)
    v = need(v, ask.reference) if hasattr(ask, "reference") else v

    def direction(flow, a, t):
        g = ask(flow, q, a, t)
        if jnp.shape(g) != a.shape:
            name = getattr(ask, "__name__", ask)
            raise UserError(f"guide {name} returns {list(jnp.shape(g))}, expected a direction {list(a.shape)}")
        finite = jnp.all(jnp.isfinite(g))
        return jnp.where(finite, g, 0), ~finite

    def field(a, t, last, now):
        """What moves the action, the direction asked for now, else the `last`, and what the trace tells of both."""
        flow = Flow(v, steps, low, high, at=(a, t))
        asking = lambda: direction(flow, a, t)
        asked, skipped = asking() if now is None else jax.lax.cond(now, asking, lambda: (last, jnp.zeros((), bool)))
        drift, w = flow(a, t), weight * factor(t)
        g = asked if shaping is None else shaped(asked, w, drift, shaping)
        return drift + w * g, asked, (drift, clean(flow, a, t), g, skipped, w)

    def step(state, point):
        (a, last), ((t, *length), now) = state, point
        ahead = lambda move, share=1: share * move * length[0] if length else share * move / steps
        move, last, told = field(a, t, last, None if now is None else now[0])
        if solver == "midpoint":
            half = t + ahead(jnp.ones_like(t), 0.5)
            move, last, told = field(a + ahead(move, 0.5), half, last, None if now is None else now[1])
        return (a + ahead(move), None if now is None else last), (t, a, *told)

    whole = (jnp.arange(steps, dtype=a0.dtype) / steps,)
    times = whole if grid is None else tuple(jnp.asarray(x, a0.dtype) for x in grid)
    now = turns(len(times[0]), solver, steps, guide_steps)
    start = (a0, None if now is None else jnp.zeros_like(a0))
    (end, _), (t, a, *rest) = jax.lax.scan(step, start, (times, now))
    return Trace(t, jnp.concatenate([a, end[None]]), *rest)


def finish(q, path: Trace, guide, weight, low, high) -> Array:
    """The action at the end of a path, clip(a_T), after the gradient steps of a guide that takes its own then."""
    a, k = jnp.clip(path.a[-1], low, high), getattr(find(guide), "climbs", 0)
    return climb(q, a, k, weight / k, low, high) if k else a


def climb(q, a: Array, steps: int, step_size: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """`steps` times a <- clip(a + step_size grad Q(a), low, high); a gradient that is not finite is no step."""

    def up(_, a):
        g = jax.grad(q)(a)
        return jnp.clip(a + step_size * jnp.where(jnp.all(jnp.isfinite(g)), g, 0), low, high)

    return jax.lax.fori_loop(0, steps, up, a)
