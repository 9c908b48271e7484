"""What an engine is, and how tasks that wait for one another are given to one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from qgf.errors import UserError, at_least_one

Tell = Callable[..., None]
"""How a task says how far it is, with the words of its caller."""
T = TypeVar("T")
STEP = TypeVar("STEP")


class Died(UserError):
    """The process of a task ended before the task did, again and again."""


@dataclass(frozen=True)
class Asked:
    """Which engine, as a user says it: `local`, `ray` (this machine), `ray:10.0.0.1:6379`, `slurm`, `slurm:PARTITION`.

    `cpus` and `gpus`, which may be a part of one, are of each task; on this machine `jobs` divides the cores.
    """

    engine: str = "local"
    cpus: int | None = None
    gpus: float = 0

    def __post_init__(self):
        if self.cpus is not None:
            at_least_one(self, "cpus")
        if self.gpus < 0:
            raise UserError(f"gpus must be at least 0, got {self.gpus}")
        if self.name == "local" and (self.where or self.cpus or self.gpus):
            raise UserError("cpus, gpus and an address are for ray and slurm; on this machine --jobs says how many run")

    @property
    def name(self) -> str:
        return self.engine.partition(":")[0]

    @property
    def where(self) -> str:
        return self.engine.partition(":")[2]


LOCAL = Asked()


class Engine(Protocol):
    """Performs tasks: functions of a module, that are handed `tell` after their other arguments.

    They go and come by value, so all that is large is in files that every machine sees. A task may be begun again after
    its process died, so it has to go on where it was. What it raises, a UserError alone, its future raises.
    """

    slots: int
    """How many tasks are under way at most."""

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Begin a task, or let it wait for its turn."""

    def close(self) -> None:
        """Stop what is under way, which may write a checkpoint first, and end every process of one's own."""


class Here:
    """One task after the other, in this process."""

    slots = 1

    def __init__(self, tell: Tell):
        self._tell = tell

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(task(*arguments, self._tell))
        return future

    def close(self) -> None:
        pass


def perform(
    engine: Engine,
    steps: Mapping[STEP, Collection[STEP]],
    submit: Callable[[STEP], Future],
    done: Callable[[STEP, Future], None],
    said: SimpleQueue,
    tell: Tell,
) -> None:
    """Do every step after those that it needs, the first that can be begun first. In this thread `done(step, future)`
    is called for each, and `tell(*words)` with what tasks say meanwhile, which comes through `said`.
    """
    listed = list(steps)
    place = {step: k for k, step in enumerate(listed)}
    order = TopologicalSorter(steps)
    order.prepare()
    ready: list[int] = []  # a heap of places
    running: dict[Future, STEP] = {}
    while order.is_active():
        for step in order.get_ready():
            heappush(ready, place[step])
        while ready and len(running) < engine.slots:
            step = listed[heappop(ready)]
            future = submit(step)
            running[future] = step
            future.add_done_callback(said.put)
        event = said.get()
        if isinstance(event, Future):
            step = running.pop(event)
            done(step, event)
            order.done(step)
        else:
            tell(*event)


def retold(answer: T | UserError) -> T:
    """What a task returned; a user's mistake, which came as a value and keeps its class so, is raised."""
    if isinstance(answer, UserError):
        raise answer
    return answer
