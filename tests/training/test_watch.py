"""Evaluation while training changes nothing that is trained, keeps the best, stops early; policies of checkpoints."""

import csv
import dataclasses
import shutil

import jax
import pytest
from numpy.testing import assert_array_equal

import qgf
from conftest import TASK
from qgf.cli.main import main
from qgf.errors import UserError
from qgf.files import forget
from qgf.training.checkpoint import Checkpoints
from qgf.training.export import export, export_best
from qgf.training.loop import Stop, train
from qgf.training.run import Run
from qgf.training.trained import load_trained

replace = dataclasses.replace


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def rows(directory):
    with open(directory / "played.csv", newline="") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def scores(*values):
    """An evaluate that gives these numbers, one after the other."""
    left = iter(values)
    return lambda policy: next(left)


def users_error(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def watched(maze, tiny, tmp_path_factory):
    """A run of 400 updates, evaluated every 100: worse, best, as good, worse; its policies, and what progress heard."""
    policies, told = [], []

    def evaluate(policy):
        policies.append(policy)
        success, total = [(0.2, -1), (0.6, -5), (0.6, -5), (0.6, -9)][len(policies) - 1]
        return {"success": success, "return": total}

    directory = tmp_path_factory.mktemp("watched") / "run"
    progress = lambda step, logs: told.append(logs.get("played/success"))
    run = train(maze, tiny, directory, keep=4, evaluate=evaluate, eval_every=100, progress=progress)
    return run, policies, told


def test_evaluation_changes_nothing_that_is_trained(watched, tiny_run):
    run, _, _ = watched
    assert weights(run.directory / "policy") == weights(tiny_run.directory / "policy")
    for name in ("metrics.csv", "config.json"):
        assert (run.directory / name).read_bytes() == (tiny_run.directory / name).read_bytes()


def test_every_evaluation_is_a_row_and_the_first_of_the_best_is_kept(watched, maze, tiny, tmp_path):
    run, policies, told = watched
    assert rows(run.directory) == [
        {"step": 100, "seed": 0, "success": 0.2, "return": -1},
        {"step": 200, "seed": 0, "success": 0.6, "return": -5},
        {"step": 300, "seed": 0, "success": 0.6, "return": -5},
        {"step": 400, "seed": 0, "success": 0.6, "return": -9},
    ]
    assert told == [0.2, 0.6, 0.6, 0.6]
    best = load_trained(run.directory / "best")
    assert best.updates == 200
    shorter = train(maze, replace(tiny, steps=200), tmp_path / "run")
    assert weights(run.directory / "best") == weights(shorter.directory / "policy")
    assert policies[-1].calibration == run.policy().calibration
    assert (policies[1].guide, float(policies[1].weight)) == ("qgf", float(shorter.policy().weight))


def test_policies_that_were_evaluated_can_be_kept(watched, maze):
    """Their arrays are their own: the next updates do not take them away."""
    _, policies, _ = watched
    obs = maze.observations[:3]
    first, last = (policy(obs, jax.random.key(0)) for policy in (policies[0], policies[-1]))
    assert first.shape == last.shape
    assert abs(first - last).max() > 0


def test_patience_ends_training_and_the_same_call_again_does_not_go_on(watched, maze, tiny, tmp_path):
    run = train(maze, tiny, tmp_path / "run", evaluate=scores(0.5, 0.3, 0.5), eval_every=100, patience=2)
    assert [row["step"] for row in rows(run.directory)] == [100, 200, 300]
    assert load_trained(run.directory).updates == 300
    assert load_trained(run.directory / "best").updates == 100
    again = dict(eval_every=100, evaluate=lambda policy: pytest.fail("nothing was left to evaluate"))
    train(maze, tiny, run.directory, patience=2, **again)
    assert load_trained(run.directory).updates == 300
    train(maze, tiny, run.directory, patience=3, eval_every=100, evaluate=scores(0.4))
    assert load_trained(run.directory).updates == 400
    assert [row["score"] for row in rows(run.directory)] == [0.5, 0.3, 0.5, 0.4]
    assert weights(run.directory / "policy") == weights(watched[0].directory / "policy")


@pytest.mark.parametrize("who", ["progress", "evaluate"])
def test_stop_ends_training_with_a_policy_and_a_checkpoint_to_go_on_from(maze, tiny, tiny_run, tmp_path, who):
    def stop(*_):
        raise Stop

    ways = dict(progress=dict(progress=stop), evaluate=dict(evaluate=stop, eval_every=100))
    run = train(maze, tiny, tmp_path / "run", **ways[who])
    assert load_trained(run.directory).updates == 100
    assert_array_equal(run.metrics()["step"], [100])
    train(maze, tiny, run.directory)
    assert weights(run.directory / "policy") == weights(tiny_run.directory / "policy")
    assert (run.directory / "metrics.csv").read_bytes() == (tiny_run.directory / "metrics.csv").read_bytes()


def test_a_killed_run_evaluates_what_came_after_its_checkpoint_again(watched, maze, tiny, tmp_path):
    """Killed in its fourth evaluation, after a checkpoint of 200 updates."""
    with pytest.raises(StopIteration):
        train(maze, tiny, tmp_path / "run", evaluate=scores(0.2, 0.6, 0.7), eval_every=100)
    assert [row["step"] for row in rows(tmp_path / "run")] == [100, 200, 300]
    train(maze, tiny, tmp_path / "run", evaluate=scores(0.6, 0.5), eval_every=100)
    assert [row["score"] for row in rows(tmp_path / "run")] == [0.2, 0.6, 0.6, 0.5]
    assert weights(tmp_path / "run" / "policy") == weights(watched[0].directory / "policy")


def test_each_seed_has_its_own_best(maze, tiny, tmp_path):
    config = replace(tiny, steps=200, seeds=2)
    given = scores(0.1, 0.9, 0.3, 0.8)
    run = train(maze, config, tmp_path / "run", evaluate=given, eval_every=100, patience=1)
    assert [(row["step"], row["seed"]) for row in rows(run.directory)] == [(100, 0), (100, 1), (200, 0), (200, 1)]
    assert [load_trained(run.directory / "best" / f"seed{k}").updates for k in (0, 1)] == [200, 100]
    export_best(run)
    assert [load_trained(folder).updates for folder in run.policy_dirs()] == [200, 100]


def test_a_score_that_is_no_number_is_never_the_best(maze, tiny, tmp_path):
    run = train(maze, replace(tiny, steps=200), tmp_path / "run", evaluate=scores(float("nan"), -3), eval_every=100)
    assert load_trained(run.directory / "best").updates == 200


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(eval_every=150, evaluate=scores(1)), "eval_every (150) must be a multiple of log_every (100)"),
        (dict(eval_every=0, evaluate=scores(1)), "eval_every (0) must be a multiple"),
        (dict(eval_every=100, evaluate=scores(1), patience=0), "patience must be at least 1, got 0"),
        (dict(patience=1), "belong together"),
        (dict(eval_every=100), "belong together"),
        (dict(keep=0), "keep must be at least 1, got 0"),
        (dict(log=["tensorbord"]), "did you mean 'tensorboard'"),
    ],
)
def test_what_makes_no_sense_is_refused(maze, tiny, tmp_path, options, said):
    assert said in users_error(lambda: train(maze, tiny, tmp_path / "run", **options))
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_other_scores_than_those_of_before_are_refused(watched, maze, tiny, tmp_path):
    shutil.copytree(watched[0].directory, tmp_path / "run")
    more = dict(evaluate=scores(1), eval_every=100)
    message = users_error(lambda: train(maze, replace(tiny, steps=500), tmp_path / "run", **more))
    assert "has success, return, evaluate now gives score" in message
    forget(tmp_path / "run" / "played.csv")
    (tmp_path / "run" / "played.csv").write_text("step,seed,score\n100,0,many\n")
    assert "expected a number, got" in users_error(
        lambda: train(maze, replace(tiny, steps=500), tmp_path / "run", **more)
    )


