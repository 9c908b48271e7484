"""Studies end to end on the small maze dataset: complete, honest, and the same bytes however often interrupted."""

import csv
import itertools
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_array_equal

import brief
import qgf.environments.vector
import qgf.laboratory.workshop
import qgf.playing.ledger
from processes import clear, kill, session_ends, start, wait_until
from qgf.errors import UserError
from qgf.files import forget, locked, read_sums, settled
from qgf.laboratory.compare import compare, to_report, write_results
from qgf.laboratory.study import read_study
from qgf.pages.study import write_study
from qgf.playing.rows import KEY, OWN, VALUES
from qgf.playing.scores import Score
from qgf.training.run import Run
from qgf.training.trained import load_trained
from studies import ENVS, ROWS

TRAIN = """
width = 16
depth = 1
steps = 40
batch_size = 16
log_every = 10
checkpoint_every = 20
horizon = 50
"""
TEXT = f"""
episodes = 3
[tuning]
rungs = [2, 1]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
seeds = [0, 1]
[train.tiny]
{TRAIN}
[method.qgf]
strength = [0.5, 1, 2, 4, 8]
[method."none best-of-2"]
guide = "none"
best_of = 2
[method.offline]
strength = [0.5, 2]
tune = "offline"
"""
METHODS, TASKS, SEEDS, STRENGTHS = ("none", "qgf", "none best-of-2", "offline"), (1, 2), (0, 1), (0.5, 1, 2, 4, 8)
SPLITS = ("tuning", "held-out")


class Study(NamedTuple):
    out: Path
    data: Path
    folder: Path
    bytes: dict[str, bytes]


def write(folder, text=TEXT):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(text)
    return folder / "tiny.toml"


def run(out, data, text=TEXT, jobs=1, **options):
    return write_study(compare(read_study(write(out / "file", text)), out, data, jobs=jobs, **options))


def content(folder):
    """The files that must not depend on interruptions."""
    return {name: (folder / name).read_bytes() for name in ("episodes.csv", "results.csv", "per_task.csv")}


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(maze_folder, tmp_path_factory):
    """A study run without interruption. Tests copy it (`again`) before they change anything."""
    out = tmp_path_factory.mktemp("whole")
    folder = run(out, maze_folder)
    return Study(out, maze_folder, folder, content(folder))


@pytest.fixture
def again(finished, tmp_path):
    shutil.copytree(finished.out, tmp_path / "out")
    return finished._replace(out=tmp_path / "out", folder=tmp_path / "out" / "tiny")


@pytest.fixture
def idle(monkeypatch):
    """Whatever trains, plays or opens an environment fails the test."""
    for module, name in (
        (qgf.laboratory.workshop, "train"),
        (qgf.playing.ledger, "evaluate"),
        (qgf.environments.vector, "make_vector_env"),
    ):
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


