"""Runs: reproducible, resumed to the bit, refused when they do not fit, and portable."""

import dataclasses
import json
import os
import random
import shutil
import signal
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import processes
from conftest import TASK
from qgf.critics import IQL
from qgf.errors import UserError
from qgf.files import BOOKKEEPING, SUMS, forget, locked
from qgf.method.policy import act_jit
from qgf.training.checkpoint import Checkpoints
from qgf.training.config import from_json, to_json
from qgf.training.learner import Learner
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.run import Run
from qgf.training.saved import load_policy
from qgf.training.setup import initial_state
from qgf.training.trained import load_trained, save_trained
from qgf.types import Spec

OBS = np.random.default_rng(0).uniform(0, 20, (5, 2)).astype(np.float32)
KEY = jax.random.key(1)
replace = dataclasses.replace


def weights(run, seed=0):
    return (run.policy_dirs()[seed] / "model.safetensors").read_bytes()


def assert_trees_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert_array_equal(x, y)


def final_state(run, config):
    """Parameters, optimiser state, key and step of the last checkpoint."""
    learner = Learner(config.method, Spec(2, 2, config.horizon), config.learning_rate, config.batch_size)
    checkpoints = Checkpoints(run.directory / "checkpoints")
    step = checkpoints.latest()
    state = checkpoints.restore(step, initial_state(learner, config))
    checkpoints.close()
    assert step == config.steps == int(jnp.ravel(state.step)[0])
    return state._replace(key=jax.random.key_data(state.key))


