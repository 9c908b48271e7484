"""A server in a thread of the test's own process."""

import asyncio
import threading
from contextlib import contextmanager

import numpy as np

from qgf.deployment.options import Options
from qgf.deployment.served import served
from qgf.deployment.server import Server


@contextmanager
def running(policy, obs_spec=None, unguided=None, reload=None, **options):
    """A server of a policy, which is stopped when the block ends; `server.said` is what it told its operator."""
    chosen, said, stop = Options(**options), [], threading.Event()
    server = Server(served(policy, chosen, obs_spec, unguided), chosen, reload, said.append)
    server.said, server.failed = said, []

    def run():
        try:
            asyncio.run(server.run(stop.is_set))
        except BaseException as error:
            server.failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not server.port and thread.is_alive():
            thread.join(0.01)
        if server.failed:
            raise server.failed[0]
        yield server
    finally:
        stop.set()
        thread.join()
    assert not server.failed


def doubling(obs, key):
    """A policy of three numbers seen and two actions of two numbers: twice the first two."""
    return np.stack([2 * obs[:, :2], 0 * obs[:, :2]], axis=1)


def address(server):
    return f"ws://127.0.0.1:{server.port}"
