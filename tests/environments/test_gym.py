"""An environment of one's own, in a file: its id, its module and its factory are played, trained for and reported."""

import csv
import sys
from functools import partial
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from qgf.cli.evaluate import played_environment
from qgf.cli.main import main
from qgf.environments import family_of
from qgf.environments.datasets import load_dataset, references_of
from qgf.environments.vector import make_vector_env
from qgf.errors import UserError
from qgf.laboratory.compare import compare
from qgf.laboratory.study import read_study
from qgf.playing.scores import read_scores
from qgf.plugins import use

REACH = """
import gymnasium
import numpy as np


class Reach(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, says=True, breaks=False):
        self.says, self.breaks = says, breaks

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2)
        return self.at.astype(np.float32), {}

    def step(self, action):
        if self.breaks:
            raise ZeroDivisionError("broken gears")
        self.at = np.clip(self.at + 0.2 * np.asarray(action), -2, 2)
        success = bool(np.linalg.norm(self.at) < 0.2)
        said = dict(is_success=success) if self.says else {}
        return self.at.astype(np.float32), float(success) - 1, success, False, said


def far():
    return gymnasium.wrappers.TimeLimit(Reach(), 7)


for name, options in {"Reach": {}, "Mute": dict(says=False), "Broken": dict(breaks=True)}.items():
    gymnasium.register(f"{name}-v0", entry_point=Reach, max_episode_steps=20, kwargs=options)
"""
OPTIONS = dict(steps=400, batch_size=64, log_every=100, checkpoint_every=400, width=32, depth=1, horizon=2)
SMALL = [f"--{name.replace('_', '-')}={x}" for name, x in OPTIONS.items()]
pytestmark = pytest.mark.usefixtures("forget", "registry")


@pytest.fixture
def registry():
    known = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(known)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "reach_env.py").write_text(REACH)
    return tmp_path / "reach_env.py"


def played(name, lanes=2):
    """The rewards of both lanes over an episode's first chunks, and the last info."""
    envs = make_vector_env(name, 2, lanes)
    try:
        envs.reset(seed=[3] * lanes, options=dict(reset_mask=np.ones(lanes, bool)))
        results = [envs.step(np.zeros((lanes, 2, 2), np.float32)) for _ in range(12)]
        return np.array([result[1] for result in results]), results[-1][4]
    finally:
        envs.close()


def test_an_id_of_a_used_file_reaches_the_workers(file):
    use(file)
    assert family_of("Reach-v0").name == "gymnasium" and family_of("Reach-v0").check("Reach-v0") == "Reach-v0"
    rewards, info = played("Reach-v0")
    assert (rewards[:10] == -2).all() and (rewards[10:] == 0).all()  # 20 steps, then it stands still
    assert info["known"].all() and not info["success"].any()


