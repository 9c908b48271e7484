"""What a run answers about its critic, in raw observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import qgf
from qgf.errors import UserError
from qgf.networks.blocks import Nets
from qgf.training.methods.bc import BC
from qgf.training.run import Run
from qgf.training.trained import Trained, save_trained
from qgf.types import Spec

MEAN, STD = np.array([1.0, -2.0], np.float32), np.array([2.0, 0.5], np.float32)
OBS = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
A = np.random.default_rng(1).uniform(-1, 1, size=(5, 3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Untrained networks: what is asked is where the numbers come from."""
    directory, method = tmp_path_factory.mktemp("run"), BC(width=16, depth=2)
    for seed in (0, 1):
        nets = method.init(Spec(2, 2, 3), jax.random.key(seed))
        trained = Trained(nets, jnp.array(MEAN), jnp.array(STD), method, Spec(2, 2, 3))
        save_trained(trained, directory / "policy" / f"seed{seed}")
    return Run(directory)


@pytest.mark.parametrize("seed", [0, 1])
def test_q_is_the_critic_that_guidance_asks_of_one_or_many(run, seed):
    trained = run.trained(seed)
    flat = A.reshape(5, 6)
    expected = np.asarray(trained.nets.target((OBS - MEAN) / STD, flat)).min(axis=-1)
    assert_allclose(run.q(OBS, A, seed), expected, rtol=1e-5)
    assert_allclose(run.q(OBS, flat, seed), expected, rtol=1e-5)
    assert run.q(OBS[2], A[2], seed).shape == ()
    assert_allclose(run.q(OBS[2], A[2], seed), expected[2], rtol=1e-5)
    assert_allclose(run.q(OBS[2].tolist(), flat[2].tolist(), seed), expected[2], rtol=1e-5)


def test_v_is_the_value_net(run):
    nets: Nets = run.trained().nets
    expected = nets.value((OBS - MEAN) / STD)
    assert_allclose(run.v(OBS), expected, rtol=1e-5)
    assert run.v(OBS[1]).shape == ()
    assert_allclose(run.v(OBS[1]), expected[1], rtol=1e-5)


def test_questions_that_do_not_fit_are_refused(run, tmp_path):
    for call, said in (
        (lambda: run.q(OBS[:, :1], A), r"obs has shape \[5, 1\], expected \[2\] or \[B, 2\]"),
        (lambda: run.v(np.zeros(3)), r"obs has shape \[3\], expected \[2\] or \[B, 2\]"),
        (lambda: run.q(OBS, A[0]), r"a has shape \[3, 2\], expected \[5, 3, 2\] or \[5, 6\]"),
        (lambda: run.q(OBS[0], A), r"a has shape \[5, 3, 2\], expected \[3, 2\] or \[6\]"),
        (lambda: run.q(OBS, A, seed=2), "no policy of seed 2, it has 2"),
        (lambda: Run(tmp_path).v(OBS), "not a policy"),
    ):
        with pytest.raises(UserError, match=said):
            call()


def test_without_a_policy_it_says_where_one_may_come_from(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has no policy yet: train it to its end$"):
        Run(tmp_path).policy_dirs()
    (tmp_path / "checkpoints" / "200").mkdir(parents=True)
    with pytest.raises(UserError, match="or make one of its newest checkpoint with qgf export"):
        Run(tmp_path).policy_dirs()


def test_a_critic_without_a_value_says_so(tmp_path):
    from qgf.training.options import make_method

    method = make_method("bc", "td", width=16, depth=1)
    nets = method.init(Spec(2, 2, 3), jax.random.key(0))
    save_trained(Trained(nets, jnp.array(MEAN), jnp.array(STD), method, Spec(2, 2, 3)), tmp_path / "policy")
    with pytest.raises(UserError, match=r"learns no V\(s\), only Q\(s, a\)"):
        Run(tmp_path).v(OBS)
    assert np.isfinite(Run(tmp_path).q(OBS, A)).all()


def test_files_that_change_are_read_again(run, tmp_path):
    for seed in (0, 1):
        save_trained(run.trained(seed), tmp_path / "policy")
        assert_array_equal(Run(tmp_path).v(OBS), run.v(OBS, seed))


def test_a_run_may_be_named_by_a_string(tiny_run):
    named = qgf.Run(str(tiny_run.directory))
    assert named == tiny_run
    assert named.config == tiny_run.config
    assert_array_equal(named.policy()(OBS, 0), tiny_run.policy()(OBS, 0))
