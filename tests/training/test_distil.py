"""A learned guide: says what its teacher says, lies beside the policy it was learned from, and gives way to the teacher
where it learned too little."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qgf.cli.main import main
from qgf.errors import Caution, UserError
from qgf.method.policy import Policy
from qgf.networks.learned import LearnedGuide
from qgf.training.distil import Points, Study, distilled, held_out, points, states_of
from qgf.training.lesson import FILE, read_lesson, write_lesson
from qgf.training.run import Run
from qgf.training.saved import load_policy
from qgf.training.trained import load_trained, save_trained
from qgf.types import Spec, Taught

STUDY = Study(states=256, updates=1_000, batch_size=128, learning_rate=3e-3, width=32)
OBS = np.float32([[2.0, 1.0], [5.0, 9.0], [0.5, 12.0]])


@pytest.fixture(scope="module")
def lesson(maze, tiny_run):
    """A guide learned from the tiny run's member 0, and how it was found to be: (run's networks, lesson, Held)."""
    trained = tiny_run.trained()
    taught, others = states_of(maze, 5, STUDY)
    return trained, *distilled(trained, trained.policy().guided("qgf", members=0), taught, others, STUDY)


@pytest.fixture
def folder(lesson, tiny_run, tmp_path):
    """A run that has it."""
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    write_lesson(tmp_path / "run" / "policy", *lesson[1])
    return tmp_path / "run"


def test_it_says_what_its_teacher_says(lesson, maze):
    trained, (net, taught), held = lesson
    assert taught[:3] == ("qgf", 0, 32) and taught.error == held.error < 0.35
    assert held.cosine > 0.8 and 0.7 < held.norm < 1.2
    policy = trained.policy()
    elsewhere = np.asarray(maze.validation.observations[::50])
    found = points(policy.guided("qgf", 0.5, members=0), elsewhere, jax.random.key(9), lambda *at: None)
    assert held_out(trained.raw(net), found).error < 0.4
    fresh = LearnedGuide(2, 10, 32, jax.random.key(0))
    assert held_out(trained.raw(fresh), found).error > 0.9


def test_points_are_along_unguided_and_guided_paths(tiny_run):
    policy = tiny_run.policy(guide="ood", strength=3.0)
    found = points(policy, np.repeat(OBS, 100, axis=0), jax.random.key(0), lambda *at: None)
    assert found.a.shape == (300, 20, 10) and found.g.shape == found.a.shape
    assert np.allclose(found.t[0], np.tile(np.arange(10) / 10, 2))
    value = jax.vmap(jax.vmap(policy.critic, (None, 0)))(found.obs, found.a)
    assert value[:, 19].mean() > value[:, 9].mean()  # the guided one ends where the critic sees more
    step = (found.a[:, 1] - found.a[:, 0]) * 10
    v = jax.vmap(policy.velocity, (0, 0, None))(found.obs, found.a[:, 0], jnp.zeros(()))
    assert np.allclose(step, v, atol=1e-4)


def test_what_is_measured():
    obs, a, t = jnp.zeros((1, 2)), jnp.zeros((1, 2, 2)), jnp.zeros((1, 2))
    found = held_out(lambda o, a, t: jnp.array([1.0, 0.0]), Points(obs, a, t, jnp.array([[[2.0, 0.0], [0.0, 1.0]]])))
    assert found == (3 / 5, 0.5, 2 / 3)


def test_a_run_acts_by_it_and_so_does_what_is_saved(folder, lesson, tmp_path):
    policy = Run(folder).policy(guide="amortised", strength=0.7)
    teacher = Run(folder).policy(guide="qgf", strength=0.7, members=0)
    assert policy.members == 0 and policy.weight == teacher.weight
    ours, theirs, plain = (p(OBS, 0) for p in (policy, teacher, policy.guided("none")))
    assert 0 < np.abs(ours - theirs).mean() < 0.5 * np.abs(theirs - plain).mean()
    assert_array_equal(policy.guided("zero:amortised")(OBS, 0), plain)
    policy.save(tmp_path / "saved")
    assert_array_equal(Policy.load(tmp_path / "saved")(OBS, 0), ours)
    assert_array_equal(load_policy(folder).guided("amortised", 0.7)(OBS, 0), ours)


def test_where_it_learned_too_little_its_teacher_acts(lesson):
    trained, (net, taught), _ = lesson
    poor = replace(trained, lesson=(net, taught._replace(error=0.51))).policy()
    with pytest.warns(
        Caution, match="^the learned guide leaves 51% of qgf unexplained, more than 50%: qgf acts in its"
    ):
        acts = poor.guided("amortised", 0.7)
    assert (acts.guide, acts.members) == ("qgf", 0)
    with pytest.warns(Caution):
        assert poor.guided("negated:amortised").guide == "negated:qgf"
    assert_array_equal(acts(OBS, 0), trained.policy().guided("qgf", 0.7, members=0)(OBS, 0))
    with pytest.raises(UserError, match=r"^members=.mean.: the learned guide's teacher asked another way, 0$"):
        poor.guided("amortised", members="mean")


def test_one_of_other_networks_is_left_out(folder):
    trained = load_trained(folder)
    assert trained.lesson is not None
    save_trained(replace(trained, mean=trained.mean + 1), folder / "policy")
    with pytest.warns(
        Caution, match="amortised.safetensors: learned from other networks than are there now; qgf distil"
    ):
        assert load_trained(folder).lesson is None
    with (
        pytest.warns(Caution),
        pytest.raises(UserError, match=r"^this guide needs a critic with a learned guide .qgf d"),
    ):
        Run(folder).policy(guide="amortised")(OBS, 0)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_one_is_one_line(folder, lesson, damage):
    path = folder / "policy" / FILE
    whole = path.read_bytes()
    if damage == "foreign":
        write_lesson(folder / "policy", lesson[1][0], lesson[1][1]._replace(width=33))
    else:
        path.write_bytes(whole[:-9] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=f"^{path}: "):
        read_lesson(folder / "policy", Spec(2, 2, 5))


@pytest.mark.parametrize("guide", ["none", "amortised", "gradstep", "cfgrl"])
def test_not_everything_teaches(tiny_run, guide):
    policy = tiny_run.policy(guide=guide, weight=1.0)
    with pytest.raises(UserError, match=guide):
        distilled(tiny_run.trained(), policy, OBS, OBS, STUDY)


def test_the_command(folder, maze_folder, capsys):
    (folder / "policy" / FILE).unlink()
    main(["distil", str(folder), "--guide", "ood", "--states", "64", "--updates", "20", "--data-dir", str(maze_folder)])
    printed = capsys.readouterr().out
    assert "unexplained" in printed and "is unexplained" in printed  # after 20 updates the teacher acts
    taught = load_trained(folder).lesson[1]
    assert taught == Taught("ood", None, 64, taught.error) and taught.error > 0.5
