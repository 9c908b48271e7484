"""The one thread that asks the policy, a batch of waiting requests at a time."""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np

from qgf.deployment.metrics import Metrics
from qgf.deployment.options import Options
from qgf.deployment.served import Acting, Served


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    actions: np.ndarray | None  # [H, A]
    guided: bool
    seconds: float  # of the policy alone, the unguided action included that a deadline has computed first
    error: str = ""
    queued: float = 0.0  # seconds before that, while others were answered


@dataclass(eq=False)
class Ask:
    """A request that waits, and where its answers go: the `quick` one, whichever comes first, and the `best`."""

    obs: list[np.ndarray]
    last: np.ndarray | None
    due: float | None  # by time.monotonic
    quick: Future
    best: Future
    loop: AbstractEventLoop
    asked: float = field(default_factory=time.monotonic)

    def tell(self, answer: Answer, final: bool = True) -> None:
        self.loop.call_soon_threadsafe(self._set, answer, final)

    def _set(self, answer: Answer, final: bool) -> None:
        for future in (self.quick, self.best) if final else (self.quick,):
            _set(future, answer)


class Worker:
    """Asks a policy in a thread of its own. With a deadline the unguided action is computed first, so that there is one
    to give, and guidance is left out where it would be too late, as far as its last times tell.
    """

    def __init__(self, policy: Served, options: Options, metrics: Metrics):
        self.policy, self.options, self.metrics = policy, options, metrics
        self._asked: SimpleQueue[Ask | None] = SimpleQueue()
        self._waiting: deque[Ask] = deque()
        self._ended = False
        self._calls = 0
        self._usual: dict[int, float] = {}  # batch size -> seconds of a guided call, a running mean
        self._thread = threading.Thread(target=self._run, name="qgf-policy", daemon=True)

    def start(self, loop: AbstractEventLoop) -> Future:
        """Begin; what is returned is done when the policy is compiled, with an Answer that has an error if it fails."""
        self._loop, self._ready = loop, loop.create_future()
        self._thread.start()
        return self._ready

    def ask(self, ask: Ask) -> None:
        self._asked.put(ask)

    def swap(self, policy: Served) -> None:
        """Another policy from the next batch on."""
        self.policy = policy

    def stop(self) -> None:
        """End after the batch that runs."""
        self._asked.put(None)

    def warm(self, policy: Served) -> None:
        """Compile all that can be asked of a policy, and see how long it takes."""
        for size in self.options.sizes:
            obs = policy.stacked([policy.example()], size)
            shape = policy.act(obs, 0, None).shape
            starts = [None] if self.options.warm_start is None else [None, np.zeros(shape, np.float32)]
            for last in starts:
                for act in filter(None, (policy.unguided, policy.act)):
                    _checked(act, obs, 0, last, size)
            began = time.monotonic()
            policy.act(obs, 1, None)
            self._usual[size] = time.monotonic() - began

    def _run(self) -> None:
        told = Answer(None, False, 0.0)
        try:
            self.warm(self.policy)
        except Exception as error:  # of anybody's policy
            told = Answer(None, False, 0.0, f"{type(error).__name__}: {error}")
        self._loop.call_soon_threadsafe(_set, self._ready, told)
        while not told.error and (asks := self._next()):
            self._answer(asks)

    def _next(self) -> list[Ask]:
        """Requests that are answered together, the oldest first; none when it is time to end."""
        if not self._waiting and not self._ended:
            self._take(self._asked.get())
        while not self._ended and len(self._waiting) < self.options.batch:
            try:
                self._take(self._asked.get_nowait())
            except Empty:
                break
        if not self._waiting:
            return []
        warm = self._waiting[0].last is not None
        chosen = [ask for ask in self._waiting if (ask.last is not None) == warm][: self.options.batch]
        for ask in chosen:
            self._waiting.remove(ask)
        return chosen

    def _take(self, ask: Ask | None) -> None:
        if ask is None:
            self._ended = True
        elif not ask.best.done():
            self._waiting.append(ask)

    def _answer(self, asks: list[Ask]) -> None:
        policy, key, size = self.policy, (self.options.seed + self._calls) % 2**31, 1 << (len(asks) - 1).bit_length()
        self._calls += 1
        begun, first = time.monotonic(), 0.0
        try:
            obs, last = policy.stacked([ask.obs for ask in asks], size), _starts(asks, size)
            due = min((ask.due for ask in asks if ask.due is not None), default=None)
            if due is not None and policy.unguided is not None:
                first = self._tell(asks, policy.unguided, obs, key, last, begun, guided=False, final=False)
                usual = self._usual.get(size, 0.0)
                if time.monotonic() + usual > due:
                    self._usual[size] = 0.98 * usual  # so that it is tried again some time
                    for ask in asks:
                        ask.loop.call_soon_threadsafe(_settle, ask)
                    return
            seconds = self._tell(asks, policy.act, obs, key, last, begun, guided=True, final=True, first=first)
            self._usual[size] = 0.9 * self._usual.get(size, seconds) + 0.1 * seconds
        except Exception as error:  # of anybody's policy: whoever asked is told, and the next may do better
            for ask in asks:
                ask.tell(Answer(None, False, 0.0, f"the policy failed: {type(error).__name__}: {error}"))

    def _tell(
        self, asks, act: Acting, obs, key: int, last, begun: float, guided: bool, final: bool, first: float = 0.0
    ) -> float:
        """Tell what a policy does, and return how long it took; `first` is what was computed before for the same."""
        began = time.monotonic()
        actions = _checked(act, obs, key, last, len(asks))
        seconds = time.monotonic() - began
        self.metrics.inferring.observe(seconds)
        for i, ask in enumerate(asks):
            ask.tell(Answer(actions[i], guided, first + seconds, queued=begun - ask.asked), final)
        return seconds


def _set(future: Future, answer: Answer) -> None:
    if not future.done():  # else it was answered before, or nobody waits any more
        future.set_result(answer)


def _starts(asks: list[Ask], size: int) -> np.ndarray | None:
    """The chunks [size, H, A] that requests start from, which all have one or none; the last is repeated."""
    known = [ask.last for ask in asks if ask.last is not None]
    return np.stack(known + known[-1:] * (size - len(known))) if known else None


def _settle(ask: Ask) -> None:
    """The quick answer is the best that there will be."""
    ask._set(ask.quick.result(), True)


def _checked(act: Acting, obs, key: int, last, rows: int) -> np.ndarray:
    """The actions [B, H, A] as float32, all of them finite."""
    actions = np.asarray(act(obs, key, last), np.float32)
    if actions.ndim != 3 or len(actions) < rows:
        raise ValueError(f"it gave {list(actions.shape)}, expected [B, H, A]")
    if not np.isfinite(actions[:rows]).all():
        raise ValueError("it gave an action that is not finite")
    return actions
