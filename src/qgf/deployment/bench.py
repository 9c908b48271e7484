"""What a decision costs on this machine: time, operations, and the weights that are read for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qgf.errors import UserError
from qgf.laboratory.cost import seconds_of
from qgf.method.flops import Uncountable, Work, work
from qgf.method.policy import Policy
from qgf.playing.rows import Measured

BATCHES = (1, 64)
LEAST = 20
"""Calls of each way that are made however long they take: fewer have no 99th percentile."""


class Latency(msgspec.Struct, kw_only=True):
    """A row of latency.csv: one way of acting, for one size of batch."""

    name: str
    batch: int
    calls: int
    median_ms: Measured  # of one call, from NumPy observations to NumPy actions
    p99_ms: Measured
    ratio: Measured  # of medians, to the first way with the same batch
    mflop: Measured | None = None  # of matrix products
    weights_mb: Measured | None = None  # 1e6 bytes of weights that matrix products read
    bandwidth: Measured | None = None  # share of the call's time that reading them takes at the least


def bench(
    ways: Policy | Callable[[Any, Any], Any] | Mapping[str, Policy | Callable[[Any, Any], Any]],
    obs: Any,
    batches: Sequence[int] = BATCHES,
    calls: int = 200,
    seconds: float = 60.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Latency]:
    """Time ways of acting against one another: a `Policy`, any function way(obs[B, ...], key) -> actions, whatever
    computes it, or several of them by name. `obs` is one observation, a pytree of arrays; a batch repeats it.

    The ways take turns, so that what else the machine does falls on all alike, until each was called `calls` times or
    `seconds` are over, but never fewer than LEAST times. A first call, which compiles, does not count. Of a `Policy`
    FLOP and bytes of weights are counted on its program; `bandwidth` is the time that reading as many weights takes in
    a product of a matrix of the policy's size and a vector (`read_rate`), over the median: near 1 nothing but fewer
    bytes can be faster. Raises UserError for sizes that make no sense.
    """
    ways = dict(ways) if isinstance(ways, Mapping) else {"policy": ways}
    if not ways or not batches:
        raise UserError("bench needs at least one way of acting and one size of batch")
    if min(calls, *batches) < 1:
        raise UserError(f"batches and calls must be at least 1, got {list(batches)} and {calls}")
    cells = {(name, n): _call(way, _batch(obs, n)) for n in batches for name, way in ways.items()}
    times = _take_turns(cells, calls, seconds, progress)
    rates: dict[int, float] = {}
    rows = []
    for (name, n), taken in times.items():
        median, late = 1e3 * np.percentile(taken, (50, 99))
        plain = 1e3 * float(np.median(times[next(iter(ways)), n]))
        row = Latency(name=name, batch=n, calls=len(taken), median_ms=median, p99_ms=late, ratio=median / plain)
        way = ways[name]
        if isinstance(way, Policy) and (done := counted(way, _batch(obs, n))):
            size = sum(x.nbytes for x in jax.tree.leaves((way.velocity, way.critic)) if eqx.is_array(x))
            rates[size] = rates.get(size) or read_rate(size)
            row.mflop, row.weights_mb = done.flop / 1e6, done.read / 1e6
            row.bandwidth = 1e3 * done.read / rates[size] / median
        rows.append(row)
    return rows


def counted(policy: Policy, obs: Any) -> Work | None:
    """The `Work` of one call; None where it depends on the data."""
    arrays, fixed = eqx.partition(policy, eqx.is_array)
    act = lambda arrays, obs, key: eqx.combine(arrays, fixed).act(obs, key)[0]
    try:
        return work(act, arrays, jax.tree.map(jnp.asarray, obs), jax.random.key(0))
    except Uncountable:
        return None


def read_rate(size: int, calls: int = 30) -> float:
    """Bytes per second at which this machine reads `size` bytes of float32 weights, all of them once, to multiply them
    with a vector: the fastest of several calls. What fits into a cache is read from there, as a policy's weights are.
    """
    width = 512
    matrix = jnp.ones((max(size // 4 // width, 1), width), jnp.float32)
    product = jax.jit(lambda matrix, x: matrix @ x)
    x = jnp.ones(width, jnp.float32)
    taken = [seconds_of(lambda: product(matrix, x)) for _ in range(calls + 1)][1:]  # the first compiles
    return matrix.nbytes / min(taken)


def machine() -> str:
    """What the numbers belong to."""
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform}), {os.cpu_count()} cores, JAX {jax.__version__}"


def _batch(obs: Any, n: int) -> Any:
    return jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], n, axis=0), obs)


def _call(way: Callable[[Any, Any], Any], obs: Any) -> Callable[[int], None]:
    """One decision, as a robot takes it: the result is waited for, as arrays of the host."""

    def call(turn: int) -> None:
        jax.tree.map(np.asarray, way(obs, jax.random.key(turn)))

    return call


def _take_turns(cells: Mapping[Any, Callable[[int], None]], calls: int, seconds: float, progress) -> dict[Any, list]:
    """The seconds of each cell's calls."""
    times: dict[Any, list[float]] = {cell: [] for cell in cells}
    for call in cells.values():
        call(0)
    began = perf_counter()
    for turn in range(1, calls + 1):
        for cell, call in cells.items():
            start = perf_counter()
            call(turn)
            times[cell].append(perf_counter() - start)
        progress(turn, calls)
        if turn >= LEAST and perf_counter() - began > seconds:
            progress(calls, calls)
            break
    return times


def columns(rows: Iterable[Latency]) -> list[list[str]]:
    """As a table prints them."""
    number = lambda x, form: "–" if x is None else format(x, form)
    return [
        [
            row.name, str(row.batch), f"{row.median_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.ratio:.1f}",
            number(row.mflop, ".4g"), number(row.weights_mb, ".3g"), number(row.bandwidth, ".0%"),
        ]
        for row in rows
    ]  # fmt: skip
