"""The machine's own limit, against which the benchmarks measure: float32 matrix products, in the same run."""

from time import perf_counter

import jax


def fastest(call, repeats: int) -> float:
    """Seconds of the fastest of `repeats` calls; the first, which compiles, does not count."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        began = perf_counter()
        jax.block_until_ready(call())
        times.append(perf_counter() - began)
    return min(times)


def matmul_rate(n: int = 1024, repeats: int = 20) -> float:
    """FLOP per second of an n x n x n float32 product."""
    x = jax.random.normal(jax.random.key(0), (n, n)) / n**0.5
    product = jax.jit(lambda x: x @ x)
    return 2 * n**3 / fastest(lambda: product(x), repeats)
