"""The whole guided sampler as one graph, weights included, for programs without Python: StableHLO or ONNX.

graph(obs[B, S], noise[B, N, d]) -> actions[B, H, A], all float32: the noise is an argument, since random numbers are
drawn otherwise everywhere. N is 1, or the number of samples of which the critic keeps the best.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.export
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from qgf.errors import UserError
from qgf.method.policy import Policy
from qgf.method.sampling import At, finish

SAME = 1e-5
"""By how much a graph's actions may differ from the policy's own, in the range of the actions."""
TRIED = 8
"""Observations at which that is tried."""
NAMES = ("obs", "noise")


class Graph(NamedTuple):
    """A sampler to be written, and the shapes that it takes."""

    act: Callable[[Any, Any], Any]
    shapes: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]


def graph(policy: Policy, batch: int = 1) -> Graph:
    """A policy's sampler for batches of one size. Raises UserError for one that does not observe a vector."""
    spec = policy.obs_spec
    if spec is None or not jax.tree_util.treedef_is_leaf(spec.structure):
        raise UserError("a graph is made of a policy that observes one array, and knows its shape (obs_spec)")
    if policy.fallback is not None:
        raise UserError("a graph has no fallback, and this policy has one: make it of a policy without")
    if batch < 1:
        raise UserError(f"batch must be at least 1, got {batch}")

    def one(obs, noise):
        q = At(policy.guiding, obs)
        end = lambda a0: finish(q, policy.trace(obs, a0), policy.guide, policy.weight, policy.low, policy.high)
        a = jax.vmap(end)(noise)
        if policy.samples > 1:  # a mask, since jax2onnx takes an index for another one
            best = jnp.arange(policy.samples) == jnp.argmax(jax.vmap(At(policy.choosing, obs))(a))
            a = jnp.sum(jnp.where(best[:, None], a, 0.0), axis=0)
        return policy.outward(a.reshape(policy.horizon, policy.action_dim))

    noise = (batch, policy.samples, policy.horizon * policy.action_dim)
    shaped = lambda shape: jax.ShapeDtypeStruct(shape, np.float32)
    return Graph(jax.vmap(one), (shaped((batch, *spec.leaves[0].shape)), shaped(noise)))


def stablehlo(made: Graph, platforms: tuple[str, ...] = ("cpu", "cuda")) -> bytes:
    """As `jax.export` writes it, for later versions of JAX, and other runtimes of XLA."""
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise UserError("StableHLO files need flatbuffers: pip install 'qgf[export]'") from None
    written = jax.export.export(jax.jit(made.act), platforms=platforms)(*made.shapes).serialize()
    _compare(made, lambda obs, noise: jax.export.deserialize(written).call(obs, noise), "StableHLO")
    return bytes(written)


def onnx(made: Graph) -> bytes:
    """As jax2onnx writes it, for onnxruntime, with which it is tried. Raises UserError naming the operator that one of
    the two lacks.
    """
    try:
        import onnxruntime
        from jax2onnx import to_onnx
    except ImportError as error:
        raise UserError(f"ONNX files need {error.name}: pip install 'qgf[onnx]'") from None
    # Traced here: jax2onnx puts functions of its own in the place of jax.numpy's while it traces
    whole = jax.make_jaxpr(made.act)(*made.shapes)
    plain = jax.extend.core.jaxpr_as_fun(whole)
    try:
        with _quietly("jax2onnx"):
            written = to_onnx(lambda *x: plain(*x)[0], list(made.shapes), model_name="qgf").SerializeToString()
    except NotImplementedError as error:
        raise UserError(f"jax2onnx has no {_operator(str(error))}; export StableHLO, or another guide") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(written, options)
        names = [x.name for x in session.get_inputs()]
        _compare(made, lambda *x: session.run(None, dict(zip(names, x, strict=True)))[0], "ONNX")
    except UserError:
        raise
    except Exception as error:  # its own kinds are in no public module
        raise UserError(f"onnxruntime has no {_operator(str(error))}; export StableHLO, or another guide") from None
    return written


@contextmanager
def _quietly(name: str):
    """Without the warnings of a library that looks for packages that are not needed here."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _operator(said: str) -> str:
    """What an exporter or a runtime lacks, of what it says."""
    found = re.search(r"primitive[: ]+'?(\w+)|No Op registered for (\w+)", said)
    return f"operator {next(filter(None, found.groups()))!r}" if found else f"way to do this ({said[:120]})"


def _compare(made: Graph, run: Callable[[Any, Any], Any], what: str) -> None:
    """Raises UserError if a graph does not do what the policy does."""
    rng, act = np.random.default_rng(0), jax.jit(made.act)
    for _ in range(TRIED):
        given = [rng.normal(size=x.shape).astype(np.float32) for x in made.shapes]
        ours, theirs = (np.asarray(f(*given)) for f in (act, run))
        off = np.max(np.abs(ours - theirs) / np.maximum(1.0, np.abs(ours)))
        if not off <= SAME:
            raise UserError(f"the {what} file's actions differ by {off:.1e} from the policy's; nothing was written")
