"""openpi's websocket protocol: one observation in, one chunk of actions out. `Client` (client.py) is its other end.

On connection the server sends a table of what it serves. A request is an observation without a batch axis; the answer
is {"actions": [H, A], "guided", "policy_timing", "server_timing"}, or one line of text that says what is wrong with the
request. GET /healthz answers OK, GET /metrics Prometheus.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import qgf
from qgf.deployment.frames import pack, unpack
from qgf.deployment.metrics import Metrics
from qgf.deployment.options import GRACE, Bucket, Options
from qgf.deployment.served import LAST, Served, array, served
from qgf.deployment.worker import Answer, Ask, Worker
from qgf.errors import UserError
from qgf.signals import held_back

try:
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as listen
    from websockets.exceptions import ConnectionClosed
except ImportError:
    raise UserError("serving needs msgpack and websockets: pip install 'qgf[serve]'") from None

LOOK = 0.1
"""Seconds between looks whether the server is to stop."""
RELOAD = 1.0
"""Seconds between looks for another policy."""
QUIET = logging.getLogger("qgf.deployment")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False  # whoever knocks with what is no handshake would fill the log
Reload = Callable[[], Served | None]


def serve(
    policy: Any,
    port: int = 8000,
    host: str = "127.0.0.1",
    *,
    obs_spec: Any = None,
    unguided: Any = None,
    tell: Callable[[str], None] = print,
    **options: Any,
) -> None:
    """Serve a policy until SIGINT or SIGTERM: a `qgf.Policy`, or any object that is called like one, as a guided
    policy of PyTorch, policy(obs[B, S], key) -> actions[B, H, A] with a whole number for a key.

    `obs_spec` is what it observes, where it does not say so itself; `unguided`, called likewise, is what acts when a
    deadline passes; further `options` are those of `deployment.options.Options`. Port 0 takes a free one.
    """
    chosen = Options(**options)
    run(Server(served(policy, chosen, obs_spec, unguided), chosen, tell=tell), port, host)


def run(server: Server, port: int, host: str) -> None:
    """Until SIGINT or SIGTERM, which then have done what they should; a second one does not wait."""
    with held_back() as told:
        asyncio.run(server.run(lambda: bool(told), port, host))
        told.heard()


class Server:
    """A policy behind a port. `reload()` gives another policy when there is one, and raises UserError if it is no
    good; `tell(line)` hears of what an operator wants to know.
    """

    def __init__(
        self,
        policy: Served,
        options: Options,
        reload: Reload | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.options, self.reload, self.tell = options, reload, tell
        self.metrics = Metrics()
        self.worker = Worker(policy, options, self.metrics)
        self.port = 0  # as soon as it listens
        self._stopping = False
        self._busy = self._clients = 0

    async def run(self, stopped: Callable[[], bool], port: int = 0, host: str = "127.0.0.1") -> None:
        """Compile, listen, and when `stopped` says so end after the requests that are in flight. Raises UserError if
        the port cannot be had or the policy fails.
        """
        self.tell("compiling the policy")
        began, ready = time.monotonic(), self.worker.start(asyncio.get_running_loop())
        try:
            while not ready.done():
                if stopped():
                    return
                await asyncio.wait({ready}, timeout=LOOK)
            if ready.result().error:
                raise UserError(f"the policy cannot be served: {ready.result().error}")
            await self._listen(stopped, port, host, time.monotonic() - began)
        finally:
            self.worker.stop()

    async def _listen(self, stopped: Callable[[], bool], port: int, host: str, took: float) -> None:
        how: dict[str, Any] = dict(max_size=self.options.max_bytes, max_queue=2, compression=None, logger=QUIET)
        try:
            # A page in a browser names its origin, and has no business here
            server = await listen(self._client, host, port, process_request=self._page, origins=[None], **how)
        except (OSError, OverflowError) as error:
            raise UserError(f"{host}:{port} cannot be listened on ({error}); choose another --port") from None
        self.port = next(iter(server.sockets)).getsockname()[1]
        self.tell(f"serving ws://{host}:{self.port} ({took:.1f} s of compiling); Ctrl-C stops")
        watching = asyncio.create_task(self._watch())
        while not stopped():
            await asyncio.sleep(LOOK)
        self._stopping = True
        watching.cancel()
        until = time.monotonic() + GRACE
        while self._busy and time.monotonic() < until:
            await asyncio.sleep(LOOK / 10)
        server.close()
        await server.wait_closed()
        self.tell("stopped")

    def _page(self, connection: ServerConnection, request: Any) -> Any:
        """The answer to what is no websocket, or may not be one; None lets the handshake go on."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if not self._known(request.headers.get_all("Authorization")):
            self.metrics.refused.labels("key").inc()
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Authorization: Api-Key KEY is missing or wrong\n")
        if request.path == "/metrics":
            return connection.respond(http.HTTPStatus.OK, self.metrics.text())
        if self._clients >= self.options.clients or self._stopping:
            self.metrics.refused.labels("stopping" if self._stopping else "clients").inc()
            why = "stopping" if self._stopping else f"{self.options.clients} clients are connected, no more are allowed"
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")
        return None

    def _known(self, given: list[str]) -> bool:
        if self.options.api_key is None:
            return True
        wanted = f"Api-Key {self.options.api_key}".encode()
        return len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "surrogateescape"), wanted)

    async def _client(self, connection: ServerConnection) -> None:
        """One client, its requests one after another."""
        self._clients += 1
        self.metrics.clients.set(self._clients)
        bucket, before = Bucket(self.options.rate, time.monotonic()), None
        try:
            await connection.send(pack(self._told()))
            async for frame in connection:
                if self._stopping:
                    break
                self._busy += 1
                try:
                    began = time.monotonic()
                    await connection.send(await self._answered(frame, bucket, began, before))
                    before = time.monotonic() - began
                    self.metrics.answering.observe(before)
                finally:
                    self._busy -= 1
            await connection.close(1001, "the server stops")
        except ConnectionClosed:
            pass
        finally:
            self._clients -= 1
            self.metrics.clients.set(self._clients)

    def _told(self) -> dict[str, Any]:
        spec = self.worker.policy.spec
        shapes = {name: list(leaf.shape) for name, leaf in zip(self.worker.policy.names, spec.leaves, strict=True)}
        return dict(framework="qgf", version=qgf.__version__, observation=shapes) | self.worker.policy.about

    async def _answered(self, frame: Any, bucket: Bucket, began: float, before: float | None) -> bytes | str:
        """The frame that answers one; text where the request is at fault."""
        if not bucket.take(began):
            self.metrics.count("limited")
            return f"too many requests: at most {self.options.rate:g} a second"
        try:
            obs, last = self._read(frame)
        except UserError as error:
            self.metrics.count("malformed")
            return str(error)
        answer = await self._asked(obs, last, began)
        if answer.error or answer.actions is None:
            self.metrics.count("failed")
            return answer.error
        now = time.monotonic()
        late = self.options.deadline is not None and now - began > self.options.deadline / 1e3
        self.metrics.count("late" if late else "guided" if answer.guided else "unguided")
        timing = dict(infer_ms=1e3 * (now - began), queue_ms=1e3 * answer.queued)
        timing |= {} if before is None else dict(prev_total_ms=1e3 * before)
        told = dict(policy_timing=dict(infer_ms=1e3 * answer.seconds), server_timing=timing)
        return pack(dict(actions=answer.actions, guided=answer.guided) | told)

    def _read(self, frame: Any) -> tuple[list[np.ndarray], np.ndarray | None]:
        if not isinstance(frame, bytes):
            raise UserError("a request is a binary frame of msgpack, got text")
        request, policy = unpack(frame), self.worker.policy
        obs = policy.observed(request)
        last = request.get(LAST) if self.options.warm_start is not None else None
        if last is not None:
            last = array(last, LAST, (policy.about["horizon"], policy.about["action_dim"]))
        return obs, last

    async def _asked(self, obs: list[np.ndarray], last: np.ndarray | None, began: float) -> Answer:
        """The best answer that is there in time, or else the first that comes."""
        loop, limit = asyncio.get_running_loop(), self.options.deadline
        due = None if limit is None else began + limit / 1e3
        ask = Ask(obs, last, due, loop.create_future(), loop.create_future(), loop)
        self.worker.ask(ask)
        try:
            left = None if due is None else max(due - time.monotonic() - SENDING, 0.0)
            await asyncio.wait({ask.best}, timeout=left)
            return ask.best.result() if ask.best.done() else await ask.quick
        finally:
            ask.best.cancel()
            ask.quick.cancel()

    async def _watch(self) -> None:
        """Put another policy in the place of the one served whenever there is one."""
        while self.reload:
            await asyncio.sleep(RELOAD)
            try:
                if (policy := await asyncio.to_thread(self._another)) is not None:
                    self.worker.swap(policy)
                    self.metrics.loads.labels("loaded").inc()
                    self.tell(f"another policy acts now: {policy.about.get('updates', '?')} updates")
            except UserError as error:
                self.metrics.loads.labels("refused").inc()
                self.tell(f"the policy that is there now is not taken: {error}")

    def _another(self) -> Served | None:
        """The policy that came, compiled; clients must not see another kind of observation or action."""
        policy = self.reload() if self.reload else None
        if policy is None:
            return None
        for name in ("horizon", "action_dim"):
            if (now := policy.about.get(name)) != (before := self.worker.policy.about.get(name)):
                raise UserError(f"its {name} is {now}, not {before}")
        if policy.spec != self.worker.policy.spec:
            raise UserError("it observes something else")
        self.worker.warm(policy)
        return policy


SENDING = 0.001
"""Seconds before a deadline at which an answer has to be on its way."""