def test_results_are_tidy_and_complete(finished):
    rows = table(finished.folder / "results.csv")
    ledger_columns = [name for name in (*KEY, "stream", *VALUES) if name != "env"]
    assert list(rows[0]) == ["env", "task", "method", *ledger_columns, "gflop"]
    assert {row["env"] for row in rows} == {"pointmaze-medium-navigate"}
    held = [row for row in rows if row["split"] == "held-out"]
    keys = [(row["method"], int(row["task"]), int(row["policy_seed"])) for row in held]
    assert sorted(keys) == sorted(itertools.product(METHODS, TASKS, SEEDS))
    assert {(row["seed"], row["first"], row["episodes"], row["updates"]) for row in held} == {("0", "0", "3", "40")}
    tuning = [row for row in rows if row["split"] == "tuning" and row["method"] == "qgf"]
    first = [(int(row["task"]), float(row["strength"])) for row in tuning if row["first"] == "0"]
    assert sorted(first) == sorted(itertools.product(TASKS, STRENGTHS))
    assert {(row["seed"], row["policy_seed"]) for row in tuning} == {("1", "0")}
    assert {(row["first"], row["episodes"]) for row in tuning} == {("0", "2"), ("2", "1")}
    assert {len(row["outcomes"]) == int(row["episodes"]) for row in rows} == {True}
    assert {row["stream"] for row in rows} == {str(OWN)}  # every task and training seed has episodes of its own
    names = ["per_task", "aggregate", "chosen"]
    figures = [
        "tasks-pointmaze-medium-navigate",
        "aggregate",
        "cost-gflop",
        "cost-decision_ms",
        "strength",
    ]
    files = [f"{name}.{kind}" for name in names for kind in ("csv", "md")] + [f"figures/{name}.png" for name in figures]
    assert all((finished.folder / file).stat().st_size > 0 for file in files)
    assert not (finished.folder / "figures" / "improvement.png").exists()  # two training seeds say too little of runs
    assert not list(finished.folder.rglob("aggregate-*"))  # with one environment the same again
    assert {row["method"] for row in table(finished.folder / "aggregate.csv")} == set(METHODS)
    assert all(float(row["decision_ms"]) > 0 for row in table(finished.folder / "aggregate.csv"))


def test_the_arm_is_chosen_on_tuning_episodes_of_the_first_seed_over_all_tasks(finished):
    rows = [row for row in table(finished.folder / "results.csv") if row["method"] == "qgf"]
    wins = {s: [0, 0] for s in STRENGTHS}
    for row in rows:
        if row["split"] == "tuning":
            wins[float(row["strength"])][row["first"] != "0"] += int(row["successes"])
    near = lambda s: abs(np.log(s))
    early = sorted(STRENGTHS, key=lambda s: (-wins[s][0], near(s)))[:2]
    assert {float(row["strength"]) for row in rows if row["first"] == "2"} == set(early)
    best = min(early, key=lambda s: (-sum(wins[s]), near(s)))
    assert {float(row["strength"]) for row in rows if row["split"] == "held-out"} == {best}


@pytest.mark.parametrize("said, best", [("", 8.0), ("tasks = 1", 2.0), ("policy_seed = 5", 8.0)])
def test_success_over_the_tuning_tasks_decides_and_held_out_episodes_do_not(again, monkeypatch, said, best):
    """Strength 2 is the best on task 1 and fails on task 2, 8 is good on both; held out, all is the other way round."""
    odds = {1: {2.0: 0.9, 8.0: 0.7}, 2: {2.0: 0.0, 8.0: 0.8}}

    def evaluate(
        policy, env, episodes, seed, envs, progress, first, execute=None, rule="", training_seed=None, warm=None
    ):
        scale = policy.calibration
        strength = round(float(policy.weight) * scale.grad_norm / (scale.sigma * (50 * 2) ** 0.5), 4)
        chance = odds[int(env[-4])].get(strength, 0.1)
        success = np.random.default_rng([seed, first]).uniform(size=episodes) < (chance if seed == 1 else 1 - chance)
        zeros = np.zeros(episodes)
        return Score(
            env, seed, success, zeros, zeros, zeros, zeros, zeros, 1.0, 1.0, 1.0, gflop=0.1, first=first, stream=OWN
        )

    monkeypatch.setattr(qgf.playing.ledger, "evaluate", evaluate)
    shutil.rmtree(again.folder)
    run(again.out, again.data, TEXT.replace("rungs = [2, 1]", f"rungs = [60, 60]\n{said}"))
    rows = [row for row in table(again.folder / "results.csv") if row["method"] == "qgf"]
    assert {float(row["strength"]) for row in rows if row["split"] == "held-out"} == {best}
    tuned = [row for row in rows if row["split"] == "tuning"]
    assert {row["task"] for row in tuned} == ({"1"} if "tasks" in said else {"1", "2"})
    assert {row["policy_seed"] for row in tuned} == ({"5"} if "policy" in said else {"0"})
    assert {row["policy_seed"] for row in rows if row["split"] == "held-out"} == {"0", "1"}


