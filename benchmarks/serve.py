"""What a server adds to a policy, and whether it keeps its deadlines.

    python benchmarks/serve.py [--seconds 600] [--clients 8] [--hz 50] [--width 256] [--depth 3]

Serves a flow of cube-single's sizes, guided by QGF, from a process of its own, and asks it over the loopback from
another, whose clients each ask `--hz` times a second and count the answers that take longer than the period. Prints the
percentiles of the round trip, of the policy's own part of it and of the difference, requests by outcome, and the
server's resident memory at a tenth of the time and at its end.
"""

import asyncio
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

PAGE = 4096


@dataclass
class How:
    seconds: float = 30.0
    clients: int = 8
    hz: float = 50.0
    width: int = 256
    depth: int = 3
    serve: bool = False  # be the server


def server(how: How) -> None:
    import jax

    import qgf
    from qgf.training.methods.bc import BC
    from qgf.training.trained import Trained
    from qgf.types import Calibration, Spec

    spec, method = Spec(obs_dim=28, action_dim=5, horizon=5), BC(width=how.width, depth=how.depth)
    zeros, ones = np.zeros(spec.obs_dim, np.float32), np.ones(spec.obs_dim, np.float32)
    nets = method.init(spec, jax.random.key(0))
    policy = Trained(nets, zeros, ones, method, spec, calibration=Calibration(0.1, 8.0)).policy().guided("qgf")
    qgf.serve(policy, 0, deadline=1e3 / how.hz, tell=lambda line: print(line, flush=True))


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
            rows.append((took, answer["policy_timing"]["infer_ms"] / 1e3, answer["guided"]))
            due = max(due + period, time.monotonic() - period)  # what was missed is not made up for


async def load(address: str, how: How, resident) -> tuple[np.ndarray, list[int]]:
    rows: list = []
    start = time.monotonic() + 0.5
    clients = [client(address, how, start + k / how.hz / how.clients, rows) for k in range(how.clients)]
    asking, memory = asyncio.gather(*clients), []
    while not asking.done():
        await asyncio.sleep(how.seconds / 10)
        memory.append(resident())
    await asking
    return np.array(rows, float), memory


def main(how: How) -> None:
    if how.serve:
        return server(how)
    process = subprocess.Popen([sys.executable, *sys.argv, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        while "ws://" not in (line := process.stdout.readline()):
            assert line, "the server ended"
        address = next(word for word in line.split() if word.startswith("ws://"))
        resident = lambda: int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE // 2**20
        rows, memory = asyncio.run(load(address, how, resident))
        text = urllib.request.urlopen(address.replace("ws", "http", 1) + "/metrics").read().decode()
    finally:
        process.terminate()
        process.wait()
    took, inferred, _ = rows.T
    late = int((took > 1 / how.hz).sum())
    print(
        f"{how.clients} clients at {how.hz:g} Hz for {how.seconds:g} s, {how.depth} x {how.width}: {len(took)} answers"
    )
    print(f"late (> {1e3 / how.hz:g} ms): {late}, {100 * late / len(took):.3f} %")
    for name, x in (("round trip", took), ("policy", inferred), ("added", took - inferred)):
        print(f"{name:>10} ms: " + "  ".join(f"p{p:g} {1e3 * np.percentile(x, p):.2f}" for p in (50, 90, 99, 99.9)))
    print(f"resident MiB, ten times: {' '.join(map(str, memory))}")
    print("\n".join(line for line in text.splitlines() if line.startswith("qgf_requests_total") and " 0.0" not in line))


if __name__ == "__main__":
    main(tyro.cli(How))
