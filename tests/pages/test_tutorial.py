"""The tutorial: the exported policy, the page that it is put into, and the server."""

import base64
import json
import os
import shutil
import threading
import urllib.error
import urllib.request

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgf.cli import main as cli
from qgf.errors import UserError
from qgf.method.guidance import ESTIMATORS
from qgf.pages import tutorial
from qgf.training.methods.bc import BC
from qgf.training.trained import Trained, load_trained, save_trained
from qgf.types import Calibration, Spec

pytest.importorskip("ogbench")
MAZE = "pointmaze-medium-navigate-singletask-task1-v0"
SHELL = '<body><script type="application/json" id="policy">{"old":1}</script><script>app</script></body>'


def save_run(directory, dataset=MAZE, spec=Spec(2, 2, 3), calibration=Calibration(0.5, 2.0)):
    method = BC(width=16, depth=2)
    nets = method.init(spec, jax.random.key(0))
    ones = jnp.ones(spec.obs_dim)
    save_trained(Trained(nets, 3 * ones, 2 * ones, method, spec, 7, dataset, calibration), directory / "policy")
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "policy.json"
    cli.main(["tutorial", "--policy", str(run), "--export-policy", str(path)])
    return json.loads(path.read_text())


@pytest.fixture
def built(tmp_path, monkeypatch):
    monkeypatch.setattr(tutorial, "PAGE", tmp_path / "tutorial.html")
    tutorial.PAGE.write_text(SHELL)


def decode(net):
    """Weights and biases of a network as the page reads them."""
    numbers = np.frombuffer(base64.b64decode(net["data"]), "<f2")
    pairs = list(zip(net["sizes"][:-1], net["sizes"][1:], strict=True))
    parts = np.split(numbers, np.cumsum([n for i, o in pairs for n in (i * o, o)]))
    assert len(parts.pop()) == 0
    return [x.reshape(i, o) for x, (i, o) in zip(parts[::2], pairs, strict=True)], parts[1::2]


def test_export_round_trip(run, exported):
    trained = load_trained(run)
    nets = [trained.nets.flow.net, *trained.nets.target.nets]
    for net, encoded in zip(nets, [exported["flow"], *exported["critics"]], strict=True):
        weights, biases = decode(encoded)
        for theirs, ours in zip([*net.weights, *net.biases], [*weights, *biases], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)
    assert exported["mean"] == [3, 3] and exported["std"] == [2, 2] and exported["horizon"] == 3
    assert exported["calibration"] == dict(sigma=0.5, grad_norm=2.0)
    assert exported["maze"]["walls"][0] == "11111111" and exported["maze"]["goal"] == [20, 20]


@pytest.mark.parametrize("guide", ESTIMATORS)
def test_rounded_weights_act_like_the_original(run, guide):
    trained = load_trained(run)
    obs, key = jnp.array([[1.0, 2.0], [9.0, 4.0]]), jax.random.key(0)
    original, rounded = (t.policy().guided(guide)(obs, key) for t in (trained, tutorial.rounded(trained)))
    assert 0 < jnp.mean(jnp.abs(original - rounded)) < 0.03


def test_checks_are_what_the_rounded_policy_answers(run, exported):
    policy = tutorial.rounded(load_trained(run)).policy()
    checks = exported["checks"]
    obs, noise = (jnp.array([check[name] for check in checks]) for name in ("obs", "noise"))
    assert obs.shape == (tutorial.CHECKS, 2) and all(set(check["ends"]) == set(ESTIMATORS) for check in checks)
    for guide in ESTIMATORS:
        guided = policy.guided(guide, checks[0]["strength"])
        ends = jax.jit(jax.vmap(lambda o, a0, guided=guided: guided.trace(o, a0).a[-1]))(obs, noise)
        np.testing.assert_allclose(ends, [check["ends"][guide] for check in checks], atol=1e-3)


def test_the_policy_of_a_run_replaces_the_one_in_the_page(run, exported, built, tmp_path):
    assert tutorial.page() == SHELL
    cli.main(["tutorial", "--policy", str(run), "--export", str(tmp_path / "out.html")])
    text = (tmp_path / "out.html").read_text()
    assert json.loads(tutorial.SLOT.search(text)[0].split(">", 1)[1].split("<")[0]) == exported
    assert text.startswith("<body>") and text.endswith("<script>app</script></body>")


def test_an_export_says_whose_network_it_is(run, exported, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    os.utime(copy / "policy/model.safetensors", (1_000_000_000, 1_000_000_000))
    again = json.loads(tutorial.policy_json(copy))
    assert again["date"] == "2001-09-09" and again["dataset"] == MAZE and again["updates"] == 7
    assert again == exported | {"date": "2001-09-09"}


def test_a_page_that_is_not_built_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "PAGE", tmp_path / "tutorial.html")
    with pytest.raises(SystemExit) as stop:
        cli.main(["tutorial"])
    message = capsys.readouterr().err
    assert stop.value.code == 2 and message.count("\n") == 1 and "make tutorial" in message and "Node" in message


def test_a_page_without_a_place_for_a_policy(run, built):
    tutorial.PAGE.write_text("<body></body>")
    with pytest.raises(UserError, match="build it again"):
        tutorial.page(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(dataset="cube-single-play-singletask-task1-v0", spec=Spec(28, 5, 3)), "draws pointmaze policies.*cube"),
        (dict(calibration=None), "never calibrated"),
    ],
)
def test_runs_that_cannot_be_drawn(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        tutorial.policy_json(save_run(tmp_path, **changes))


def test_networks_that_cannot_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(BC, "guide_critic", lambda self, nets: eqx.Partial(lambda q, obs, a: q(obs, a)[0], nets.target))
    with pytest.raises(UserError, match="networks of method bc"):
        tutorial.policy_json(save_run(tmp_path))


def test_no_run(tmp_path, capsys):
    with pytest.raises(UserError, match="not a policy"):
        tutorial.policy_json(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["tutorial", "--export-policy", str(tmp_path / "x.json")])
    assert "--policy RUN" in capsys.readouterr().err


def test_server_answers_here_alone_and_stops():
    with tutorial.server("<p>页</p>") as server:
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/?lang=zh", timeout=10) as answer:
            assert answer.read().decode() == "<p>页</p>" and "utf-8" in answer.headers["Content-Type"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/etc/passwd", timeout=10)
        with pytest.raises(UserError, match=f"port {port}"):
            tutorial.server("", port)
        server.shutdown()
        thread.join(10)
        assert not thread.is_alive()


def test_ctrl_c_ends_serving_quietly(built, monkeypatch, capsys):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(tutorial.ThreadingHTTPServer, "serve_forever", interrupt)
    cli.main(["tutorial", "--no-open"])
    assert "http://127.0.0.1:" in capsys.readouterr().out