def test_operations_are_those_counted_by_hand(finished):
    spec = load_trained(finished.out / "runs" / "pointmaze-medium-navigate-task1-tiny-seed0").spec
    flow = 10 * 2 * 16 * (spec.obs_dim + spec.d + 9 + spec.d)  # ten steps of one hidden layer
    critic = 2 * 2 * 16 * (spec.obs_dim + spec.d + 1)
    expected = {"none": flow, "none best-of-2": 2 * (flow + critic)}
    rows = table(finished.folder / "results.csv")
    for name, count in expected.items():
        assert {float(row["gflop"]) for row in rows if row["method"] == name} == {float(f"{count / 1e9:.6g}")}
    costs = {row["arm"]: float(row["gflop"]) for row in table(finished.folder / "costs.csv")}
    assert costs["none"] < costs["qgf 1"] and costs["qgf 1"] == costs["qgf 4"]


def test_one_flow_serves_all_tasks_of_a_seed(finished):
    nets = {
        (task, seed): load_trained(finished.out / "runs" / f"pointmaze-medium-navigate-task{task}-tiny-seed{seed}").nets
        for task in TASKS
        for seed in SEEDS
    }
    leaves = lambda part: [np.asarray(x) for x in jax.tree.leaves(part)]
    same = lambda a, b: all(map(np.array_equal, leaves(a), leaves(b)))
    for seed in SEEDS:
        assert same(nets[1, seed].flow, nets[2, seed].flow)
        assert not same(nets[1, seed].critic, nets[2, seed].critic)
    assert not same(nets[1, 0].flow, nets[1, 1].flow)


def test_running_again_trains_and_plays_nothing_and_changes_no_byte(again, idle):
    before = {path: path.read_bytes() for path in again.out.rglob("*.*") if path.suffix in (".csv", ".md", ".json")}
    weights = {path: path.stat().st_mtime_ns for path in (again.out / "runs").rglob("*.safetensors")}
    run(again.out, again.data)
    assert len(before) > 15 and len(weights) == 4
    assert before == {path: path.read_bytes() for path in before}
    assert weights == {path: path.stat().st_mtime_ns for path in weights}


def test_a_choice_whose_study_was_killed_before_its_sum_gets_one(again, idle):
    known, choices = read_sums(again.folder), again.folder / "offline.json"
    forget(choices)
    run(again.out, again.data)
    assert read_sums(again.folder) == known and settled(choices)


def test_a_run_that_was_killed_before_the_last_of_its_sums_is_not_finished(again):
    """So that training is called again, which lists it and sweeps what the kill left."""
    directory = next((again.out / "runs").iterdir())
    assert qgf.laboratory.workshop.finished(directory, Run(directory).config)
    forget(directory / "policy" / "config.json")
    assert not qgf.laboratory.workshop.finished(directory, Run(directory).config)


def test_a_ledger_without_runs_and_data_is_enough_for_the_tables(again, idle, tmp_path):
    shutil.rmtree(again.out / "runs")
    for name in ("results.csv", "per_task.csv"):
        (again.folder / name).unlink()
    run(again.out, tmp_path / "no data")
    assert content(again.folder) == again.bytes
    assert not (again.out / "runs").exists()


def test_a_ledger_without_costs_makes_tables_without_costs(again, idle):
    (again.folder / "costs.csv").unlink()
    shutil.rmtree(again.folder / "figures")
    run(again.out, again.data)
    assert {row["gflop"] for row in table(again.folder / "results.csv")} == {""}
    figures = {path.stem for path in (again.folder / "figures").iterdir()}
    assert {"aggregate", "strength"} < figures and not any(name.startswith("cost") for name in figures)


