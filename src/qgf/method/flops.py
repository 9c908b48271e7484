"""What acting costs in operations and in weights read, counted on the program.

XLA's own count, `compiled.cost_analysis()`, has the body of a loop once however often it runs: for ten steps a tenth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from qgf.errors import UserError


class Uncountable(UserError):
    """The operations of a program depend on its data."""


class Work(NamedTuple):
    """What a program does."""

    flop: int  # 2 M N K for every matrix product
    read: int  # bytes of weights that enter matrix products, as often as they do


class _Op:
    """A value that depends on the arguments: the work spent on it, and what it was computed from. `fixed`: on weights
    alone.
    """

    def __init__(self, work: Work = Work(0, 0), sources: Iterable[Any] = (), fixed: bool | None = None):
        self.work, self.sources = work, [x for x in sources if isinstance(x, _Op)]
        self.fixed: bool = all(x.fixed for x in self.sources) if fixed is None else fixed


def flops(f, *args) -> int:
    """Floating-point operations of f(*args), see `work`."""
    return work(lambda _, *args: f(*args), (), *args).flop


def work(f, weights, *args) -> Work:
    """The matrix products and convolutions of f(weights, *args) that its result depends on: their FLOP, and the bytes
    of `weights` (any pytree), and of constants, that they read. A product reads its weights once, however large the
    batch.

    Follows the program step by step: a scan runs its length, a cond takes the one branch that is executed (both, where
    the choice depends on the arguments' values). Raises Uncountable for a while loop, whose length cannot be known.
    """
    program = jax.make_jaxpr(f)(weights, *args)
    fixed = len(jax.tree.leaves(weights))
    inputs = [_Op(fixed=i < fixed) for i in range(len(program.in_avals))]
    todo = [x for x in _follow(program, inputs) if isinstance(x, _Op)]
    used = set(todo)
    while todo:
        new = set(todo.pop().sources) - used
        used |= new
        todo += new
    return Work(sum(op.work.flop for op in used), sum(op.work.read for op in used))


def _follow(program, inputs: Sequence[Any]) -> list[Any]:
    """Run a closed jaxpr on values, some known and some an `_Op`; what can be known is computed."""
    known = dict(zip([*program.jaxpr.constvars, *program.jaxpr.invars], [*program.consts, *inputs], strict=True))
    read = lambda x: x.val if isinstance(x, core.Literal) else known[x]
    for eqn in program.jaxpr.eqns:
        known |= zip(eqn.outvars, _step(eqn, [read(x) for x in eqn.invars]), strict=True)
    return [read(x) for x in program.jaxpr.outvars]


def _step(eqn, inputs: list[Any]) -> list[Any]:
    name, params = eqn.primitive.name, eqn.params
    if name == "scan":
        return _scan(eqn, inputs)
    if name == "cond":
        index, *rest = inputs
        if not isinstance(index, _Op):
            return _follow(params["branches"][int(index)], rest)
        sides = (_follow(branch, rest) for branch in params["branches"])
        return [_Op(sources=(index, *ends)) for ends in zip(*sides, strict=True)]
    if name == "while":
        raise Uncountable("a while loop's FLOP cannot be counted, its length depends on the data")
    inner = params.get("jaxpr") or params.get("call_jaxpr")
    if inner is not None and name != "reduce":
        return _follow(inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ()), inputs)
    if not any(isinstance(x, _Op) for x in inputs):
        results = eqn.primitive.bind(*inputs, **params)
        return list(results) if eqn.primitive.multiple_results else [results]
    op = _Op(Work(COUNTED[name](eqn), _weights(eqn, inputs)) if name in COUNTED else Work(0, 0), inputs)
    return [op for _ in eqn.outvars]


def _weights(eqn, inputs: list[Any]) -> int:
    """The bytes of those of a product's two operands that are weights."""
    known = (x.aval for x, found in zip(eqn.invars, inputs, strict=True) if not isinstance(found, _Op) or found.fixed)
    return sum(x.size * x.dtype.itemsize for x in known)


def _product(eqn) -> int:
    """2 M N K of a matrix product, batched or not."""
    contracted = eqn.params["dimension_numbers"][0][0]
    return 2 * eqn.outvars[0].aval.size * prod(eqn.invars[0].aval.shape[i] for i in contracted)


def _convolution(eqn) -> int:
    """2 k k C for every number of the result, padding counted as if it were picture."""
    kernel, numbers = eqn.invars[1].aval.shape, eqn.params["dimension_numbers"]
    return 2 * eqn.outvars[0].aval.size * prod(kernel[i] for i in numbers.rhs_spec[1:])


COUNTED = dict(dot_general=_product, conv_general_dilated=_convolution)


def _scan(eqn, inputs: list[Any]) -> list[Any]:
    params, body = eqn.params, eqn.params["jaxpr"]
    rows = lambda whole, avals: sum(x.aval.ndim != aval.ndim for x, aval in zip(whole, avals, strict=True))
    first_x = len(inputs) - rows(eqn.invars, body.in_avals)  # told by the shapes: JAX 0.12 names the numbers otherwise
    first_carry = first_x - (len(eqn.outvars) - rows(eqn.outvars, body.out_avals))
    consts, carry, xs = inputs[:first_carry], inputs[first_carry:first_x], inputs[first_x:]
    order = range(params["length"])[::-1] if params["reverse"] else range(params["length"])
    ys = []
    for k in order:
        row = [_Op(sources=[x]) if isinstance(x, _Op) else x[k] for x in xs]
        results = _follow(body, [*consts, *carry, *row])
        carry, y = results[: len(carry)], results[len(carry) :]
        ys.append(y)
    stack = lambda y: _Op(sources=y) if any(isinstance(x, _Op) for x in y) else jnp.stack(y)
    return [*carry, *(stack(y) for y in zip(*(ys[::-1] if params["reverse"] else ys), strict=True))]
