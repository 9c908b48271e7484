"""Exported graphs: the file alone does what the policy does from the same noise."""

import json

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from qgf.cli.main import main
from qgf.deployment import graph as graphs
from qgf.errors import UserError
from qgf.files import SUMS, check_folder
from qgf.training.run import Run


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    import shutil

    return Run(shutil.copytree(tiny_run.directory, tmp_path_factory.mktemp("graph") / "run"))


def given(made, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=x.shape).astype(np.float32) for x in made.shapes]


def by_hand(policy, obs, noise):
    """The policy's own call from given noise, and its choice among the samples."""
    one = policy.guided("qgf", 1.0, best_of=1)
    a = np.stack([one(obs, 0, a0=noise[:, k]) for k in range(noise.shape[1])], axis=1)
    q = np.array([[policy.critic(o, policy.inward(x).ravel()) for x in xs] for o, xs in zip(obs, a, strict=True)])
    return a[np.arange(len(a)), q.argmax(axis=1)]


def test_the_graph_is_the_sampler(run):
    for best_of in (1, 3):
        policy = run.policy(guide="qgf", strength=1.0, best_of=best_of)
        made = graphs.graph(policy, batch=2)
        obs, noise = given(made)
        assert noise.shape == (2, best_of, policy.horizon * policy.action_dim)
        assert_allclose(jax.jit(made.act)(obs, noise), by_hand(policy, obs, noise), atol=1e-5)


def test_a_stablehlo_file_does_what_the_policy_does(run):
    way = ["--members", "mean", "--guide-steps", "5", "--cap-step", "0.5"]
    main(["export", str(run.directory), "--format", "stablehlo", "--batch", "2", *way])
    folder = run.directory / "export"
    check_folder(folder)
    assert (folder / SUMS).exists()
    told = json.loads((folder / "policy.json").read_text())
    loaded = jax.export.deserialize(bytearray((folder / "policy.stablehlo").read_bytes()))
    policy = run.policy(guide="qgf", members="mean", guide_steps=5, cap_step=0.5)
    obs, noise = given(graphs.graph(policy, 2), 1)
    assert told["inputs"] == dict(obs=list(obs.shape), noise=list(noise.shape))
    actions = np.asarray(loaded.call(obs, noise))
    assert told["outputs"] == dict(actions=list(actions.shape))
    assert_allclose(actions, [policy(obs[k], 0, a0=noise[k, 0]) for k in range(2)], atol=1e-5)


def test_a_file_that_does_something_else_is_not_written():
    made = graphs.Graph(lambda obs, noise: 2 * noise, (jax.ShapeDtypeStruct((1, 2), np.float32),) * 2)
    graphs._compare(made, lambda obs, noise: 2 * noise, "ONNX")
    for wrong in (lambda obs, noise: 2 * noise + 1e-3, lambda obs, noise: np.nan * noise):
        with pytest.raises(UserError, match=r"ONNX file's actions differ by (\d\.\de-0\d|nan)"):
            graphs._compare(made, wrong, "ONNX")


def test_what_cannot_be_a_graph(run, capsys):
    with pytest.raises(UserError, match="batch"):
        graphs.graph(run.policy(), 0)
    with pytest.raises(UserError, match="a graph has no fallback"):
        graphs.graph(run.policy(fallback="unguided"))
    with pytest.raises(SystemExit):
        main(["export", str(run.directory), "--format", "onnx", "--best"])
    assert "export that first" in capsys.readouterr().err