def test_several_environments_have_a_table_and_a_figure_each_and_one_together(tmp_path):
    text = "".join(f'[[environment]]\nname = "{name}"\ntasks = [1, 2, 3, 4, 5]\nseeds = [0, 1, 2]\n' for name in ENVS)
    study = read_study(
        write(tmp_path, text + "[train.tiny]\n[method.qgf]\nstrength = 1\n[method.placebo]\nstrength = 1")
    )
    rows = [replace(row, train="tiny") for row in ROWS if row.method in study.methods]
    write_study(write_results(qgf.laboratory.workshop.Workshop(study, tmp_path, tmp_path, print), rows, []))
    for name in ("aggregate", *(f"aggregate-{env}" for env in ENVS)):
        assert {row["method"] for row in table(tmp_path / "tiny" / f"{name}.csv")} == set(study.methods)
        assert (tmp_path / "tiny" / "figures" / f"{name}.png").stat().st_size > 0


def test_what_is_needed_whatever_is_chosen_is_trained_before_anything_is_chosen(tmp_path):
    both = '[method.both]\nstrength = 1\ntrain = ["tiny", "wide"]'
    study = read_study(write(tmp_path, f"{TEXT}[train.wide]\n{TRAIN}{both}"))
    env, shop = study.environments[0], qgf.laboratory.workshop.Workshop(study, tmp_path, tmp_path, print)
    found = lambda chosen: {(job.task, job.seed, job.train) for job in to_report(shop, env, chosen)}
    assert found({}) == set(itertools.product(TASKS, SEEDS, ["tiny"]))
    chosen = study.methods["both"].candidates(env)[1]
    assert found({"both": chosen}) == set(itertools.product(TASKS, SEEDS, ["tiny", "wide"]))


# Interruptions


class Stop(Exception):
    pass


def test_a_study_that_is_stopped_again_and_again_ends_with_the_same_bytes(finished, tmp_path):
    """The progress function, called in training and in playing, raises after every so many calls."""
    for attempt in itertools.count():
        calls = itertools.count()

        def stop(*_, calls=calls):
            if next(calls) == 40:
                raise Stop

        try:
            folder = run(tmp_path, finished.data, progress=stop)
            break
        except Stop:
            assert attempt < 50
    assert attempt >= 3
    assert content(folder) == finished.bytes


STUDY = """
import sys
from qgf.laboratory.compare import compare
from qgf.laboratory.study import read_study
from qgf.pages.study import write_study
from qgf.plugins import use
use(sys.argv[4])
write_study(compare(read_study(sys.argv[1]), sys.argv[2], sys.argv[3], jobs=2))
"""


def test_a_study_that_is_killed_ends_with_the_same_bytes(finished, tmp_path):
    """Killed in its first trainings and in its held-out episodes, two of each at a time."""
    file, folder, runs = write(tmp_path / "file"), tmp_path / "tiny", tmp_path / "runs"
    rows = lambda: (folder / "episodes.csv").read_text() if (folder / "episodes.csv").exists() else ""
    moments = (
        lambda: any(runs.glob("*/metrics.csv")),
        lambda: rows().count("held-out") >= 4,
    )
    for moment in moments:
        program = start(STUDY, file, tmp_path, finished.data, brief.__file__)
        try:
            wait_until(moment, program)
            kill(program)
            assert session_ends(program, 20)
        finally:
            clear(program)
        assert not (folder / "results.csv").exists()
    assert content(run(tmp_path, finished.data)) == finished.bytes


