"""What acting costs: operations, which are counted, and time and memory, which are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jax import Array

from qgf.method.flops import flops
from qgf.method.policy import Policy
from qgf.playing.arm import Arm
from qgf.playing.rows import Measured


class Price(msgspec.Struct):
    """A row of cost.csv."""

    guide: str
    best_of: int
    flop: Measured
    milliseconds: Measured
    bytes: Measured


def cost(
    policy: Policy,
    observations,
    key: Array,
    chosen: Sequence[Arm],
    calls: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Price]:
    """What one action chunk of one state costs: FLOP, milliseconds (median of `calls` compiled calls), peak bytes.

    The memory is that of the compiled program beside its arguments (temporaries and result).
    """
    obs = jax.tree.map(lambda x: jnp.asarray(x[:1]), observations)
    rows = []
    for i, arm in enumerate(chosen):
        acting = arm.of(policy)
        arrays, fixed = eqx.partition(acting, eqx.is_array)
        act = lambda arrays, obs, key, fixed=fixed: eqx.combine(arrays, fixed).act(obs, key)[0]
        compiled = jax.jit(act).lower(arrays, obs, key).compile()
        taken = [seconds_of(lambda: compiled(arrays, obs, key)) for _ in range(calls + 1)][1:]  # noqa: B023
        milliseconds = 1e3 * float(np.median(taken))
        rows.append(Price(arm.guide, arm.best_of, flops(act, arrays, obs, key), milliseconds, memory(compiled)))
        progress(i + 1, len(chosen))
    return rows


def memory(compiled) -> float:
    """Bytes that a compiled program takes beside its arguments, temporaries and result; nan where it is not known."""
    sizes = compiled.memory_analysis()
    return sizes.temp_size_in_bytes + sizes.output_size_in_bytes if sizes else float("nan")


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes until its result is there."""
    began = perf_counter()
    jax.block_until_ready(call())
    return perf_counter() - began
