"""What a server adds to a policy, and whether it keeps its deadlines.

    python benchmarks/serve.py [--seconds 600] [--clients 8] [--hz 50] [--width 256] [--depth 3] [--malformed 0]

Serves a flow of cube-single's sizes, guided by QGF, from a process of its own, and asks it over the loopback from
another, whose clients each ask `--hz` times a second and count the answers that take longer than the period; with
`--openpi` each is openpi's own client (`pip install --no-deps openpi-client dm-tree`) in a thread. Prints the
percentiles of the round trip and of its parts: the policy, waiting while it answers others, and the rest, which the
server adds; requests by outcome; the server's CPU time a request and its resident memory, ten times; the machine's
load. `--direct` makes the same calls in its own process, one a period, of one row and of a row for each client: what
this machine misses without any server. With `--malformed` so many broken frames are sent afterwards, each of which is
answered by one line.
"""

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

PAGE, TICKS = 4096, os.sysconf("SC_CLK_TCK")


@dataclass
class How:
    seconds: float = 30.0
    clients: int = 8
    hz: float = 50.0
    width: int = 256
    depth: int = 3
    openpi: bool = False  # ask with openpi's own client
    malformed: int = 0  # broken frames that are sent afterwards
    direct: bool = False  # ask the policy in this process
    serve: bool = False  # be the server


def guided(how: How):
    """A policy of random weights."""
    import jax

    from qgf.training.methods.bc import BC
    from qgf.training.trained import Trained
    from qgf.types import Calibration, Spec

    spec, method = Spec(obs_dim=28, action_dim=5, horizon=5), BC(width=how.width, depth=how.depth)
    zeros, ones = np.zeros(spec.obs_dim, np.float32), np.ones(spec.obs_dim, np.float32)
    nets = method.init(spec, jax.random.key(0))
    return Trained(nets, zeros, ones, method, spec, calibration=Calibration(0.1, 8.0)).policy().guided("qgf")


def server(how: How) -> None:
    import qgf

    qgf.serve(guided(how), 0, deadline=1e3 / how.hz, tell=lambda line: print(line, flush=True))


def direct(how: How) -> None:
    """The unguided and the guided action, as a deadline has them computed, once a period."""
    policy, period = guided(how), 1 / how.hz
    ways, rng = [policy.guided("none"), policy], np.random.default_rng(0)
    for rows in (1, how.clients):
        obs, times = rng.normal(size=(rows, 28)).astype(np.float32), []
        act = lambda key, obs=obs: [np.asarray(way(obs, key)) for way in ways]
        act(0)
        start = due = time.monotonic()
        while due < start + how.seconds / 2:
            time.sleep(max(due - time.monotonic(), 0))
            began = time.monotonic()
            act(len(times))
            times.append(time.monotonic() - began)
            due = max(due + period, time.monotonic() - period)
        late = 100 * np.mean(np.array(times) > period)
        told = "  ".join(f"p{p:g} {1e3 * np.percentile(times, p):.2f}" for p in (50, 90, 99, 99.9))
        print(f"in this process, {rows} rows, ms: {told}; late {late:.3f} %; load {os.getloadavg()[0]:.1f}")


def parts(took: float, answer: dict) -> tuple[float, float, float, bool]:
    """Seconds of a round trip, of the policy, and of waiting for it; whether the answer was guided."""
    infer, queue = answer["policy_timing"]["infer_ms"], answer["server_timing"]["queue_ms"]
    return took, infer / 1e3, queue / 1e3, answer["guided"]


async def client(address: str, how: How, start: float, rows: list) -> None:
    from websockets.asyncio.client import connect

    from qgf.deployment.frames import pack, unpack

    request, period = pack({"observation/state": np.zeros(28, np.float32)}), 1 / how.hz
    async with connect(address, compression=None) as connection:
        await connection.recv()
        due = start
        while due < start + how.seconds:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            began = time.monotonic()
            await connection.send(request)
            frame = await connection.recv()
            took, answer = time.monotonic() - began, unpack(frame)
            rows.append(parts(took, answer))
            due = max(due + period, time.monotonic() - period)  # what was missed is not made up for