def test_a_second_study_at_once_is_refused(again):
    where = again.out / "runs" / "pointmaze-medium-navigate-task1-tiny-seed0"
    program = start(
        "import sys, time\nfrom qgf.files import locked\n"
        "with locked(sys.argv[1]), locked(sys.argv[2]):\n    open(sys.argv[3], 'w')\n    time.sleep(600)",
        again.folder, where, again.out / "held",
    )  # fmt: skip
    try:
        wait_until((again.out / "held").exists, program)
        with pytest.raises(UserError, match=r"tiny is being written by another process") as caught:
            run(again.out, again.data)
        assert "\n" not in str(caught.value)
        other = TEXT.replace("steps = 40", "steps = 60")  # another study that has to train the same run further
        (again.out / "file" / "other.toml").write_text(other)
        with pytest.raises(UserError, match="task1-tiny-seed0 is being written by another process"):
            compare(read_study(again.out / "file" / "other.toml"), again.out, again.data, jobs=1)
    finally:
        clear(program)
    run(again.out, again.data)  # the lock went with the process


def test_a_lock_in_the_same_process_counts_too(again):
    with locked(again.folder), pytest.raises(UserError, match="being written by another process"):
        run(again.out, again.data)


# Runs and rows that are not this study's

ONE = TEXT.replace("tasks = [1, 2]", "tasks = [1]").replace("seeds = [0, 1]", "seeds = [0]")


@pytest.mark.parametrize(
    "old, new", [("width = 16", "width = 24"), ("steps = 40", "steps = 20"), ("= 16\nlog", "= 8\nlog")]
)
def test_a_run_of_other_settings_is_not_taken_for_the_studys(again, old, new, idle):
    shutil.rmtree(again.folder)
    with pytest.raises(UserError, match=r"task1-tiny-seed0 holds a run of other settings or more updates"):
        run(again.out, again.data, ONE.replace(old, new))


def test_a_run_is_trained_further_and_its_old_rows_stay_out(again):
    text = ONE.replace("steps = 40", "steps = 60").replace("log_every = 10", "log_every = 20")
    run(again.out, again.data, text)
    rows = table(again.folder / "results.csv")
    assert {row["updates"] for row in rows} == {"60"}
    assert load_trained(again.out / "runs" / "pointmaze-medium-navigate-task1-tiny-seed0").updates == 60
    assert {row["updates"] for row in table(again.folder / "episodes.csv")} == {"40", "60"}


@pytest.mark.parametrize("old, new", [("rungs = [2, 1]", "rungs = [1, 1]"), ("rungs", "seed = 9\nrungs")])
def test_rows_of_other_tuning_episodes_stay_out(again, old, new):
    run(again.out, again.data, TEXT.replace(old, new))
    rows = [row for row in table(again.folder / "results.csv") if row["split"] == "tuning"]
    blocks = {(row["seed"], row["first"], row["episodes"]) for row in rows}
    expected = {("1", "0", "1"), ("1", "1", "1")} if "[1, 1]" in new else {("9", "0", "2"), ("9", "2", "1")}
    assert blocks == expected
    assert len(rows) == len({tuple(row.values()) for row in rows})


# Other studies on the same runs


def test_methods_with_other_grids_have_tables_and_figures_too(again, monkeypatch):
    """Several guides in one method, raw weights only, a training named that is the default, steps of denoising."""
    monkeypatch.setattr(qgf.laboratory.workshop, "train", lambda *_, **__: pytest.fail("trained"))
    head = ONE.partition("[method.qgf]")[0]
    text = f"""{head}
[method.either]
guide = ["ood", "qgf"]
strength = 1
best_of = [1, 2]
[method.raw]
weight = [0.05, 0.5]
[method.named]
strength = [1, 2.0]
train = "tiny"
[method.short]
strength = 1
steps = 2
[method.long]
strength = [1.0, 2]
"""
    run(again.out, again.data, text)
    rows = table(again.folder / "results.csv")
    assert len(rows) == len({tuple(row.values()) for row in rows})
    methods = {"none", "either", "raw", "named", "short", "long"}
    assert {row["method"] for row in rows if row["split"] == "held-out"} == methods
    tried = [(row["guide"], row["best_of"]) for row in rows if row["method"] == "either" and row["split"] == "tuning"]
    assert set(tried) == set(itertools.product(("ood", "qgf"), "12"))
    arm = lambda name: [tuple(r.values())[3:] for r in rows if r["method"] == name]
    assert arm("named") == arm("long")  # the same arms, played once
    gflop = {row["method"]: float(row["gflop"]) for row in rows}
    assert gflop["short"] == pytest.approx(gflop["long"] / 5, rel=0.01)
    text = text.replace("[method.either]", "[method.other]").replace("strength = [1, 2.0]", "strength = 2.0")
    raw = text[: text.index("[method.other]")] + "[method.raw]\nweight = [0.05, 0.5]\n"
    shutil.rmtree(again.folder / "figures")
    run(again.out, again.data, raw)
    assert not (again.folder / "figures" / "strength.png").exists()  # a raw weight has no place on its axis


