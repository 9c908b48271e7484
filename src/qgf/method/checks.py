"""Whether somebody's velocity and critic are what a policy needs: asked once per program, when it is traced."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from qgf.errors import UserError

LARGE = 10e6
"""Bytes of weights inside a program from which on it is worth a warning."""


def check_functions(velocity, critic, obs, horizon: int, action_dim: int) -> None:
    """Trace velocity(obs, a[d], t[]) and critic(obs, a[d]) for one observation, given as shapes.

    Raises UserError where one fails, or does not return [d] and []. Warns if either closes over more than LARGE bytes.
    """
    d = horizon * action_dim
    number = jnp.result_type(float)
    a, t = jax.ShapeDtypeStruct((d,), number), jax.ShapeDtypeStruct((), number)
    sizes = f"d = horizon * action_dim = {horizon} * {action_dim}"
    _check("velocity", velocity, dict(obs=obs, a=a, t=t), (d,), sizes)
    _check("critic", critic, dict(obs=obs, a=a), (), sizes)


def _check(name: str, f, arguments: dict, expected: tuple[int, ...], sizes: str) -> None:
    arrays, fixed = eqx.partition(f, eqx.is_array)
    call = lambda arrays, given: eqx.combine(arrays, fixed)(*given)
    asked = f"{name}({', '.join(arguments)})"
    given = ", ".join(f"{k} {_shapes(x)}" for k, x in arguments.items())
    try:
        program, result = jax.make_jaxpr(call, return_shape=True)(arrays, tuple(arguments.values()))
    except UserError:
        raise
    except Exception as error:  # somebody else's function raises what it likes
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{asked} fails for {given}, {sizes}: {type(error).__name__}: {reason}") from error
    if not isinstance(result, jax.ShapeDtypeStruct) or result.shape != expected:
        raise UserError(f"{asked} returns {_shapes(result)}, expected {list(expected)}; {sizes}, given {given}")
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise UserError(f"{asked} returns {result.dtype}, expected floating-point numbers")
    size = sum({id(x): x.size * np.dtype(x.dtype).itemsize for x in _constants(program)}.values())
    if size > LARGE:
        warnings.warn(
            f"{name} closes over {size / 1e6:.0f} MB of weights, which become constants of every program compiled for "
            f"it: give them as arguments, jax.tree_util.Partial({name}, weights), or make it an Equinox module",
            stacklevel=2,
        )


def _shapes(x) -> str:
    shapes = jax.tree.map(lambda leaf: list(leaf.shape), x)
    return str(shapes)


def _constants(program) -> Iterator:
    """Arrays that a program has of its own, those of the programs in it included."""
    yield from (x for x in program.consts if not isinstance(x, jax.core.Tracer) and hasattr(x, "dtype"))
    for eqn in program.jaxpr.eqns:
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, core.ClosedJaxpr)):
            if isinstance(value, core.ClosedJaxpr):
                yield from _constants(value)
