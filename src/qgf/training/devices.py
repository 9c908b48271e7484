"""Several devices, of one process or of several: each takes its share of every batch, or of the seeds.

Parameters are on all of them. What they come to differs from those of one device by the rounding of sums alone, as
gradients are sums over the shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qgf.errors import UserError
from qgf.training.device import Data
from qgf.types import Batch

if TYPE_CHECKING:
    from qgf.training.config import TrainConfig

HOST, DEVICE = "host", "device"
EVERYWHERE, BY_HOST, DIVIDED = PartitionSpec(), PartitionSpec(HOST), PartitionSpec((HOST, DEVICE))
AUTO = "auto"
WAIT = 300
"""Seconds that processes wait for the others to start."""


@dataclass(frozen=True)
class Devices:
    """`count` devices, among which seeds are divided, or else the batch."""

    count: int = 1
    hosts: int = 1
    by_seed: bool = False

    @staticmethod
    def of(config: TrainConfig) -> Devices:
        """Those that a run asks for. Raises UserError if they are not there, or cannot have equal shares."""
        n, there, hosts = config.devices, jax.device_count(), jax.process_count()
        if n > there:
            virtual = f"; XLA_FLAGS=--xla_force_host_platform_device_count={n} makes so many of a CPU"
            raise UserError(f"--devices {n}: there {'is' if there == 1 else 'are'} {there} ({jax.default_backend()})"
                            + (virtual if jax.default_backend() == "cpu" else ""))  # fmt: skip
        if hosts > 1 and n != there:
            raise UserError(f"--devices {n}: {hosts} processes have {there} devices in all, which take part together")
        by_seed = config.seeds % n == 0
        if not by_seed and config.batch_size % n:
            raise UserError(
                f"--devices {n}: it divides neither --batch-size {config.batch_size} nor --seeds {config.seeds}"
            )
        return Devices(n, hosts, by_seed and n > 1)

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh(np.array(jax.devices()[: self.count]).reshape(self.hosts, -1), (HOST, DEVICE))

    def shared(self, batch: Any) -> Any:
        """Inside of a program: rows, or a batch of them, divided among the devices."""
        return batch if self.count == 1 or self.by_seed else self._constrained(batch, DIVIDED)

    def kept(self, state: Any) -> Any:
        """Inside of a program: the state where it was placed."""
        return state if self.count == 1 else self._constrained(state, DIVIDED if self.by_seed else EVERYWHERE)

    def _constrained(self, x: Any, where: PartitionSpec) -> Any:
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, where))

    def everywhere(self, x: Any) -> Any:
        """Arrays that every process has, the same ones, on every device."""
        return x if self.count == 1 else self._placed(x, EVERYWHERE)

    def placed(self, state: Any) -> Any:
        """A state that every process has where training has it: each device its seeds, or all of it."""
        return state if self.count == 1 else self._placed(state, DIVIDED if self.by_seed else EVERYWHERE)

    def _placed(self, x: Any, where: PartitionSpec) -> Any:
        sharding = NamedSharding(self.mesh, where)

        def place(x: Any) -> Any:
            if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(place(jax.random.key_data(x)))
            here = np.asarray(x)
            return jax.make_array_from_callback(here.shape, sharding, lambda index: here[index])

        return jax.tree.map(place, x)

    def by_host(self, data: Data) -> Data:
        """What each host holds of its own, as one: see `PerHost`. Of a single host what it holds."""
        if self.count == 1:
            return data
        if self.hosts == 1:
            return self.everywhere(data)
        sharding = NamedSharding(self.mesh, BY_HOST)
        put = lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)[None])
        return PerHost(jax.tree.map(put, data), self.hosts)

    def here(self, x: Any) -> Any:
        """Arrays of all devices in the memory of each process, whole."""
        if self.count == 1:
            return x
        return jax.tree.map(self._here, x)

    def _here(self, x: Array) -> Array:
        if x.is_fully_replicated:
            return x.addressable_data(0)
        if self.hosts == 1:
            return jnp.asarray(np.asarray(x))
        from jax.experimental.multihost_utils import process_allgather

        return jnp.asarray(process_allgather(x, tiled=True))


ONE = Devices()


class PerHost(eqx.Module):
    """Data of which every host holds its own part, and draws its share of a batch from that."""

    data: Any  # with a leading axis of hosts
    hosts: int = eqx.field(static=True)

    @property
    def starts(self) -> Array:
        """Those of the first host; all have as many."""
        return self.data.starts[0]

    def batch(self, rows: Array, horizon: int, key: Array) -> Batch:
        """The batch of the chunks number `rows` [B], of which each host's are the next B / hosts."""
        return self._each(lambda data, rows, key: data.batch(rows, horizon, key), rows, key)

    def states(self, rows: Array, key: Array) -> Any:
        """What the networks see where those begin."""
        return self._each(lambda data, rows, key: data.states(rows, key), rows, key)

    def _each(self, ask: Callable[..., Any], rows: Array, key: Array) -> Any:
        found = jax.vmap(ask)(self.data, rows.reshape(self.hosts, -1), jax.random.split(key, self.hosts))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)

    def moved(self, rows: Any) -> PerHost:
        return PerHost(self.data.moved(rows), self.hosts)


# Several processes


def join(coordinator: str, process: str = "") -> None:
    """Make this process number I of N ("I/N", from 0) that train together; the first listens at `coordinator`, as
    HOST:PORT, whatever host the others call it by. "auto" asks SLURM or MPI, which started them. To be called before
    anything else. Raises UserError if they do not find one another.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", process)
    if coordinator != AUTO and (found is None or not int(found[1]) < int(found[2])):
        raise UserError(f"--process {process or '(none)'}: write I/N, as 0/2 and 1/2 for two processes")
    if coordinator == AUTO and process:
        raise UserError(f"--process {process}: with --coordinator auto SLURM or MPI say which process this is")
    if coordinator != AUTO and not re.fullmatch(r".+:\d+", coordinator):
        raise UserError(
            f"--coordinator {coordinator}: write HOST:PORT, or auto where SLURM or MPI started the processes"
        )
    known: dict[str, Any] = {}
    if found:
        known = dict(coordinator_address=coordinator, process_id=int(found[1]), num_processes=int(found[2]))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**known, initialization_timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UserError(f"--coordinator {coordinator}: the processes did not come together ({reason[:160]})") from error


def first() -> bool:
    """Whether this process writes and tells: the only one, or the first of several."""
    return jax.process_index() == 0


@contextmanager
def together() -> Iterator[None]:
    """What fails in this block in one process fails in all: the others would wait for it for ever."""
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except BaseException:
        anywhere(True)
        raise
    if anywhere(False):
        raise UserError("another of the processes that train together ended: its last line says why")


def anywhere(yes: bool) -> bool:
    """Whether it is so in any of the processes."""
    if jax.process_count() == 1:
        return yes
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.array(yes))))


def of_first(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """What the first process has."""
    if jax.process_count() == 1:
        return numbers
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return tuple(int(x) for x in broadcast_one_to_all(np.array(numbers)))
