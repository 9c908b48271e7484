"""The server: what it answers to whom, when time runs out, when it is told to stop and when another policy is there."""

import re
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from serving import address, doubling, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import qgf
from processes import clear, start, wait_until
from qgf.cli.main import main
from qgf.deployment.client import Client, moved_up
from qgf.deployment.frames import pack, unpack
from qgf.deployment.options import Bucket, Options
from qgf.deployment.served import served
from qgf.deployment.watched import Watched
from qgf.errors import UserError
from qgf.files import SUMS
from qgf.training.run import Run
from qgf.training.trained import load_trained, save_trained
from qgf.types import Calibration

STATE = np.array([0.1, 0.2, 0.3], np.float32)


def bowl(centre, obs, a):
    return -jnp.sum((a - centre) ** 2)


def still(weight, obs, a, t):
    return weight * (jnp.tile(obs[:2], 2) - a)


def guided(**options):
    v, q = jax.tree_util.Partial(still, jnp.ones(())), jax.tree_util.Partial(bowl, 0.5 * jnp.ones(4))
    return qgf.guided_flow(v, q, action_dim=2, horizon=2, weight=0.3, obs_spec=3, steps=4, **options)


@pytest.fixture(scope="module")
def server():
    with running(doubling, obs_spec=3, batch=2, rate=1e9) as found:
        yield found


