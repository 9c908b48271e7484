"""What acting costs: operations, which are counted, and time and memory, which are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

from qgf.errors import UserError
from qgf.evaluation import Arm
from qgf.sampling import Policy


class _Op:
    """A value that depends on the arguments: the FLOP spent on it, and what it was computed from."""

    def __init__(self, flop: int = 0, sources: Iterable[Any] = ()):
        self.flop, self.sources = flop, [x for x in sources if isinstance(x, _Op)]


def flops(f, *args) -> int:
    """Floating-point operations of f(*args): 2 M N K for every matrix product that the result depends on.

    Follows the program step by step: a scan runs its length, a cond takes the one branch that is executed (both, where
    the choice depends on the arguments' values). Raises UserError for a while loop, whose length cannot be known.
    """
    program = jax.make_jaxpr(f)(*args)
    todo = [x for x in _follow(program, [_Op() for _ in program.in_avals]) if isinstance(x, _Op)]
    used = set(todo)
    while todo:
        new = set(todo.pop().sources) - used
        used |= new
        todo += new
    return sum(op.flop for op in used)


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
        return _scan(params, inputs)
    if name == "cond":
        index, *rest = inputs
        if not isinstance(index, _Op):
            return _follow(params["branches"][int(index)], rest)
        return [_Op(0, ends) for ends in zip(*(_follow(b, rest) for b in params["branches"]), strict=True)]
    if name == "while":
        raise UserError("a while loop's FLOP cannot be counted, its length depends on the data")
    inner = params.get("jaxpr") or params.get("call_jaxpr")
    if inner is not None and name != "reduce":
        return _follow(inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ()), inputs)
    if not any(isinstance(x, _Op) for x in inputs):
        results = eqn.primitive.bind(*inputs, **params)
        return list(results) if eqn.primitive.multiple_results else [results]
    op = _Op(_product(eqn) if name == "dot_general" else 0, inputs)
    return [op for _ in eqn.outvars]


def _product(eqn) -> int:
    """2 M N K of a matrix product, batched or not."""
    contracted = eqn.params["dimension_numbers"][0][0]
    return 2 * eqn.outvars[0].aval.size * prod(eqn.invars[0].aval.shape[i] for i in contracted)


def _scan(params, inputs: list[Any]) -> list[Any]:
    at, length = params["num_consts"], params["length"]
    consts, carry, xs = inputs[:at], inputs[at : at + params["num_carry"]], inputs[at + params["num_carry"] :]
    order = range(length)[::-1] if params["reverse"] else range(length)
    ys = []
    for k in order:
        row = [_Op(0, [x]) if isinstance(x, _Op) else x[k] for x in xs]
        results = _follow(params["jaxpr"], [*consts, *carry, *row])
        carry, y = results[: len(carry)], results[len(carry) :]
        ys.append(y)
    stack = lambda y: _Op(0, y) if any(isinstance(x, _Op) for x in y) else jnp.stack(y)
    return [*carry, *(stack(y) for y in zip(*(ys[::-1] if params["reverse"] else ys), strict=True))]


def cost(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    calls: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """What one action chunk of one state costs: FLOP, milliseconds (median of `calls` compiled calls), peak bytes.

    The memory is that of the compiled program beside its arguments (temporaries and result). Rows: guide, best_of,
    flop, milliseconds, bytes.
    """
    obs = jax.tree.map(lambda x: jnp.asarray(x[:1]), observations)
    rows = []
    for i, arm in enumerate(chosen):
        acting = arm.of(policy)
        arrays, fixed = eqx.partition(acting, eqx.is_array)
        act = lambda arrays, obs, key, fixed=fixed: eqx.combine(arrays, fixed).act(obs, key)[0]
        compiled = jax.jit(act).lower(arrays, obs, key).compile()
        seconds = [_seconds(lambda: compiled(arrays, obs, key)) for _ in range(calls + 1)][1:]  # noqa: B023
        row = dict(guide=arm.guide, best_of=arm.best_of, flop=flops(act, arrays, obs, key))
        rows.append(row | dict(milliseconds=1e3 * float(np.median(seconds)), bytes=memory(compiled)))
        progress(i + 1, len(chosen))
    return rows


def memory(compiled) -> float:
    """Bytes that a compiled program takes beside its arguments, temporaries and result; nan where it is not known."""
    sizes = compiled.memory_analysis()
    return sizes.temp_size_in_bytes + sizes.output_size_in_bytes if sizes else float("nan")


def _seconds(call) -> float:
    began = perf_counter()
    jax.block_until_ready(call())
    return perf_counter() - began