def test_methods_bring_their_own_training(maze_folder, tmp_path):
    """Chunks of another length, and a run whose flow and critic are those of others."""
    long = TRAIN.replace("horizon = 50", "horizon = 100")
    text = f"""
episodes = 1
[tuning]
rungs = [1]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [2]
train = "short"
[train.long]
{long}
[train.short]
{TRAIN}
expectile = 0.6
[train.joined]
{TRAIN}
method = "robust-q"
flow = "short"
critic_from = "sharp"
[train.sharp]
{TRAIN}
expectile = 0.95
[method.qgf]
strength = 1
[method.long]
train = "long"
strength = 1
[method.joined]
train = "joined"
strength = [1, 2]
"""
    folder = run(tmp_path, maze_folder, text)
    rows = {row["method"]: row for row in table(folder / "results.csv") if row["split"] == "held-out"}
    assert {name: row["train"] for name, row in rows.items()} == dict(
        none="short", qgf="short", long="long", joined="joined"
    )
    nets = lambda name: load_trained(tmp_path / "runs" / f"pointmaze-medium-navigate-task2-{name}-seed0").nets
    joined, short, sharp = map(nets, ("joined", "short", "sharp"))
    for mine, lent in ((joined.flow, short.flow), (joined.critic, sharp.critic)):
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(lent), strict=True):
            assert_array_equal(a, b)


def test_the_training_is_chosen_too_and_a_loser_is_trained_once(maze_folder, tmp_path, monkeypatch):
    """On tuning episodes of the first training seed; held out, all is the other way round."""

    def evaluate(
        policy, env, episodes, seed, envs, progress, first, execute=None, rule="", training_seed=None, warm=None
    ):
        wide = all(x.shape[0] != 8 for x in jax.tree.leaves(policy.velocity))
        success = np.full(episodes, wide == (seed == 1))
        zeros = np.zeros(episodes)
        return Score(
            env, seed, success, zeros, zeros, zeros, zeros, zeros, 1.0, 1.0, 1.0, gflop=0.1, first=first, stream=OWN
        )

    monkeypatch.setattr(qgf.playing.ledger, "evaluate", evaluate)
    head = ONE.partition("[train.tiny]")[0].replace("seeds = [0]", 'seeds = [0, 1]\ntrain = "wide"')
    text = f"""{head}
[train.narrow]{TRAIN.replace("width = 16", "width = 8")}
[train.wide]{TRAIN}
[method.best]
guide = "none"
train = ["narrow", "wide"]
"""
    folder = run(tmp_path, maze_folder, text)
    rows = [row for row in table(folder / "results.csv") if row["method"] == "best"]
    played = {split: {(r["train"], r["policy_seed"]) for r in rows if r["split"] == split} for split in SPLITS}
    assert played == {"held-out": {("wide", "0"), ("wide", "1")}, "tuning": {("narrow", "0"), ("wide", "0")}}
    trained = {path.name.split("-task1-")[1] for path in (tmp_path / "runs").iterdir()}
    assert trained == {"narrow-seed0", "wide-seed0", "wide-seed1"}
