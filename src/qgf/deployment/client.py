"""The other end of openpi's protocol, without JAX: what a robot's loop needs to ask a server."""

from __future__ import annotations

from typing import Any

import numpy as np

from qgf.deployment.frames import pack, unpack
from qgf.errors import UserError

try:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect
except ImportError:
    raise UserError("a client needs msgpack and websockets: pip install 'qgf[serve]'") from None


class Client:
    """A connection to `qgf serve`, or to an openpi server.

        with Client("ws://127.0.0.1:8000") as policy:
            actions = policy(state)["actions"]  # [H, A]

    `about` is what the server says of itself.
    """

    def __init__(self, address: str = "ws://127.0.0.1:8000", api_key: str | None = None, timeout: float = 10.0):
        self.timeout = timeout
        headers = {"Authorization": f"Api-Key {api_key}"} if api_key else None
        how: dict[str, Any] = dict(compression=None, max_size=None, additional_headers=headers, open_timeout=timeout)
        try:
            self._connection = connect(address, **how)
            self.about = unpack(self._connection.recv(timeout))
        except (OSError, WebSocketException, ValueError) as error:
            raise UserError(f"{address}: no policy can be asked there ({error})") from None

    def __call__(self, obs: Any, last: np.ndarray | None = None) -> dict[str, Any]:
        """The server's answer to one observation: an array, which is sent as the state, or a table of arrays. `last`
        [H, A] is what is left of the last chunk, moved up to now: where a server that allows it starts from.

        Raises UserError with what the server says is wrong, or if it does not answer.
        """
        request = dict(obs) if isinstance(obs, dict) else {"observation/state": np.asarray(obs, np.float32)}
        try:
            self._connection.send(pack(request if last is None else request | {"last_actions": np.asarray(last)}))
            answer = self._connection.recv(self.timeout)
        except (OSError, WebSocketException) as error:  # a timeout is an OSError
            raise UserError(f"the server does not answer ({error})") from None
        if isinstance(answer, str):
            raise UserError(f"the server says: {answer}")
        return unpack(answer)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def moved_up(chunk: np.ndarray, played: int) -> np.ndarray:
    """A chunk [H, A] of which `played` actions are over: the rest, its last action repeated."""
    chunk = np.asarray(chunk)
    return np.concatenate([chunk[played:], np.repeat(chunk[-1:], min(played, len(chunk)), axis=0)])
