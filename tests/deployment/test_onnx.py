"""ONNX files in onnxruntime. Its packages are many, so that this has a command of its own: `make test-onnx`."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_graph import by_hand, given

from qgf.deployment import graph as graphs
from qgf.errors import UserError

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("jax2onnx")


@pytest.mark.parametrize("best_of", [1, 2])
def test_an_onnx_file_does_what_the_policy_does(tiny_run, best_of):
    policy = tiny_run.policy(guide="qgf", strength=1.0, best_of=best_of)
    made = graphs.graph(policy, batch=2)
    session = onnxruntime.InferenceSession(graphs.onnx(made))
    obs, noise = given(made, 1)
    names = [x.name for x in session.get_inputs()]
    (actions,) = session.run(None, dict(zip(names, (obs, noise), strict=True)))
    assert_allclose(actions, by_hand(policy, obs, noise), atol=1e-5)
    assert np.abs(actions - by_hand(policy, obs, noise + 0.1)).max() > 1e-3


@pytest.mark.parametrize(("guide", "operator"), [("bptt", "empty2"), ("placebo", "BitCast")])
def test_what_it_has_no_operator_for_is_named(tiny_run, guide, operator):
    with pytest.raises(UserError, match=f"has no operator '{operator}'; export StableHLO, or another guide"):
        graphs.onnx(graphs.graph(tiny_run.policy(guide=guide, strength=1.0)))