def openpi_client(address: str, how: How, start: float, rows: list) -> None:
    """The same by openpi's client, which waits for its answers."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    host, port = address.removeprefix("ws://").split(":")
    policy, observation = WebsocketClientPolicy(host, int(port)), {"observation/state": np.zeros(28, np.float32)}
    due, period = start, 1 / how.hz
    while due < start + how.seconds:
        time.sleep(max(due - time.monotonic(), 0))
        began = time.monotonic()
        answer = policy.infer(observation)
        rows.append(parts(time.monotonic() - began, answer))
        due = max(due + period, time.monotonic() - period)


async def malformed(address: str, how: How) -> int:
    """How many of the broken frames, cut off or with a byte changed, are answered by a line of text or an action."""
    from websockets.asyncio.client import connect

    from qgf.deployment.frames import pack

    whole, rng, answered = pack({"observation/state": np.zeros(28, np.float32)}), np.random.default_rng(0), 0
    async with connect(address, compression=None) as connection:
        await connection.recv()
        for k in range(how.malformed):
            frame = bytearray(whole[: rng.integers(len(whole))] if k % 2 else whole)
            if frame:
                frame[rng.integers(len(frame))] = rng.integers(256)
            await connection.send(bytes(frame))
            answer = await connection.recv()
            answered += isinstance(answer, bytes) or (bool(answer) and "\n" not in answer)
    return answered


async def load(address: str, how: How, resident) -> tuple[np.ndarray, list[int]]:
    rows: list = []
    start = time.monotonic() + 0.5
    starts = [start + k / how.hz / how.clients for k in range(how.clients)]
    if how.openpi:
        threads, loop = ThreadPoolExecutor(how.clients), asyncio.get_running_loop()  # the loop's own are fewer
        clients = [loop.run_in_executor(threads, openpi_client, address, how, at, rows) for at in starts]
    else:
        clients = [client(address, how, at, rows) for at in starts]
    asking, memory = asyncio.gather(*clients), []
    while not asking.done():
        await asyncio.sleep(how.seconds / 10)
        memory.append(resident())
    await asking
    return np.array(rows, float), memory


def main(how: How) -> None:
    if how.serve:
        return server(how)
    if how.direct:
        return direct(how)
    process = subprocess.Popen([sys.executable, *sys.argv, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        while "ws://" not in (line := process.stdout.readline()):
            assert line, "the server ended"
        address = next(word for word in line.split() if word.startswith("ws://"))
        resident = lambda: int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE // 2**20
        worked = lambda: sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().split()[13:15])) / TICKS
        before = worked()
        rows, memory = asyncio.run(load(address, how, resident))
        cpu, busy = worked() - before, os.getloadavg()[1]
        broken = asyncio.run(malformed(address, how)) if how.malformed else 0
        text = urllib.request.urlopen(address.replace("ws", "http", 1) + "/metrics").read().decode()
    finally:
        process.terminate()
        process.wait()
    took, inferred, queued, _ = rows.T
    late, n = int((took > 1 / how.hz).sum()), len(took)
    print(f"{how.clients} clients at {how.hz:g} Hz for {how.seconds:g} s, {how.depth} x {how.width}: {n} answers")
    print(f"late (> {1e3 / how.hz:g} ms): {late}, {100 * late / n:.3f} %; load of the machine {busy:.1f}")
    added = took - inferred - queued
    for name, x in (("round trip", took), ("policy", inferred), ("waiting", queued), ("added", added)):
        print(f"{name:>10} ms: " + "  ".join(f"p{p:g} {1e3 * np.percentile(x, p):.2f}" for p in (50, 90, 99, 99.9)))
    print(f"CPU of the server: {1e3 * cpu / n:.2f} ms a request")
    if how.malformed:
        print(f"malformed frames: {how.malformed}, {broken} answered, server ended with status {process.returncode}")
    print(f"resident MiB, ten times: {' '.join(map(str, memory))}")
    print("\n".join(line for line in text.splitlines() if line.startswith("qgf_requests_total") and " 0.0" not in line))


if __name__ == "__main__":
    main(tyro.cli(How))