def test_a_module_has_ids_and_factories(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    monkeypatch.delitem(sys.modules, "reach_env", raising=False)
    assert played("reach_env:Reach-v0")[0].sum() == 2 * -20
    assert played("reach_env:far")[0].sum() == 2 * -7


def test_a_module_that_a_study_or_a_run_names_is_not_imported(file, tmp_path, monkeypatch):
    """Its reader has to name it: it is code."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "reach_env", raising=False)
    study = tmp_path / "study.toml"
    study.write_text(STUDY.replace("Reach-v0", "reach_env:far").replace("use = ", "# use = "))
    run = SimpleNamespace(directory=tmp_path / "run", record=dict(dataset="reach.npz", env="reach_env:far"))
    for read in (partial(read_study, study), partial(played_environment, run, None)):
        with pytest.raises(UserError, match="names the environment reach_env:far, which would import the module reach"):
            read()
    assert references_of(run.record, "reach_env:far") is None and "reach_env" not in sys.modules
    (tmp_path / "mine.py").write_text("import reach_env")
    use(tmp_path / "mine.py")
    assert read_study(study).environments[0].name == played_environment(run, None) == "reach_env:far"


def test_a_failing_environment_is_one_line(file, capfd):
    use(file)
    with pytest.raises(UserError, match=r"^Broken-v0: the environment failed \(ZeroDivisionError: broken gears\)$"):
        played("Broken-v0")
    assert "reach_env" in capfd.readouterr().err  # where it failed


def data(path):
    """Noisy walks to the origin, rewarded as the environment does."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(60):
        at = rng.uniform(-1, 1, 2)
        for step in range(21):
            action = np.clip(-4 * at + rng.normal(0, 0.7, 2), -1, 1)
            done = bool(np.linalg.norm(at) < 0.2)
            rows.append((at, action, step == 20, float(done) - 1, 1.0 - done))
            at = at if done else at + 0.2 * action
    names = ("observations", "actions", "terminals", "rewards", "masks")
    np.savez(path, **{name: np.array(x) for name, x in zip(names, zip(*rows, strict=True), strict=True)})
    return path


def test_train_evaluate_tune_and_report(file, tmp_path, capsys):
    qgf = lambda *words: main(["--use", *map(str, (file, *words))])
    run = tmp_path / "run"
    qgf("train", data(tmp_path / "reach.npz"), "--out", run, *SMALL)
    play = ("--env", "Reach-v0", "--episodes", 6, "--guide")
    qgf("evaluate", run, *play, "none", "qgf")
    with open(run / "evaluation.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["env"], row["guide"], row["episodes"]) for row in rows] == [
        ("Reach-v0", "none", "6"), ("Reach-v0", "qgf", "6"),
    ]  # fmt: skip
    assert all(int(row["successes"]) >= 3 for row in rows)
    qgf("tune", run, *play, "qgf", "--strength", 1, 2, "--rungs", 2)
    qgf("report", run)
    assert (run / "report.html").exists() and (run / "tuning" / "tuned.json").exists()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        qgf("evaluate", run, "--env", "Reach-v0", "--episodes", 2, "--video")  # it takes no render_mode
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and "Reach-v0 cannot be made" in said and "Traceback" not in said


def test_where_nothing_says_what_success_is(file, tmp_path, capsys):
    """The return takes its place, in tables, in the choice of a strength and on the page; or a rule says it."""
    qgf = lambda *words: main(["--use", *map(str, (file, *words))])
    run = tmp_path / "run"
    qgf("train", data(tmp_path / "reach.npz"), "--out", run, *SMALL, "--steps", 200, "--env", "Mute-v0", "--eval-every",
        100, "--eval-episodes", 2, "--checkpoint-every", 200)  # fmt: skip
    assert list((run / "played.csv").read_text().split("\n")[0].split(",")) == ["step", "seed", "return"]
    capsys.readouterr()
    qgf("evaluate", run, "--episodes", 4, "--guide", "none", "qgf")  # the run knows what to play
    said = capsys.readouterr().out
    assert "arm    return  95 % interval  success" in " ".join(said.split("  ")) or " – " in said
    assert "0 %" not in said.replace("100 %", "") and "compared by their return" in said
    rows = read_scores(run / "evaluation.csv")
    assert all(row.measure == "return" and row.successes is None and len(row.scores) == 4 for row in rows)
    assert [row.returns for row in rows] == pytest.approx([row.scores.mean() for row in rows], abs=1e-3)
    qgf("tune", run, "--episodes", 4, "--strength", 1, 2, "--rungs", 2)
    assert "p (permutation)" in capsys.readouterr().out
    qgf("report", run)
    page = (run / "report.html").read_text()
    assert "<h2>Return</h2>" in page and "p against chosen (permutation)" in page and "mean return, 4 episodes" in page
    assert (run / "figures" / "return.png").exists() and (run / "figures" / "tuning.png").exists()
    qgf("evaluate", run, "--episodes", 4, "--guide", "none", "--success", "return>=-19.5")
    ruled = [row for row in read_scores(run / "evaluation.csv") if row.rule]
    assert [row.rule for row in ruled] == ["return>=-19.5"] and len(read_scores(run / "evaluation.csv")) == 3
    assert ruled[0].successes == sum(rows[0].scores >= -19.5) > 0
    with pytest.raises(SystemExit):
        qgf("evaluate", run, "--episodes", 2, "--success", "never_said")
    assert "in no step has info what the success rule 'never_said' asks for" in capsys.readouterr().err


STUDY = """
use = ["reach_env.py"]
episodes = 2
[[environment]]
name = "Reach-v0"
tasks = [1]
seeds = [0, 1]
[train.tiny]
width = 16
depth = 1
horizon = 2
steps = 100
log_every = 100
checkpoint_every = 100
[method.qgf]
strength = 1
"""


def test_a_study_of_it_with_data_of_its_name(file, tmp_path):
    """Trained in processes of their own, which know of it by the study's file; and the data by the folder."""
    data(tmp_path / "Reach-v0.npz")
    use(file)
    assert load_dataset("Reach-v0", tmp_path).transitions == 60 * 20
    with pytest.raises(UserError, match="make it with: qgf collect Mute-v0"):
        load_dataset("Mute-v0", tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    results = compare(read_study(tmp_path / "study.toml"), tmp_path / "out", tmp_path, jobs=2)
    assert [(row.env, row.method, row.policy_seed) for row in results.rows] == [
        ("Reach-v0", name, seed) for seed in (0, 1) for name in ("none", "qgf")
    ]
    assert {path.name for path in (tmp_path / "out" / "runs").iterdir()} == {
        f"Reach-v0-task1-tiny-seed{seed}" for seed in (0, 1)
    }