def users_error(action):
    """The message of the UserError that `action` raises, which must be one line."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def copied(run, to):
    shutil.copytree(run.directory, to)
    return Run(to)


# Reproducible


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_policy(maze, tiny, tiny_run, tmp_path):
    again = train(maze, tiny, tmp_path / "again")
    assert weights(again) == weights(tiny_run)
    assert_trees_equal(final_state(again, tiny), final_state(tiny_run, tiny))
    other = train(maze, replace(tiny, seed=1), tmp_path / "other")
    assert weights(other) != weights(tiny_run)


def test_a_run_directory_holds_what_the_contract_says(tiny, tiny_run):
    assert {"config.json", "metrics.csv", "checkpoints", "policy"} <= set(os.listdir(tiny_run.directory))
    assert sorted(os.listdir(tiny_run.directory / "policy")) == [SUMS, "config.json", "model.safetensors"]
    assert tiny_run.config == tiny
    assert tiny_run.record["dataset"] == TASK
    metrics = tiny_run.metrics()
    assert_array_equal(metrics["step"], [100, 200, 300, 400])
    assert {"loss/flow", "loss/critic", "loss/value", "val/flow", "val/critic", "val/value", "q", "v"} <= set(metrics)
    assert metrics["loss/flow"][-1] < metrics["loss/flow"][0]


def test_logging_more_often_changes_nothing_but_the_log(maze, tiny, tiny_run, tmp_path):
    seen = []
    run = train(
        maze, replace(tiny, log_every=50), tmp_path / "run", progress=lambda step, logs: seen.append((step, logs))
    )
    assert weights(run) == weights(tiny_run)
    assert [step for step, _ in seen] == list(range(50, 401, 50))
    fine, coarse = run.metrics()["loss/flow"], tiny_run.metrics()["loss/flow"]
    assert_allclose(fine.reshape(-1, 2).mean(axis=1), coarse, rtol=1e-5)
    assert_allclose([logs["loss/flow"] for _, logs in seen], fine, rtol=1e-6)
    assert all(logs["updates_per_second"] > 0 for _, logs in seen)


def test_normalised_networks_are_asked_with_raw_observations(maze, tiny_run):
    trained, (mean, std) = load_trained(tiny_run.directory), maze.normaliser()
    assert_array_equal(trained.mean, mean)
    assert_array_equal(trained.std, std)
    a, t, obs = jnp.full(10, 0.1), jnp.array(0.4), jnp.array(OBS[0])
    acting = trained.policy()
    assert_allclose(acting.velocity(obs, a, t), trained.nets.flow((OBS[0] - mean) / std, a, t), rtol=1e-5, atol=1e-6)
    assert_allclose(acting.critic(obs, a), trained.nets.target((OBS[0] - mean) / std, a).min(), rtol=1e-5)


# Resume


TRAIN = """
import json, sys
from qgf.training.config import from_json
from qgf.environments.datasets import load_dataset
from qgf.training.loop import train
task, folder, config, directory = sys.argv[1:]
train(load_dataset(task, folder, download=False), from_json(json.loads(config)), directory)
"""


def test_a_killed_run_resumes_to_the_bit(maze, maze_folder, tiny, tmp_path):
    config = replace(tiny, steps=2000, checkpoint_every=200, log_every=100)
    straight = train(maze, config, tmp_path / "straight")
    metrics = tmp_path / "killed" / "metrics.csv"
    rows, pause = random.randint(1, 12), random.uniform(0, 0.05)
    program = processes.start(TRAIN, TASK, maze_folder, json.dumps(to_json(config)), metrics.parent)
    try:
        processes.wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > rows, program)
        processes.time.sleep(pause)
        processes.kill(program)
    finally:
        processes.clear(program)
    assert not (metrics.parent / "policy").exists(), f"killed after row {rows} and {pause} s: too late"
    resumed = train(maze, config, metrics.parent)
    assert metrics.read_text() == (straight.directory / "metrics.csv").read_text()
    assert_trees_equal(final_state(resumed, config), final_state(straight, config))
    assert weights(resumed) == weights(straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_after_the_compiled_call_with_a_checkpoint(maze, tiny, tiny_run, tmp_path, number):
    """And then does what it does; the run goes on to the bit. At the first row, which no checkpoint would be due at."""

    def told(step, logs):
        if step == 100:
            signal.raise_signal(number)

    def handler(*_):
        raise TimeoutError

    before = signal.signal(number, handler)
    try:
        with pytest.raises(TimeoutError):
            train(maze, tiny, tmp_path / "run", progress=told)
    finally:
        signal.signal(number, before)
    assert not (tmp_path / "run" / "policy").exists()
    assert Checkpoints(tmp_path / "run" / "checkpoints", write=False).steps() == [100]
    run = train(maze, tiny, tmp_path / "run")
    assert weights(run) == weights(tiny_run)
    assert (run.directory / "metrics.csv").read_bytes() == (tiny_run.directory / "metrics.csv").read_bytes()


COMMAND = """
import sys
from qgf.cli.main import main
main(sys.argv[1:])
"""


def test_a_terminated_command_says_so_once_leaves_no_process_and_is_continued(maze_folder, tmp_path):
    """SIGTERM for all that it started, as batch systems send it."""
    run, said = tmp_path / "run", tmp_path / "said"
    options = ["--steps", "100000", "--log-every", "50", "--checkpoint-every", "50000", "--width", "16", "--depth", "1"]
    with said.open("w") as file:
        program = processes.start(
            COMMAND, "train", TASK, "--data-dir", maze_folder, "--out", run, *options, stderr=file
        )
    try:
        processes.wait_until(lambda: (run / "metrics.csv").exists(), program)
        os.killpg(program.pid, signal.SIGTERM)
        assert program.wait(60) == 143
        assert processes.session_ends(program, 5)
    finally:
        processes.clear(program)
    assert said.read_text() == "\nqgf: terminated; the same command continues where it stopped\n"
    rows = Run(run).metrics()["step"]
    assert Checkpoints(run / "checkpoints", write=False).steps() == [rows[-1]] and rows[-1] < 50000
    assert not (run / "policy").exists()


@pytest.mark.parametrize("tail", ["", "450,0,0.1", "450,0,0.1\n500,0,0.2,", "4"])
def test_resuming_drops_rows_after_the_checkpoint_and_half_a_line(maze, tiny, tiny_run, tmp_path, tail):
    longer = replace(tiny, steps=600)
    straight = train(maze, longer, tmp_path / "straight")
    run = copied(tiny_run, tmp_path / "run")
    forget(run.directory / "metrics.csv")
    with open(run.directory / "metrics.csv", "a") as file:
        file.write(tail)
    train(maze, longer, run.directory)
    assert (run.directory / "metrics.csv").read_text() == (straight.directory / "metrics.csv").read_text()
    assert weights(run) == weights(straight)


@pytest.mark.parametrize("lost", ["newest", "all"])
def test_lost_checkpoints_cost_time_and_nothing_else(maze, tiny, tiny_run, tmp_path, lost):
    run = copied(tiny_run, tmp_path / "run")
    checkpoints = run.directory / "checkpoints"
    assert {"200", "400"} <= set(os.listdir(checkpoints))
    shutil.rmtree(checkpoints / "400" if lost == "newest" else checkpoints)
    seen = []
    train(maze, tiny, run.directory, progress=lambda step, logs: seen.append(step))
    assert seen == ([300, 400] if lost == "newest" else [100, 200, 300, 400])
    assert weights(run) == weights(tiny_run)
    assert (run.directory / "metrics.csv").read_text() == (tiny_run.directory / "metrics.csv").read_text()


def test_a_finished_run_is_left_as_it_is(maze, tiny, tiny_run, tmp_path):
    run = copied(tiny_run, tmp_path / "run")
    train(maze, tiny, run.directory, progress=lambda *_: pytest.fail("nothing was left to train"))
    assert weights(run) == weights(tiny_run)


def test_fewer_steps_than_a_run_has_change_neither_its_weights_nor_their_updates(maze, tiny, tiny_run, tmp_path):
    run = train(maze, replace(tiny, steps=tiny.steps // 2), copied(tiny_run, tmp_path / "run").directory)
    assert weights(run) == weights(tiny_run)
    assert load_trained(run.directory).updates == tiny.steps


def test_a_moved_run_goes_on_and_acts_the_same(maze, tiny, tiny_run, tmp_path):
    run = copied(tiny_run, tmp_path / "first")
    moved = Run(tmp_path / "elsewhere" / "second")
    shutil.move(run.directory, moved.directory)
    assert_array_equal(moved.policy()(OBS, KEY), tiny_run.policy()(OBS, KEY))
    longer = replace(tiny, steps=500)
    assert weights(train(maze, longer, moved.directory)) == weights(train(maze, longer, tmp_path / "straight"))


# Refused


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(seed=3), "seed=0 there, 3 now"),
        (dict(batch_size=16), "batch_size=32 there, 16 now"),
        (dict(discount=0.9), "discount=0.99 there, 0.9 now"),
        (dict(precision="bfloat16"), "precision=float32 there, bfloat16 now"),
        (dict(method=BC(width=16, depth=1)), "'width': 32"),
    ],
)
def test_other_settings_are_refused(maze, tiny, tiny_run, change, said):
    before = (tiny_run.directory / "config.json").read_bytes()
    message = users_error(lambda: train(maze, replace(tiny, **change), tiny_run.directory))
    assert said in message and "--overwrite" in message
    assert (tiny_run.directory / "config.json").read_bytes() == before


def test_another_dataset_is_refused(maze, tiny, tiny_run):
    message = users_error(lambda: train(replace(maze, name="mine.npz"), tiny, tiny_run.directory))
    assert f"dataset={TASK} there, mine.npz now" in message


def test_overwrite_starts_again(maze, tiny, tiny_run, tmp_path):
    run = copied(tiny_run, tmp_path / "run")
    short = replace(tiny, steps=100, seed=5)
    train(maze, short, run.directory, overwrite=True)
    assert_array_equal(run.metrics()["step"], [100])
    assert run.config == short


def test_a_folder_with_other_things_is_refused(maze, tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "is not empty and is no run directory" in users_error(lambda: train(maze, tiny, tmp_path))
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_overwrite_spares_a_folder_that_is_no_run(maze, tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    users_error(lambda: train(maze, tiny, tmp_path, overwrite=True))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_directory_that_cannot_be_made_is_a_users_error(maze, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in users_error(lambda: train(maze, tiny, tmp_path / "file" / "run"))


def test_the_default_directory_is_named_after_the_dataset(maze, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(replace(maze, name="folder/mine.npz", validation=None), replace(tiny, steps=100))
    assert (tmp_path / "runs" / "mine" / "policy" / "config.json").exists()


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(steps=0), "steps must be at least 1, got 0"),
        (dict(horizon=0), "horizon must be at least 1, got 0"),
        (dict(precision="float16"), "unknown precision 'float16': did you mean 'bfloat16'? (known: float32, bfloat16)"),
        (dict(discount=1.0), "discount must lie between 0 and 1, got 1.0"),
        (dict(checkpoint_every=250), "checkpoint_every (250) must be a multiple of log_every (100)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tiny, change, said):
    assert users_error(lambda: replace(tiny, **change)) == said


def test_the_configuration_survives_its_json(tiny):
    config = replace(tiny, seed=7, precision="bfloat16", method=BC(width=48, critic=IQL(expectile=0.7)))
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
    wrong = to_json(config) | dict(method=dict(name="bcc"))
    assert "unknown method 'bcc': did you mean 'bc'" in users_error(lambda: from_json(wrong))


def test_divergence_stops_the_run(maze, tiny, tmp_path):
    message = users_error(lambda: train(maze, replace(tiny, learning_rate=1e30), tmp_path / "run"))
    assert "diverged" in message and "--learning-rate" in message
    assert not (tmp_path / "run" / "policy").exists()


def truncate(folder):
    """Cut every file of a checkpoint short."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_checkpoint_is_one_clear_line(maze, tiny, tiny_run, tmp_path):
    run = copied(tiny_run, tmp_path / "run")
    truncate(run.directory / "checkpoints" / "400")
    before = (run.directory / "config.json").read_bytes()
    message = users_error(lambda: train(maze, replace(tiny, steps=600), run.directory))
    assert "400" in message and "truncated" in message
    assert f"to resume from {run.directory / 'checkpoints' / '200'}, the one before" in message
    assert (run.directory / "config.json").read_bytes() == before  # steps=600 is no setting of a run that did not go on
    shutil.rmtree(run.directory / "checkpoints" / "400")
    assert weights(train(maze, tiny, run.directory)) == weights(tiny_run)


