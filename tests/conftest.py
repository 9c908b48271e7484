"""Fixtures shared by the tests: precision, a small real dataset and a tiny run trained on it."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from importlib import import_module
from typing import Any, NamedTuple

# Most of the tests' time is compilation. It is done quickly rather than well, and equal programs once per session, or
# once for all where JAX_COMPILATION_CACHE_DIR is set: in its workers and in the programs that they start too. (Level 0
# makes NaN of a gate without fusion emitters.)
if "PYTEST_XDIST_WORKER" not in os.environ:
    flags = ("backend_optimization_level=1", "cpu_use_fusion_emitters=false", "cpu_parallel_codegen_split_count=1")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *(f"--xla_{flag}" for flag in flags)])
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.01"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # threads that wait for one another keep the cores busy
        os.environ.setdefault(name, "1")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        CACHE = tempfile.TemporaryDirectory(prefix="qgf-tests-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name

# A shell lets what it starts in the background ignore Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import jax.numpy as jnp
import pytest

import brief  # noqa: F401  every test's episodes are short
from qgf.cli.names import KINDS
from qgf.environments.datasets import load_dataset
from qgf.environments.ogbench.collect import collect
from qgf.plugins import BROUGHT, FILES, OWN, USED
from qgf.registry import REGISTRIES
from qgf.training.config import TrainConfig
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.run import Run

TASK = "pointmaze-medium-navigate-singletask-task1-v0"


LONGEST = (
    "laboratory/test_compare", "hostile/", "storm/", "training/test_devices", "cli/test_cli",
    "laboratory/test_analysis", "training/test_training", "test_examples", "test_docs", "test_stranger",
    "training/test_rivals", "training/test_methods", "training/test_goals", "training/test_health",
    "playing/test_at_once", "training/test_gpu_benchmark",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The files that take longest come first: none is left for one worker when the others have nothing to do."""
    place = lambda item: next((k for k, name in enumerate(LONGEST) if f"tests/{name}" in item.nodeid), len(LONGEST))
    items.sort(key=place)


def pytest_collection_finish():
    """What was imported stays: the collector need not walk it again and again, nor so often what JAX traces."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """What a file compiled goes with it: kept, it fills gigabytes, all of which the collector walks again and again."""
    yield
    jax.clear_caches()
    gc.collect()


class Precision(NamedTuple):
    dtype: Any
    rtol: float


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """Run the test once in each precision, with the relative error that it must reach."""
    with jax.enable_x64(request.param == "float64"):
        yield Precision(jnp.dtype(request.param), 1e-5 if request.param == "float32" else 1e-9)


@pytest.fixture(scope="session")
def maze_folder(tmp_path_factory):
    """A folder with pointmaze-medium-navigate-v0.npz (4 episodes) and its validation file (1 episode)."""
    folder = tmp_path_factory.mktemp("data")
    collect("pointmaze-medium-navigate", transitions=4000, workers=2, directory=folder)
    return folder


@pytest.fixture(scope="session")
def maze(maze_folder):
    """The small dataset with the rewards of task 1."""
    return load_dataset(TASK, directory=maze_folder, download=False)


@pytest.fixture(scope="session")
def tiny():
    """Settings of a run that takes a second or two."""
    method = BC(width=32, depth=1)
    return TrainConfig(steps=400, batch_size=32, log_every=100, checkpoint_every=200, method=method)


@pytest.fixture(scope="session")
def tiny_run(maze, tiny, tmp_path_factory):
    """A finished run on the small dataset. Tests must not write into its directory."""
    return train(maze, tiny, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def own_run(tiny_run, tmp_path):
    """A copy of it to write into."""
    return Run(shutil.copytree(tiny_run.directory, tmp_path / "own" / "tiny"))


@pytest.fixture
def forget():
    """The registries afterwards as they were: what a user's file added is gone, and the file can be used again."""
    for place in KINDS.values():
        import_module(place.split(":")[0])
    before = [(registry, set(registry.own)) for registry in REGISTRIES.values()]
    yield
    for registry, known in before:
        for name in set(registry.own) - known:
            del registry[name]
    for name in [name for name in sys.modules if name.startswith(OWN)]:
        del sys.modules[name]
    USED.clear()
    FILES.clear()
    BROUGHT.clear()
