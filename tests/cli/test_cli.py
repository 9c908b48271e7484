"""The command line: one clear line for a mistake and nothing lost, and the whole way from data to report."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version

import msgspec
import numpy as np
import pytest

import qgf
import qgf.cli.main
import qgf.environments.vector
import qgf.playing.ledger
from conftest import TASK
from processes import clear, start, wait_until
from qgf.cli.main import main
from qgf.critics import CRITICS
from qgf.errors import UserError
from qgf.files import SUMS, forget
from qgf.method.guides import GUIDES, WRAPPERS
from qgf.method.schedules import SCHEDULES
from qgf.playing.scores import read_scores
from qgf.training.loggers import LOGGERS
from qgf.training.methods import METHODS

SMALL = ("--steps", "40", "--log-every", "20", "--checkpoint-every", "20", "--batch-size", "16", "--width", "16")


def fails(capsys, *arguments):
    """Run a command that must fail; its message, which must be a single line."""
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, arguments)))
    assert caught.value.code not in (0, None)
    message = capsys.readouterr().err.strip()
    assert message.startswith("qgf: ")
    assert len(message.splitlines()) == 1
    return message


def arrays(**changes):
    rng = np.random.default_rng(0)
    n = 60
    x = dict(
        observations=rng.normal(size=(n, 3)).astype(np.float32),
        actions=rng.uniform(-1, 1, (n, 2)).astype(np.float32),
        terminals=np.arange(n) % 20 == 19,
        rewards=np.zeros(n, np.float32),
    )
    return {key: value for key, value in (x | changes).items() if value is not None}


def spoil(x, row, value):
    x = x.copy()
    x[row] = value
    return x


GOOD = arrays()
BAD_ARRAYS = {
    "missing key": (dict(actions=None), ["missing key 'actions'"]),
    "missing rewards": (dict(rewards=None), ["missing key 'rewards'", "[60]"]),
    "wrong rank": (dict(actions=np.zeros(60, np.float32)), ["'actions'", "[60]", "[60, *]"]),
    "wrong length": (dict(rewards=np.zeros(59, np.float32)), ["'rewards'", "[59]"]),
    "NaN observation": (dict(observations=spoil(GOOD["observations"], 7, np.nan)), ["'observations'", "row 7"]),
    "Inf action": (dict(actions=spoil(GOOD["actions"], 9, np.inf)), ["'actions'", "row 9"]),
    "NaN reward": (dict(rewards=spoil(GOOD["rewards"], 11, np.nan)), ["'rewards'", "row 11"]),
    "crossed range": (dict(action_low=np.ones(2), action_high=-np.ones(2)), ["'action_low'", "above"]),
    "short episodes": (dict(terminals=np.arange(60) % 4 == 3), ["all 15 episodes", "chunk of 5", "--horizon"]),
    "no rows": ({key: x[:0] for key, x in GOOD.items()}, ["'observations' is empty"]),
}


@pytest.mark.parametrize(("changes", "said"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_train_refuses_a_bad_dataset_and_writes_nothing(changes, said, tmp_path, capsys):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    message = fails(capsys, "train", tmp_path / "bad.npz", "--out", tmp_path / "run", *SMALL)
    assert all(part in message for part in [*said, "bad.npz"])
    assert not (tmp_path / "run").exists()


def test_train_refuses_files_that_are_no_npz(tmp_path, capsys):
    path = tmp_path / "data.npz"
    path.write_bytes(b"")
    assert "is empty" in fails(capsys, "train", path)
    np.savez_compressed(path, **GOOD)
    path.write_bytes(path.read_bytes()[:-500])
    assert "truncated" in fails(capsys, "train", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("observations.npy", b"not an array")
    assert "data.npz" in fails(capsys, "train", path)
    np.savez(path, **arrays(actions=np.array([{}] * 60, object)))
    assert "pickled" in fails(capsys, "train", path)
    path.unlink()
    assert "no such file" in fails(capsys, "train", path)


def test_unknown_names_get_the_nearest_known_one(tiny_run, tmp_path, capsys):
    message = fails(capsys, "train", "pointmaze-medum-navigate-singletask-task1-v0", "--data-dir", tmp_path)
    assert "did you mean 'pointmaze-medium-navigate-singletask-task1-v0'" in message
    assert "did you mean 'qgf'" in fails(capsys, "evaluate", tiny_run.directory, "--guide", "qfg")
    assert "did you mean 'bc'" in fails(capsys, "train", TASK, "--method", "bcc")
    assert "did you mean 'navigate'" in fails(capsys, "collect", "pointmaze-medium-navigat", "--data-dir", tmp_path)
    assert "did you mean 'tensorboard'" in fails(
        capsys, "train", _good_file(tmp_path), "--log", "tensorbord", "--out", tmp_path / "run"
    )


def _good_file(folder):
    np.savez(folder / "good.npz", **GOOD)
    return folder / "good.npz"


def test_an_unknown_option_names_the_nearest():
    run = subprocess.run(
        [sys.executable, "-m", "qgf", "train", "x", "--batch-sise", "3"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "--batch-size" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_contradictions_are_refused(tiny_run, tmp_path, capsys):
    both = ("--strength", 1, "--weight", 0.1)
    assert "not both" in fails(capsys, "evaluate", tiny_run.directory, *both)
    assert "episodes must be at least 1" in fails(capsys, "evaluate", tiny_run.directory, "--episodes", 0)
    assert "multiple of log_every" in fails(capsys, "train", _good_file(tmp_path), "--log-every", 300)
    assert "discount" in fails(capsys, "train", _good_file(tmp_path), "--discount", 1.5)


def test_what_is_no_run_is_refused(tmp_path, capsys):
    for command in ("evaluate", "report", "tune"):
        assert "not a run directory" in fails(capsys, command, tmp_path)
    (tmp_path / "config.json").write_text('{"dataset": "x"')
    assert "broken JSON" in fails(capsys, "report", tmp_path)


def test_a_damaged_policy_or_checkpoint_is_refused(tiny_run, tiny, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.directory, run)
    weights = run / "policy" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "is not what was written" in fails(capsys, "evaluate", run, "--episodes", 1)
    weights.write_bytes(whole[: len(whole) // 2])
    forget(weights)
    assert "truncated" in fails(capsys, "evaluate", run, "--episodes", 1)
    np.savez(tmp_path / "good.npz", **GOOD)
    trained = ("train", tmp_path / "good.npz", "--out", tmp_path / "mine", *SMALL)
    main(list(map(str, trained)))
    capsys.readouterr()
    for file in (tmp_path / "mine" / "checkpoints" / "40").rglob("*"):
        if file.is_file() and file.name != SUMS:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    message = fails(capsys, *trained, "--steps", "60")
    assert "checkpoints/40" in message
    assert "checkpoints/40 to resume from" in message and "checkpoints/20, the one before" in message


def test_a_run_with_other_settings_is_left_alone(tmp_path, capsys):
    train = ("train", _good_file(tmp_path), "--out", tmp_path / "run", *SMALL)
    main(list(map(str, train)))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    message = fails(capsys, *train, "--horizon", 3)
    assert "horizon=5 there, 3 now" in message
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_places_that_cannot_be_written_to(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    message = fails(capsys, "train", _good_file(tmp_path), "--out", tmp_path / "file" / "run", *SMALL)
    assert "cannot be written" in message
    message = fails(capsys, "collect", "pointmaze-medium-navigate", "--data-dir", tmp_path / "file" / "data")
    assert "cannot be" in message
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path, tiny_run, capsys, monkeypatch):
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    page.write_text("old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    message = fails(capsys, "report", tmp_path / "run")
    monkeypatch.undo()
    assert "No space left on device" in message
    assert "report.html" in message
    assert page.read_text() == "old"


def test_a_missing_dataset_names_the_command_that_makes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("qgf.environments.ogbench.family.OGBench.download", lambda *_: False)
    message = fails(capsys, "train", TASK, "--data-dir", tmp_path)
    assert "qgf collect pointmaze-medium-navigate" in message


def test_from_data_to_report_and_the_same_again(tmp_path, capsys):
    """Collect, train, evaluate, report, reload, evaluate again: the same numbers."""
    data, run = tmp_path / "data", tmp_path / "run"
    main(["collect", "pointmaze-medium-navigate", "--transitions", "8000", "--data-dir", str(data)])
    assert "next: qgf train" in capsys.readouterr().out
    sizes = ("--steps", "400", "--width", "32", "--depth", "1", "--log-every", "200", "--checkpoint-every", "200")
    main(["train", TASK, "--data-dir", str(data), "--out", str(run), *sizes, "--log", "tensorboard"])
    assert f"qgf evaluate {run}" in capsys.readouterr().out.replace("\n", "")
    assert list((run / "tensorboard").glob("events*"))
    arms = ["--guide", "none", "qgf", "--strength", "0.5", "2", "--episodes", "3"]
    main(["evaluate", str(run), *arms])
    first = read_scores(run / "evaluation.csv")
    assert [row.guide for row in first] == ["none", "qgf", "qgf"]
    main(["report", str(run)])
    page = (run / "report.html").read_text()
    for part in ("In the maze", "Inside the sampler", "Learning", "Success", "data:image/png;base64"):
        assert part in page
    assert "http://" not in page and "https://" not in page
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    main(["evaluate", str(moved), *arms])
    again = read_scores(moved / "evaluation.csv")
    timeless = lambda rows: [msgspec.structs.replace(row, seconds=None, decision_ms=None) for row in rows]
    assert timeless(again) == timeless(first)


@pytest.mark.filterwarnings("error:os.fork")
def test_video_of_a_maze(tiny_run, tmp_path):
    from qgf.playing.film import film

    path = film(tiny_run.policy(), TASK, tmp_path / "walk", episodes=1)
    assert path.suffix == ".mp4"
    assert path.read_bytes()[4:8] == b"ftyp"
    assert path.stat().st_size > 10_000


def test_a_film_of_odd_size_and_an_ffmpeg_that_fails(tmp_path, monkeypatch):
    from qgf.playing.film import _write

    frames = [np.full((31, 41, 3), 8 * k, np.uint8) for k in range(30)]
    assert _write(frames, tmp_path / "odd", 20).read_bytes()[4:8] == b"ftyp"
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", shutil.which("false"))
    with pytest.raises(UserError, match=r"\.mp4: ffmpeg failed"):
        _write(frames, tmp_path / "broken", 20)
    assert not list(tmp_path.glob("*broken*"))


def test_video_without_ffmpeg_is_a_gif(tiny_run, tmp_path, monkeypatch):
    from PIL import Image

    from qgf.playing.film import film

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    path = film(tiny_run.policy(), TASK, tmp_path / "walk", episodes=1)
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert image.n_frames > 300  # every second step; equal frames in a row are stored once


def test_help_lists_every_command_the_methods_and_the_options_of_the_one_chosen(capsys):
    main(["--help"])
    overview = capsys.readouterr().out
    main([])
    assert capsys.readouterr().out == overview
    for command in qgf.cli.main.COMMANDS:
        assert re.search(rf"^ {command} +[A-Z].*[a-z]", overview, re.MULTILINE)
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"usage: qgf {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--method", "fql", "--help"])
    text = capsys.readouterr().out
    for name in [*METHODS, *CRITICS, *LOGGERS]:
        assert re.search(rf"^  {name} +\w.*", text, re.MULTILINE), name
    assert "--alpha" in text


def test_names_tells_everything_that_an_option_can_name(capsys):
    main(["names"])
    text = capsys.readouterr().out
    for name in [*GUIDES, *SCHEDULES, *METHODS, *CRITICS, *LOGGERS]:
        assert re.search(rf"^ {name} +\w.*", text, re.MULTILINE), name
    said = {line.split()[0]: line for line in text.splitlines()}
    assert (
        len({said[name].split(maxsplit=1)[1] for name in WRAPPERS} | {said["qgf"].split(maxsplit=1)[1]})
        == len(WRAPPERS) + 1
    )
    main(["names", "schedule"])
    assert "qgf" not in capsys.readouterr().out.split()
    assert "did you mean 'guide'" in fails(capsys, "names", "guides")


def test_an_unknown_command_names_the_nearest(capsys):
    assert "unknown command 'trian': did you mean 'train'" in fails(capsys, "trian", "x")


def test_the_version_is_the_packages(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"qgf {qgf.__version__}\n"
    assert qgf.__version__ == version("qgf")


def test_help_is_quick_for_it_loads_neither_jax_nor_simulators():
    code = """