def read(server, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def counted(server, outcome):
    return int(float(re.search(rf'qgf_requests_total{{outcome="{outcome}"}} (\S+)', server.metrics.text())[1]))


@pytest.mark.parametrize("name", ["observation/state", "state"])
def test_an_observation_gets_a_chunk_as_openpi_has_it(server, name):
    with Client(address(server)) as policy:
        assert policy.about["framework"] == "qgf" and policy.about["observation"] == dict(state=[3])
        for k in (1, 2):
            answer = policy(
                {name: k * STATE, "prompt": "open the drawer", "observation/image": np.zeros((2, 2, 3), "u1")}
            )
            assert answer["actions"].dtype == np.float32
            assert_allclose(answer["actions"], [2 * k * STATE[:2], [0, 0]])
            assert answer["policy_timing"].keys() == {"infer_ms"}
            assert answer["server_timing"].keys() == {"infer_ms", "queue_ms"} | ({"prev_total_ms"} if k > 1 else set())


MISTAKES = {
    "no state": (dict(image=STATE), "lacks observation/state; it has image"),
    "too long": (dict(state=np.zeros(4)), r"shape \[4\], expected \[3\]"),
    "a batch": (dict(state=np.zeros((1, 3))), r"shape \[1, 3\], expected \[3\]"),
    "not a number": (dict(state=np.array([0, np.nan, 0])), r"not finite at \[1\]"),
    "too large for its type": (dict(state=np.array([0, 1e300, 0])), r"not finite at \[1\]"),
    "text": (dict(state=np.array(["a", "b", "c"])), "type <U1, expected float32"),
    "a word": (dict(state="open"), "is a str"),
    "unequal lists": (dict(state=[[1], [1, 2], 3]), "no array of numbers"),
    "a list": ([1, 2, 3], "the request is a list"),
    "nothing": (None, "the request is a NoneType"),
}


@pytest.mark.parametrize(("request_", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_the_connection_goes_on(server, request_, said):
    with connect(address(server), compression=None) as connection:
        connection.recv()
        connection.send(pack(request_))
        answer = connection.recv()
        assert isinstance(answer, str) and re.search(said, answer) and len(answer.splitlines()) == 1
        connection.send(pack(dict(state=STATE)))
        assert_allclose(unpack(connection.recv())["actions"][0], 2 * STATE[:2])


def test_ten_thousand_malformed_frames_are_an_error_each(server):
    """Requests of which a byte or the end is not what it was, and noise; sent ahead of the answers."""
    rng, good = np.random.default_rng(0), pack({"observation/state": STATE})
    before, frames = counted(server, "malformed"), []
    while len(frames) < 10_000:
        spoilt = bytearray(good)
        spoilt[rng.integers(20)] ^= 1 << rng.integers(8)  # the table's head, its key, the array's head
        kinds = (bytes(spoilt), good[: rng.integers(len(good))], rng.bytes(rng.integers(1, 40)))
        frame = kinds[len(frames) % 3]
        try:
            server.worker.policy.observed(unpack(frame))
        except UserError:
            frames.append(frame)
    with connect(address(server), compression=None) as connection:
        connection.recv()
        sender = threading.Thread(target=lambda: [connection.send(frame) for frame in frames])
        sender.start()
        answers = [connection.recv() for _ in frames]
        sender.join()
        assert all(isinstance(answer, str) and 0 < len(answer) < 300 and "\n" not in answer for answer in answers)
        connection.send("text")
        assert "got text" in connection.recv()
        connection.send(good)
        assert_allclose(unpack(connection.recv())["actions"][0], 2 * STATE[:2])
    assert counted(server, "malformed") == before + 10_001


def test_pages_for_those_who_look_after_it(server):
    assert read(server, "/healthz") == (200, "OK\n")
    status, text = read(server, "/metrics")
    assert status == 200 and "qgf_request_seconds_bucket" in text and "qgf_clients 0.0" in text
    assert read(server, "/")[0] == 426  # a websocket is asked for


def test_a_page_in_a_browser_is_no_client(server):
    with pytest.raises(Exception, match="403"), connect(address(server), origin="http://elsewhere.example"):
        pass


def test_limits():
    with running(doubling, obs_spec=3, batch=1, api_key="open", clients=1, rate=2, max_bytes=400) as server:
        assert read(server, "/healthz")[0] == 200
        for key in (None, "shut", "", "opens"):
            with pytest.raises(UserError, match="401"):
                Client(address(server), api_key=key)
        assert read(server, "/metrics")[0] == 401
        assert read(server, "/metrics", Authorization="Api-Key open")[0] == 200
        with Client(address(server), "open") as policy:
            with pytest.raises(UserError, match="503"):
                Client(address(server), "open")
            policy(STATE), policy(STATE)
            with pytest.raises(UserError, match="too many requests: at most 2 a second"):
                policy(STATE)
            with pytest.raises(UserError, match="1009"):  # closed: too big
                policy({"state": STATE, "more": np.zeros(400)})
        with Client(address(server), "open") as policy:  # there is room again
            assert_allclose(policy(STATE)["actions"][0], 2 * STATE[:2])
        assert counted(server, "limited") == 1


def test_a_rate_is_a_bucket_that_fills_with_time():
    bucket = Bucket(2.0, 0.0)
    assert [bucket.take(t) for t in (0, 0, 0, 0.4, 0.5, 0.6, 9, 9, 9)] == [
        True, True, False, False, True, False, True, True, False
    ]  # fmt: skip


def test_those_who_wait_are_answered_together_each_with_its_own():
    """The first holds the policy until three more wait."""
    sizes, held, go = [], threading.Event(), threading.Event()

    def policy(obs, key):
        if obs[0, 2] == 1:
            held.set()
            assert go.wait(30)
        sizes.append(len(obs))
        return doubling(obs, key)

    with running(policy, obs_spec=3, batch=4) as server:
        sizes.clear()
        clients = [Client(address(server)) for _ in range(4)]
        answers = {}

        def ask(k):
            answers[k] = clients[k](np.array([k, -k, k == 0], np.float32))["actions"]

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
        threads[0].start()
        assert held.wait(30)
        for thread in threads[1:]:
            thread.start()
        while server.worker._asked.qsize() < 3:
            pass
        go.set()
        for thread in threads:
            thread.join(30)
        for client in clients:
            client.close()
    assert sizes == [1, 4]
    for k in range(4):
        assert_allclose(answers[k][0], [2 * k, -2 * k])


def test_a_policy_that_fails_says_so_and_is_asked_again():
    def policy(obs, key):
        if obs[0, 0] == 1:
            raise RuntimeError("out of memory")
        return np.full((len(obs), 2, 2), np.nan if obs[0, 0] == 2 else 1.0)

    with running(policy, obs_spec=3, batch=1) as server, Client(address(server)) as client:
        for state, said in ((1, "RuntimeError: out of memory"), (2, "not finite")):
            with pytest.raises(UserError, match=said):
                client(np.array([state, 0, 0]))
        assert_array_equal(client(np.zeros(3))["actions"], np.ones((2, 2)))
        assert counted(server, "failed") == 2


def test_a_policy_that_cannot_be_asked_is_not_served():
    with pytest.raises(UserError, match="cannot be served: ZeroDivisionError"):  # noqa: SIM117
        with running(lambda obs, key: 1 / 0, obs_spec=3):
            pass
    with pytest.raises(UserError, match=r"it gave \[1, 3\]"):  # noqa: SIM117
        with running(lambda obs, key: obs, obs_spec=3):
            pass


def test_the_unguided_action_comes_in_time():
    """Guidance that takes for ever once it is asked for: the deadline's answer is there before it ends."""
    go = threading.Event()

    def slow(obs, key):
        if obs[0, 0] == 1:
            assert go.wait(30)
        return doubling(obs, key)

    how = dict(obs_spec=3, unguided=lambda obs, key: -doubling(obs, key), batch=1, deadline=60_000)
    with running(slow, **how) as server, Client(address(server), timeout=30) as client:
        assert client(STATE)["guided"]
        server.options = replace(server.options, deadline=100)
        late = client(np.array([1, 0, 0]))
        assert not late["guided"] and not go.is_set()
        assert_allclose(late["actions"][0], [-2, 0])
        server.options = replace(server.options, deadline=60_000)
        go.set()
        assert client(STATE)["guided"]
        assert counted(server, "guided") == 2
        assert counted(server, "unguided") + counted(server, "late") == 1


def test_guidance_that_would_be_late_is_not_begun():
    asked = []

    def guided(obs, key):
        asked.append(key)
        return doubling(obs, key)

    how = dict(obs_spec=3, unguided=doubling, batch=1, deadline=5000)
    with running(guided, **how) as server, Client(address(server), timeout=30) as client:
        before = len(asked)
        server.worker._usual[1] = 60.0
        assert not client(STATE)["guided"]
        assert len(asked) == before and 0 < server.worker._usual[1] < 60
        server.worker._usual[1] = 0.0
        assert client(STATE)["guided"]
        assert len(asked) == before + 1


def test_a_deadline_needs_something_else_to_do():
    with pytest.raises(UserError, match="unguided="):
        served(doubling, Options(deadline=20), 3)


def test_a_guided_policy_is_served_as_it_acts():
    policy = guided()
    with running(policy, batch=1, deadline=60_000, seed=5) as server, Client(address(server)) as client:
        assert client.about["guide"] == "qgf" and client.about["horizon"] == 2
        for k in range(2):
            assert_allclose(client(STATE)["actions"], policy(STATE, 5 + k), atol=1e-6)
        server.worker._usual[1] = 1e9
        answer = client(STATE)
        assert not answer["guided"]
        assert_allclose(answer["actions"], policy.guided("none", weight=0)(STATE, 7), atol=1e-6)


def test_a_policy_that_falls_back_does_so_when_it_is_served():
    always = lambda doubt: doubt.ratio < 0
    policy = guided(fallback=always, calibration=Calibration(1.0, 1.0))
    with running(policy, batch=1) as server, Client(address(server)) as client:
        assert_allclose(client(STATE)["actions"], policy.guided("none", weight=0)(STATE, 0), atol=1e-6)


def test_the_last_chunk_is_where_the_next_one_starts():
    policy, t0 = guided(), 0.75
    last = np.array([[0.3, -0.3], [0.4, -0.4]], np.float32)
    with running(policy, batch=1, warm_start=t0) as server, Client(address(server)) as client:
        assert client.about["warm_start"] == t0
        assert_allclose(client(STATE)["actions"], policy(STATE, 0), atol=1e-6)
        noise = np.random.default_rng(1).standard_normal((1, 2, 2))[0]
        wanted = policy(STATE, 1, a0=((1 - t0) * noise + t0 * last).astype(np.float32), t0=t0)
        assert_allclose(client(STATE, last=last)["actions"], wanted, atol=1e-6)
        with pytest.raises(UserError, match=r"last_actions has shape \[1, 2\], expected \[2, 2\]"):
            client(STATE, last=last[:1])
    with pytest.raises(UserError, match="best of 4"):
        served(guided(best_of=4), Options(warm_start=t0))


def test_what_is_left_of_a_chunk():
    chunk = np.array([[1.0], [2.0], [3.0]])
    assert [moved_up(chunk, k).ravel().tolist() for k in (0, 1, 5)] == [[1, 2, 3], [2, 3, 3], [3, 3, 3]]


def test_a_request_in_flight_is_answered_when_the_server_stops():
    held, go, answers = threading.Event(), threading.Event(), []

    def policy(obs, key):
        if obs[0, 0] == 1:
            held.set()
            assert go.wait(30)
        return doubling(obs, key)

    def ask():
        answers.append(client(np.array([1, 0, 0]))["actions"])

    with running(policy, obs_spec=3, batch=1) as server:
        client, other = Client(address(server)), Client(address(server))
        asking = threading.Thread(target=ask)
        asking.start()
        assert held.wait(30)
        threading.Timer(0.3, go.set).start()  # stopped meanwhile
    asking.join(30)
    assert_allclose(answers[0][0], [2, 0])
    with pytest.raises(UserError, match="1001"):
        other(STATE)
    assert server.said[-1] == "stopped"


PYTHON = """
import numpy, qgf
still = lambda obs, key: numpy.zeros((len(obs), 2, 2))
qgf.serve(still, 0, obs_spec=3, batch=1, tell=lambda line: print(line, flush=True))
"""
COMMAND = """
import sys
from qgf.cli.main import main
way = ["--weight", "0.1", "--members", "mean", "--guide-steps", "5", "--fallback", "capped", "--cap-step", "0.5"]
main(["serve", sys.argv[1], "--port", "0", "--batch", "1", *way])
"""


@pytest.mark.parametrize(("program", "number", "size"), [(PYTHON, signal.SIGINT, 3), (COMMAND, signal.SIGTERM, 2)])
def test_a_program_that_serves_is_stopped_by_signals_gracefully(program, number, size, tiny_run, tmp_path):
    log = tmp_path / "log"
    with open(log, "w") as out:
        process = start(program, tiny_run.directory, stdout=out, stderr=out)
    try:
        wait_until(lambda: "serving ws://" in log.read_text(), process)
        with Client(re.search(r"ws://\S+", log.read_text())[0]) as policy:
            assert np.isfinite(policy(np.zeros(size))["actions"]).all()
            process.send_signal(number)
            with pytest.raises(ConnectionClosed, match="1001"):
                policy._connection.recv(60)
        assert process.wait(60) == 0
    finally:
        clear(process)
    assert log.read_text().endswith("stopped\n")


def test_what_is_no_run_is_not_served(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path)])
    assert "not a run directory" in capsys.readouterr().err


CLIENT = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print("jax" in sys.modules)
"""


def test_the_example_of_a_robot_at_50_hz_needs_no_jax():
    example = Path(__file__).parents[2] / "examples/05_client.py"
    with running(guided(), batch=1, warm_start=0.5) as server:
        process = start(CLIENT, example, address(server), 0.4, stdout=subprocess.PIPE, text=True)
        said, needs_jax = process.communicate(timeout=60)[0].splitlines()
        assert needs_jax == "False" and said.startswith("20 actions")
        assert counted(server, "guided") == 10  # every second action: chunks are two long


def test_a_port_that_is_taken_is_a_line(server):
    with pytest.raises(UserError, match=rf"127.0.0.1:{server.port} cannot be listened on"):
        qgf.serve(doubling, server.port, obs_spec=3, batch=1, tell=lambda line: None)


def test_another_policy_takes_the_place_of_the_one_served(tiny_run, tmp_path):
    """Only when it stays the same from one look to the next, is what its sums say, and is of the same sizes."""
    run = Run(shutil.copytree(tiny_run.directory, tmp_path / "run"))
    folder, options = run.policy_dirs()[0], Options(batch=1)
    load = lambda: served(run.policy(), options)
    watched = Watched(folder, load)
    obs, trained = np.zeros((1, 2), np.float32), load_trained(folder)
    assert watched() is None
    save_trained(trained.__class__(**(vars(trained) | dict(mean=trained.mean + 1))), folder)
    assert watched() is None  # seen for the first time
    found = watched()
    assert_allclose(found.act(obs, 0, None), run.policy()(obs, 0), atol=1e-6)
    assert np.abs(found.act(obs, 0, None) - tiny_run.policy()(obs, 0)).max() > 0
    assert watched() is None
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert watched() is None
    with pytest.raises(UserError, match=f"changed.*{SUMS}"):
        watched()
    assert watched() is None  # which is said once


def test_another_policy_is_taken_between_requests(monkeypatch):
    import qgf.deployment.server

    monkeypatch.setattr(qgf.deployment.server, "RELOAD", 0.02)
    more = [
        UserError("damaged"),
        served(lambda obs, key: 3 * doubling(obs, key), Options(), 3),
        served(doubling, Options(), 4),
    ]

    def reload():
        if not go.is_set() or not more:
            return None
        found = more.pop(0)
        if isinstance(found, UserError):
            raise found
        return found

    go = threading.Event()
    with running(doubling, obs_spec=3, reload=reload, batch=1) as server, Client(address(server)) as client:
        assert_allclose(client(STATE)["actions"][0], 2 * STATE[:2])
        go.set()
        while len(server.said) < 5:
            threading.Event().wait(0.01)
        assert_allclose(client(STATE)["actions"][0], 6 * STATE[:2])
    assert "not taken: damaged" in server.said[2] and "another policy acts" in server.said[3]
    assert "observes something else" in server.said[4]


def test_the_real_client_of_openpi(server):
    """Where it is installed: `pip install --no-deps openpi-client dm-tree`, as it wants an older NumPy."""
    openpi = pytest.importorskip("openpi_client.websocket_client_policy")
    broker = pytest.importorskip("openpi_client.action_chunk_broker")
    client = openpi.WebsocketClientPolicy("127.0.0.1", server.port)
    assert client.get_server_metadata()["framework"] == "qgf"
    assert_allclose(client.infer({"observation/state": STATE})["actions"], [2 * STATE[:2], [0, 0]])
    with pytest.raises(RuntimeError, match="lacks observation/state"):
        client.infer({"image": STATE})
    one = broker.ActionChunkBroker(client, action_horizon=2)
    assert_allclose(one.infer({"state": STATE})["actions"], 2 * STATE[:2])
    assert_allclose(one.infer({"state": STATE})["actions"], [0, 0])