# Policies of checkpoints


def test_keep_is_how_many_checkpoints_are_kept(maze, tiny, tmp_path):
    run = train(maze, replace(tiny, checkpoint_every=100), tmp_path / "run", keep=3)
    assert Checkpoints(run.directory / "checkpoints").steps() == [200, 300, 400]


def test_a_policy_of_any_checkpoint_is_that_of_a_run_that_ended_there(maze, tiny, tiny_run, watched, tmp_path):
    """Of an interrupted run, too, which has no policy."""
    run = Run(tmp_path / "run")
    shutil.copytree(tiny_run.directory, run.directory)
    shutil.rmtree(run.directory / "policy")
    assert f"qgf export {run.directory}" in users_error(run.policy)
    export(run, maze, 200)
    assert weights(run.directory / "policy") == weights(watched[0].directory / "best")
    assert load_trained(run.directory).updates == 200
    export(run, maze)
    assert weights(run.directory / "policy") == weights(tiny_run.directory / "policy")
    assert "no checkpoint of 300 updates, it has 200, 400" in users_error(lambda: export(run, maze, 300))
    assert "nothing was played while it trained" in users_error(lambda: export_best(run))
    shutil.rmtree(run.directory / "checkpoints")
    assert "no checkpoint yet" in users_error(lambda: export(run, maze))


def test_the_command_plays_while_it_trains_and_exports(maze_folder, tmp_path, capsys):
    run, data = tmp_path / "run", ("--data-dir", str(maze_folder))
    sizes = dict(steps=200, width=32, depth=1, batch_size=32, log_every=100, checkpoint_every=100)  # tiny's programs
    options = [part for name, x in sizes.items() for part in (f"--{name.replace('_', '-')}", str(x))]
    main(["train", TASK, *data, "--out", str(run), *options, "--eval-every", "100", "--eval-episodes", "2"])
    assert "% solved after 200" in capsys.readouterr().out
    assert [row["step"] for row in rows(run)] == [100, 200]
    assert set(rows(run)[0]) == {"step", "seed", "success", "return"}
    last = weights(run / "policy")
    main(["export", str(run), "--step", "100", *data])
    said = capsys.readouterr().out
    assert f"wrote {run / 'policy'}, the policy after 100 updates\nnext: qgf evaluate {run}\n" in said
    assert load_trained(run).updates == 100
    main(["export", str(run), "--best"])
    assert weights(run / "policy") == weights(run / "best")
    main(["export", str(run), *data])
    assert weights(run / "policy") == last


# From Python


def test_a_dataset_is_trained_on_by_name_or_file_with_loggers(maze_folder, tiny, tiny_run, tmp_path):
    run = qgf.train(TASK, tiny, tmp_path / "run", data_dir=maze_folder, log=("tensorboard",))
    assert weights(run.directory / "policy") == weights(tiny_run.directory / "policy")
    assert list((run.directory / "tensorboard").glob("events*"))
    file = maze_folder / "pointmaze-medium-navigate-v0.npz"
    message = users_error(lambda: qgf.train(file, tiny, tmp_path / "file", eval_every=100))
    assert "say which to play with --env" in message or "rewards" in message