import sys
from qgf.cli.main import COMMANDS, main
for arguments in [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS if name != "train")]:
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code
print(sorted({"jax", "equinox", "gymnasium", "ogbench", "matplotlib"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


def following(text):
    """The command after the last `next:` of what was printed."""
    return shlex.split(re.findall(r"^next: qgf (.*)$", text, re.MULTILINE)[-1])


def test_a_run_of_a_file_is_followed_by_a_command_that_needs_no_environment(tmp_path, capsys):
    folder = tmp_path / "a [bold]folder[/bold] of mine"
    folder.mkdir(parents=True)
    main(["train", str(_good_file(folder)), "--out", str(folder / "run"), *SMALL])
    said = capsys.readouterr().out
    assert f"{folder / 'good.npz'}: 57 transitions in 3 episodes of 19 steps, 3 observations -> 2 actions\n" in said
    assert f"wrote {folder / 'run'}\n" in said
    assert following(said) == ["analyse", str(folder / "run")]


def test_import_is_quick_and_touches_no_simulator():
    heavy = ("mujoco", "gymnasium", "ogbench", "orbax")
    code = f"import sys, qgf; qgf.sample; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    code = "import sys, qgf; print('jax' in sys.modules)"
    bare = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bare.stdout.strip() == "False"


def test_a_report_needs_no_simulator(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    block = (
        "import sys; sys.modules |= dict.fromkeys(('gymnasium', 'ogbench', 'mujoco')); from qgf.cli.main import main; "
    )
    code = block + f"main(['report', {str(tmp_path / 'run')!r}])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run" / "report.html").exists()


# tune and compare


@pytest.fixture
def idle(monkeypatch):
    """Whatever plays or opens an environment fails the test."""
    for module, name in ((qgf.playing.ledger, "evaluate"), (qgf.environments.vector, "make_vector_env")):
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    return tmp_path / "run"


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_bench_times_a_run_and_writes_its_table(run, capsys):
    main(["bench", str(run), "--guide", "none", "qgf", "--best-of", "1", "2", "--batch", "1", "--calls", "2"])
    said, rows = capsys.readouterr().out, table(run / "latency.csv")
    assert [row["name"] for row in rows] == ["none", "qgf 0.5", "none best-of-2", "qgf 0.5 best-of-2"]
    assert all(row["name"] in said and row["calls"] == "2" and float(row["weights_mb"]) > 0 for row in rows)
    assert "2 calls of each in turns" in said and "JAX" in said


def test_tune_writes_its_choice_and_every_row_that_it_played(run, capsys):
    main(["tune", str(run), "--strength", "0.5", "2", "--rungs", "1", "--episodes", "2"])
    said = capsys.readouterr().out
    assert f"wrote {run / 'tuning'}\nnext: qgf report {run}\n" in said
    tuned = json.loads((run / "tuning" / "tuned.json").read_text())
    strength = tuned["arm"]["strength"]
    assert tuned["arm"]["guide"] == "qgf" and strength in (0.5, 2)
    assert [report["name"] for report in tuned["reports"]] == ["chosen", "none", "placebo", "default"]
    assert all(report["label"] in said for report in tuned["reports"])
    names = ("split", "seed", "episodes", "guide", "strength")
    rows = {tuple(row[name] for name in names) for row in table(run / "tuning" / "episodes.csv")}
    tried = {("tuning", "1", "1", "qgf", x) for x in ("0.5", "2")}
    held_out = [("none", ""), ("qgf", f"{strength:g}"), ("placebo:qgf", f"{strength:g}"), ("qgf", "0.5")]
    assert rows == tried | {("held-out", "0", "2", *arm) for arm in held_out}


def test_tune_starts_no_more_environments_than_it_plays_episodes(run, monkeypatch):
    make, started = qgf.environments.vector.make_vector_env, []
    record = lambda env, horizon, lanes, *more: started.append(lanes) or make(env, horizon, lanes, *more)
    monkeypatch.setattr(qgf.environments.vector, "make_vector_env", record)
    main(["tune", str(run), "--strength", "0.5", "2", "--rungs", "1", "2", "--episodes", "1"])
    assert started == [2]


def test_tune_offline_plays_nothing(run, maze_folder, idle, capsys):
    main(["tune", str(run), "--offline", "--strength", "0.5", "2", "--data-dir", str(maze_folder)])
    said = capsys.readouterr().out
    assert "chosen without an environment: qgf" in said
    assert following(said)[:6] == ["evaluate", str(run), "--guide", "none", "qgf", "--strength"]
    assert not (run / "tuning").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ("--guide qfg", "did you mean 'qgf'"),
        ("--guide robustq", "robustq: this guide needs a noise-conditioned critic"),
        ("--strength 1 --weight 0.1", "give strengths or weights, not both"),
        ("--offline --weight 0.1", "leave --weight out"),
        ("--schedule lineer", "did you mean 'linear'"),
        ("--rungs 0", "rungs must be numbers of episodes"),
        ("--seed 1", "seed and tuning seed are both 1"),
        ("--policy-seed 1", "no policy of seed 1, it has 1"),
    ],
)
def test_tune_refuses_what_cannot_be(run, idle, capsys, options, message):
    assert message in fails(capsys, "tune", run, *options.split())
    assert not (run / "tuning" / "tuned.json").exists()


STUDY = """
episodes = 2
[tuning]
rungs = [1]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1]
[train.tiny]
width = 16
depth = 1
steps = 20
batch_size = 16
log_every = 10
checkpoint_every = 20
horizon = 50
[method.qgf]
strength = [1, 2]
"""


def compare(folder, data, text=STUDY):
    (folder / "mine.toml").write_text(text)
    return ["compare", str(folder / "mine.toml"), "--out", str(folder / "out"), "--data-dir", str(data)]


def test_compare_shows_its_table_and_where_everything_is(maze_folder, tmp_path, capsys):
    main(compare(tmp_path, maze_folder))
    said, folder = capsys.readouterr().out, tmp_path / "out" / "mine"
    assert f"wrote {folder}; its pictures are in {folder / 'figures'}\n" in said
    assert (folder / "aggregate.md").read_text() in said
    assert {(row["split"], row["method"]) for row in table(folder / "results.csv")} == {
        ("tuning", "qgf"), ("held-out", "qgf"), ("held-out", "none"),
    }  # fmt: skip
    assert list((folder / "figures").glob("*.png"))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("episodes", "episods", "unknown key 'episods': did you mean 'episodes'"),
        ("width", "widht", "at train.tiny: unknown key 'widht': did you mean 'width'"),
        ("[1, 2]", "['weak', 'strong']", 'at method.qgf.strength[0]: expected a number, got "weak"'),
        ("[1, 2]", "[]", "at method.qgf.strength: expected a number or a list, each a number, at least one, got []"),
        ("episodes = 2", "seed = 1", "seed and the tuning seed are both 1"),
        ("tasks = [1]", "tasks = [1]\ntransitions = 9000", "holds 4000 transitions"),
    ],
)
def test_compare_refuses_what_cannot_be(maze_folder, idle, tmp_path, capsys, old, new, message):
    assert message in fails(capsys, *compare(tmp_path, maze_folder, STUDY.replace(old, new, 1)))
    assert not list(tmp_path.rglob("*.csv"))


def test_compare_needs_a_study(tmp_path, capsys):
    assert f"{tmp_path / 'none.toml'}: no such file" in fails(capsys, "compare", tmp_path / "none.toml")


HOLD = """
import sys, time
from pathlib import Path
from qgf.files import locked
with locked(sys.argv[1]), locked(sys.argv[2]):
    Path(sys.argv[3]).touch()
    time.sleep(600)
"""


def test_what_another_process_tunes_or_compares_is_refused(run, maze_folder, idle, tmp_path, capsys):
    study, tuning = tmp_path / "out" / "mine", run / "tuning"
    program = start(HOLD, study, tuning, tmp_path / "held")
    try:
        wait_until((tmp_path / "held").exists, program)
        busy = "is being written by another process; try again when that has ended"
        assert f"{study} {busy}" in fails(capsys, *compare(tmp_path, maze_folder))
        assert f"{tuning} {busy}" in fails(capsys, "tune", run)
    finally:
        clear(program)