@pytest.mark.parametrize("width, depth", [(16, 1), (32, 2)])
def test_a_foreign_checkpoint_is_one_clear_line(maze, tiny, tiny_run, tmp_path, width, depth):
    run = copied(tiny_run, tmp_path / "run")
    shutil.rmtree(run.directory / "checkpoints")
    foreign = Checkpoints(run.directory / "checkpoints")
    foreign.save(100, initial_state(Learner(BC(width=width, depth=depth), Spec(2, 2, 5), 1e-3, 8), tiny))
    foreign.close()
    message = users_error(lambda: train(maze, tiny, run.directory))
    assert "100" in message and "of another run" in message


def test_a_broken_record_is_a_users_error(maze, tiny, tiny_run, tmp_path):
    run = copied(tiny_run, tmp_path / "run")
    (run.directory / "config.json").write_text('{"train": ')
    assert "is not what was written" in users_error(lambda: train(maze, tiny, run.directory))
    forget(run.directory / "config.json")
    assert "broken JSON" in users_error(lambda: train(maze, tiny, run.directory))
    assert "not a run directory" in users_error(lambda: Run(tmp_path / "nowhere").config)


# One writer at a time

HOLD = """
import sys, time
from pathlib import Path
from qgf.files import locked
with locked(sys.argv[1]):
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in BOOKKEEPING}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_writer_is_refused_and_changes_nothing(maze, tiny, tiny_run, tmp_path, overwrite):
    run, fresh = copied(tiny_run, tmp_path / "run").directory, tmp_path / "fresh"
    before, longer = content(run), replace(tiny, steps=500)
    for folder in (run, fresh):
        with locked(folder):
            message = users_error(lambda folder=folder: train(maze, longer, folder, overwrite=overwrite))
        assert message.startswith(f"{folder} is being written by another process; try again when that has ended (")
        assert f"process {os.getpid()} on {socket.gethostname()} since " in message
    assert content(run) == before
    assert content(fresh) == {}


def test_a_run_is_held_while_it_is_trained_and_free_afterwards(maze, tiny, tmp_path):
    said, short = [], replace(tiny, steps=100)
    again = lambda *_: said.append(users_error(lambda: train(maze, short, tmp_path / "run")))
    first = weights(train(maze, short, tmp_path / "run", progress=again))
    assert len(said) == 1 and "is being written" in said[0]
    assert weights(train(maze, short, tmp_path / "run")) == first


def test_another_process_holds_a_run_until_it_is_killed(maze, tiny, tiny_run, tmp_path):
    run, flag = copied(tiny_run, tmp_path / "run"), tmp_path / "held"
    program = processes.start(HOLD, run.directory, flag)
    try:
        processes.wait_until(flag.exists, program)
        assert "is being written by another process" in users_error(lambda: train(maze, tiny, run.directory))
        processes.kill(program)
    finally:
        processes.clear(program)
    assert weights(train(maze, tiny, run.directory)) == weights(tiny_run)


def test_a_failed_run_lets_go_of_its_directory(maze, tiny, tmp_path):
    wild = replace(tiny, learning_rate=1e30)
    for _ in range(2):
        assert "diverged" in users_error(lambda: train(maze, wild, tmp_path / "run"))


def test_a_foreign_folder_gets_no_lock(maze, tiny, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        assert "no run directory" in users_error(lambda: train(maze, tiny, tmp_path / "folder", overwrite=overwrite))  # noqa: B023
    assert os.listdir(tmp_path / "folder") == ["thesis.tex"]


def test_an_interrupted_overwrite_leaves_a_run_and_no_hole_elsewhere(maze, tiny, tiny_run, tmp_path, monkeypatch):
    run, kept = copied(tiny_run, tmp_path / "run"), tmp_path / "elsewhere"
    shutil.move(run.directory / "checkpoints", kept)
    (run.directory / "checkpoints").symlink_to(kept)
    remove = shutil.rmtree

    def interrupted(path, *more):
        remove(path, *more)
        raise KeyboardInterrupt

    monkeypatch.setattr("qgf.training.folder.shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(maze, tiny, run.directory, overwrite=True)
    monkeypatch.undo()
    assert not (run.directory / "policy").exists()
    short = replace(tiny, steps=100, seed=2)
    assert train(maze, short, run.directory, overwrite=True).config == short
    assert {"200", "400"} <= set(os.listdir(kept))


# bfloat16, several seeds, somebody's flow


def test_a_bfloat16_run_resumes_to_the_bit_and_exports_a_float32_policy(maze, tiny, tmp_path):
    data = replace(maze, validation=None)
    config = replace(tiny, steps=200, checkpoint_every=100, precision="bfloat16", method=BC(width=32, depth=2))
    straight = train(data, config, tmp_path / "straight")
    train(data, replace(config, steps=100), tmp_path / "run")
    run = train(data, config, tmp_path / "run")
    assert run.config == config
    assert weights(run) == weights(straight)
    assert (run.directory / "metrics.csv").read_text() == (straight.directory / "metrics.csv").read_text()
    state, trained = final_state(run, config), load_trained(run.directory)
    assert_trees_equal(state, final_state(straight, config))
    assert_trees_equal(trained.nets, state.nets)
    assert {x.dtype.name for x in jax.tree.leaves((trained.nets, state.optimiser))} == {"float32", "int32"}
    assert np.abs(run.policy()(OBS, KEY)).max() <= 1

    exact = train(data, replace(config, precision="float32"), tmp_path / "exact")
    assert weights(run) != weights(exact)
    rounded, plain = run.metrics(), exact.metrics()
    for name in ("loss/flow", "loss/critic", "loss/value"):
        assert_allclose(rounded[name], plain[name], rtol=0.01)
        assert not np.array_equal(rounded[name], plain[name])


def test_several_seeds_are_trained_side_by_side(maze, tiny, tmp_path):
    config = replace(tiny, steps=200, seeds=2)
    run = train(maze, config, tmp_path / "run")
    assert [folder.name for folder in run.policy_dirs()] == ["seed0", "seed1"]
    metrics = run.metrics()
    assert_array_equal(metrics["step"], [100, 100, 200, 200])
    assert_array_equal(metrics["seed"], [0, 1, 0, 1])
    assert len(set(metrics["loss/flow"])) == 4
    assert weights(run, 0) != weights(run, 1)
    actions = [run.policy(seed=k)(OBS, KEY) for k in range(2)]
    assert np.abs(actions[0] - actions[1]).max() > 1e-3
    assert "no policy of seed 2, it has 2" in users_error(lambda: run.policy(seed=2))
    before = weights(run, 1)
    train(maze, config, run.directory)  # restored, and exported once more
    assert weights(run, 1) == before
    assert_array_equal(run.metrics()["step"], [100, 100, 200, 200])


def test_a_reused_flow_is_not_trained(maze, tiny, tiny_run, tmp_path):
    other = replace(maze, observations=maze.observations * 2)  # its own normaliser would differ
    run = train(other, replace(tiny, steps=200, seed=4), tmp_path / "run", flow=tiny_run.directory)
    donor, trained = load_trained(tiny_run.directory), load_trained(run.directory)
    assert_trees_equal(trained.nets.flow, donor.nets.flow)
    assert_array_equal(trained.mean, donor.mean)
    assert_array_equal(trained.std, donor.std)
    assert "loss/flow" not in run.metrics() and "loss/critic" in run.metrics()
    assert not np.array_equal(trained.nets.critic.nets[0].weights[0], donor.nets.critic.nets[0].weights[0])
    assert run.record["flow"] == str(tiny_run.directory)
    plain = [r.policy(guide="none", weight=0)(OBS, KEY) for r in (run, tiny_run)]
    assert_array_equal(*plain)


def test_a_lender_that_was_trained_further_lends_what_it_has_now(maze, tiny, tmp_path):
    lender, run = tmp_path / "lender", tmp_path / "run"
    for steps in (200, 400):
        config = replace(tiny, steps=steps, checkpoint_every=200)
        train(maze, config, lender)
        train(maze, config, run, flow=lender)
        mine, lent = (load_trained(directory).nets.flow for directory in (run, lender))
        assert_trees_equal(mine, lent)


def test_a_flow_that_does_not_fit_is_refused(maze, tiny, tiny_run, tmp_path):
    attempt = lambda **change: users_error(
        lambda: train(maze, replace(tiny, **change), tmp_path / "run", flow=tiny_run.directory)
    )
    assert "have width 32 and depth 1; pass --width 32 --depth 1" in attempt(method=BC(width=16, depth=1))
    assert "horizon=5" in attempt(horizon=3)
    assert "not a policy" in users_error(lambda: train(maze, tiny, tmp_path / "run", flow=tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


# Policies


def test_a_saved_policy_acts_as_before_to_the_bit(tiny_run, tmp_path):
    trained = load_trained(tiny_run.directory / "policy")
    save_trained(trained, tmp_path / "copy")
    assert sorted(os.listdir(tmp_path / "copy")) == [SUMS, "config.json", "model.safetensors"]
    again = load_trained(tmp_path / "copy")
    assert_trees_equal(again, trained)
    for one, other in zip(*(act_jit(t.policy().guided(), OBS, KEY) for t in (trained, again)), strict=True):
        assert_trees_equal(one, other)


def test_the_exported_policy_is_the_last_checkpoint(tiny, tiny_run):
    trained = load_trained(tiny_run.directory)
    assert_trees_equal(trained.nets, final_state(tiny_run, tiny).nets)
    assert (trained.updates, trained.dataset, trained.spec, trained.method) == (400, TASK, Spec(2, 2, 5), tiny.method)


def test_run_policy_guides_at_the_strength_asked_for(tiny_run):
    policy = tiny_run.policy(guide="ood", strength=0.5, best_of=2, steps=4)
    scale = policy.calibration
    assert (policy.guide, policy.samples, policy.steps) == ("ood", 2, 4)
    assert_allclose(policy.weight, 0.5 * scale.sigma * np.sqrt(10) / scale.grad_norm, rtol=1e-5)
    assert policy(OBS, KEY).shape == (5, 5, 2)
    assert np.abs(policy(OBS, KEY)).max() <= 1
    assert load_policy(tiny_run.directory).guide == "qgf"
    assert_array_equal(load_policy(tiny_run.directory)(OBS, KEY), tiny_run.policy()(OBS, KEY))


def test_the_stored_scales_are_those_of_the_policy(maze, tiny_run):
    policy = tiny_run.policy(guide="none", weight=0)
    obs = maze.observations[np.random.default_rng(1).choice(len(maze.observations), 300)]
    actions = np.stack([policy(obs, jax.random.key(k)) for k in range(30)]).reshape(30, 300, 10)
    assert policy.calibration.sigma == pytest.approx(actions.std(axis=0).mean(), rel=0.1)
    slopes = jax.vmap(jax.grad(policy.critic, argnums=1))(obs, actions[0])
    assert policy.calibration.grad_norm == pytest.approx(np.linalg.norm(slopes, axis=1).mean(), rel=0.15)


def broken_policy(tiny_run, tmp_path, kind):
    folder = tmp_path / "policy"
    shutil.copytree(tiny_run.directory / "policy", folder, ignore=shutil.ignore_patterns(SUMS))
    model, config = folder / "model.safetensors", json.loads((folder / "config.json").read_text())
    if kind == "truncated":
        model.write_bytes(model.read_bytes()[:-100])
    elif kind == "empty":
        model.write_bytes(b"")
    elif kind == "garbage":
        model.write_bytes(b"not a model at all" * 50)
    elif kind == "missing":
        model.unlink()
    elif kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "half a config":
        (folder / "config.json").write_text((folder / "config.json").read_text()[:50])
    else:
        changes = {
            "other width": dict(method=config["method"] | dict(width=16)),
            "other depth": dict(method=config["method"] | dict(depth=2)),
            "other format": dict(format=99),
            "other method": dict(method=dict(name="bcc")),
            "no spec": dict(spec=dict(obs_dim=2)),
            "strange option": dict(method=config["method"] | dict(colour="red")),
        }
        (folder / "config.json").write_text(json.dumps(config | changes[kind]))
    return folder


@pytest.mark.parametrize(
    "kind, said",
    {
        "truncated": "truncated or not a safetensors file",
        "empty": "truncated or not a safetensors file",
        "garbage": "truncated or not a safetensors file",
        "missing": "no such file",
        "no config": "not a policy",
        "half a config": "broken JSON",
        "other width": "belongs to another policy",
        "other depth": "belongs to another policy",
        "other format": "policy format 99",
        "other method": "unknown method 'bcc'",
        "no spec": "config.json: at spec: key 'action_dim' is missing",
        "strange option": "config.json: at method: unknown key 'colour'",
    }.items(),
)
def test_a_broken_policy_is_one_clear_line(tiny_run, tmp_path, kind, said):
    folder = broken_policy(tiny_run, tmp_path, kind)
    message = users_error(lambda: load_policy(folder))
    assert said in message
    if kind != "other method":
        assert str(folder) in message


def test_weights_with_more_than_the_policy_needs_are_refused(tiny_run, tmp_path):
    folder = tmp_path / "policy"
    shutil.copytree(tiny_run.directory / "policy", folder, ignore=shutil.ignore_patterns(SUMS))
    config = json.loads((folder / "config.json").read_text())
    config["method"]["critic"]["critics"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    assert "belongs to another policy" in users_error(lambda: load_policy(folder))
