"""A robot's loop at 50 Hz that asks `qgf serve` again every fourth action, and starts from what is left of the chunk.

    qgf serve runs/demo --warm-start 0.5     # in one terminal
    python examples/05_client.py             # in another: [ADDRESS [SECONDS]]

The robot here is a stand-in whose state moves by what it is told; put yours in its place.
"""

import sys
import time

import numpy as np

from qgf.deployment.client import Client, moved_up

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8000"
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
PERIOD, EXECUTE = 1 / 50, 4


class Robot:
    """Its state drifts where its actions push it."""

    def __init__(self, size: int):
        self.state = np.zeros(size, np.float32)

    def act(self, action: np.ndarray) -> None:
        n = min(len(self.state), len(action))
        self.state[:n] += 0.05 * action[:n]


def main() -> None:
    with Client(ADDRESS) as policy:
        robot = Robot(policy.about["observation"]["state"][0])
        warm = policy.about.get("warm_start") is not None  # whether the server starts from what is left
        chunk, played, late, unguided = None, 0, 0, 0
        began, ticks = time.monotonic(), round(SECONDS / PERIOD)
        for tick in range(ticks):
            if chunk is None or played == min(EXECUTE, len(chunk)):
                left = None if chunk is None or not warm else moved_up(chunk, played)
                answer = policy(robot.state, left)
                chunk, played = answer["actions"], 0
                unguided += not answer["guided"]
            robot.act(chunk[played])
            played, due = played + 1, began + (tick + 1) * PERIOD
            late += time.monotonic() > due
            time.sleep(max(due - time.monotonic(), 0))
        print(f"{ticks} actions, {late} of them late; {unguided} chunks without guidance; at {robot.state.round(2)}")


if __name__ == "__main__":
    main()
