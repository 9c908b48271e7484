"""The tutorial's server: one page, and no client that stays for ever."""

import socket
import threading
import urllib.request

import pytest

import qgf.pages.tutorial
from qgf.pages.tutorial import server


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(qgf.pages.tutorial, "IDLE", 0.2)
    with server("<p>page</p>") as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running.server_port
        running.shutdown()


def test_idle_clients_are_let_go_and_others_served(port):
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    half = socket.create_connection(("127.0.0.1", port))
    half.sendall(b"GET / HTTP/1.0\r\n")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read() == b"<p>page</p>"
    for client in [*idle, half]:
        client.settimeout(5)
        assert client.recv(100) == b""  # closed at the other end
        client.close()
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(5)
    assert threading.active_count() <= before
