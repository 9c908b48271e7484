"""What surrounds a command: pipes, terminals, locales, homes, disks and names. Right, or one line."""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qgf as qgf_of_python
from qgf.cli.main import _at_home, main
from qgf.data.folder import data_dir
from qgf.environments.vector import _hint
from qgf.errors import UserError
from qgf.files import atomic_path, sweep, write_text
from qgf.files.whole import PART
from qgf.laboratory.study import read_study
from qgf.training.trained import load_trained

PLAIN = dict(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", COLUMNS="80")


def qgf(*arguments, **options):
    """The command in a process of its own: status and what it said on stderr."""
    options = dict(stdout=subprocess.DEVNULL) | options
    done = subprocess.run([sys.executable, "-m", "qgf", *arguments], stderr=subprocess.PIPE, **options)
    return done.returncode, done.stderr.decode(errors="surrogateescape")


@pytest.fixture
def data(tmp_path):
    """A small dataset whose name no UTF-8 has, beside [markup]."""
    random, path = np.random.default_rng(0), tmp_path / "[red]d\udcff.npz"
    steps = dict(observations=random.normal(size=(60, 2)), actions=random.uniform(-1, 1, (60, 1)))
    np.savez(path, **steps, rewards=-np.ones(60), terminals=np.arange(60) % 20 == 19)
    return path


def test_help_needs_no_docstrings():
    command = [sys.executable, "-OO", "-m", "qgf", "--help"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr == b""


def test_no_notebook_is_needed_to_draw(monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    main(["--version"])
    assert os.environ["MPLBACKEND"] == "agg" and capsys.readouterr().out.startswith("qgf ")


def test_whoever_reads_what_is_printed_may_stop():
    reading, writing = os.pipe()
    os.close(reading)
    assert qgf("names", stdout=writing) == (141, "")
    os.close(writing)


def test_a_closed_stdout_is_no_matter():
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "qgf", "names"]
    done = subprocess.run(command, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        assert qgf("names", stdout=full) == (2, "qgf: No space left on device\n")


def test_names_that_the_terminal_cannot_show_are_escaped(data):
    status, said = qgf("data", str(data), env=os.environ | PLAIN)
    assert (status, said) == (0, "")
    status, said = qgf("data", f"{data}.gone", env=os.environ | PLAIN)
    assert status == 2 and said.startswith("qgf: ") and said.count("\n") == 1 and "[red]d\\udcff" in said


@pytest.mark.parametrize("platform", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_one_line(platform, tmp_path):
    """Nor is anything of a run written."""
    steps = dict(observations=np.zeros((9, 2)), actions=np.zeros((9, 1)), rewards=np.ones(9), terminals=np.zeros(9))
    np.savez(tmp_path / "d.npz", **steps)
    options = ["train", str(tmp_path / "d.npz"), "--out", str(tmp_path / "run"), "--horizon", "2", "--steps", "500"]
    status, said = qgf(*options, env=os.environ | dict(JAX_PLATFORMS=platform))
    if platform == "cuda" and status == 0:
        pytest.skip("there is one")
    assert status == 2 and said.splitlines()[-1].startswith(f"qgf: JAX has no device for JAX_PLATFORMS={platform} (")
    assert "Traceback" not in said and not (tmp_path / "run").exists()


FULL = """
import resource, signal, sys
from qgf.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
main(sys.argv[1:])
"""


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_one_line(data, tmp_path):
    options = ["--steps=20", "--log-every=10", "--checkpoint-every=10", "--width=64", "--depth=2", "--horizon=2"]
    data = data.rename(tmp_path / "d.npz")
    command = [sys.executable, "-c", FULL, "train", str(data), "--out", str(tmp_path / "run"), *options]
    # Neither is left in halves for other programs: Python does not look whether a file's bytecode was written whole.
    kept = dict(JAX_ENABLE_COMPILATION_CACHE="false", PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(command, capture_output=True, env=os.environ | kept)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2 and len(re.findall("qgf: .*checkpoint 10 cannot be written", said)) == 1
    assert "never retrieved" not in said and "Event loop" not in said, said  # of the other writes that ended so


def test_what_a_run_could_not_record_is_refused_before_anything_is_written(data, tmp_path, capsys):
    """A name that is not UTF-8, of the data or of the run's folder; [markup] is a name like any other."""
    good, options = tmp_path / "[bold]d.npz", ["--steps", "10", "--width", "16", "--depth", "1", "--horizon", "2"]
    good.write_bytes(data.read_bytes())
    for source, run in ((data, tmp_path / "run"), (good, tmp_path / "run\udcfe")):
        with pytest.raises(SystemExit) as ended:
            main(["train", str(source), "--out", str(run), *options])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1 and "the name is not UTF-8" in said
        assert not run.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "s3://bucket/data.npz"],
        ["train", "DATA", "--out", "gs://bucket/run"],
        ["train", "pointmaze-medium-navigate-v0", "--data-dir", "https://host/data"],
        ["evaluate", "s3://bucket/run"],
        ["collect", "pointmaze-medium-navigate-v0", "--data-dir=s3://bucket", "--transitions", "2000"],
        ["data", "DATA", "--convert", "s3://bucket/shards"],
        ["data", "DATA", "--convert", "s3://bucket/data.npz"],
        ["compare", "STUDY", "--out", "s3://bucket/studies"],
    ],
)
def test_a_url_is_no_folder(data, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "study.toml"
    study.write_text('[[environment]]\nname = "pointmaze-medium-navigate"\ntasks = [1]\n[train.a]\n[method.qgf]\n')
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main([{"DATA": str(data), "STUDY": str(study)}.get(word, word) for word in arguments])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "an object store does not have" in said, said
    assert set(tmp_path.rglob("*")) == before


def test_a_home_is_found_behind_an_option_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert _at_home("--out=~/run") == "--out=/home/me/run" and _at_home("~/run") == "/home/me/run"
    assert _at_home("--out=a~b") == "--out=a~b" and _at_home("a=~/b") == "a=~/b"


def test_a_home_is_found_from_python_too(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data.rename(tmp_path / "d.npz")
    found = qgf_of_python.load_dataset("~/d.npz")
    assert found.path == tmp_path / "d.npz"
    assert qgf_of_python.Run("~/run").directory == tmp_path / "run"
    for read in (qgf_of_python.Policy.load, load_trained):
        with pytest.raises(UserError, match=f"{tmp_path}/run"):
            read("~/run")
    with pytest.raises(UserError, match=r"~nobody-of-this-name/d\.npz: there is no such user"):
        qgf_of_python.load_dataset("~nobody-of-this-name/d.npz")


def test_a_user_without_a_home_is_told_so(monkeypatch):
    def nobody(*_):
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("QGF_DATA", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(UserError, match="has no home folder; say where data are with --data-dir"):
        data_dir()
    assert data_dir("here") == Path("here")


def test_what_mujoco_would_draw_with_is_named(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert _hint(AttributeError("glGetError")) == ""
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert "MUJOCO_GL is osmesa" in _hint(AttributeError("glGetError")) and _hint(ValueError()) == ""


def test_names_that_differ_by_case_alone_are_one_folder_on_some_disks(tmp_path):
    study = tmp_path / "study.toml"
    training = "[train.tiny]\nsteps = 10\n[train.Tiny]\nsteps = 20\n"
    place = '[[environment]]\nname = "pointmaze-medium-navigate"\ntasks = [1]\nseeds = [0]\n'
    study.write_text(f'{training}{place}[method.qgf]\ntrain = "tiny"\n')
    with pytest.raises(UserError, match="tiny and Tiny differ in their case alone"):
        read_study(study)


def test_long_names_and_paths_are_written(tmp_path):
    path = tmp_path / ("a" * 150) / ("流" * 50) / ("b" * 250)
    write_text(path, "whole")
    assert path.read_text() == "whole" and os.listdir(path.parent) == [path.name]


def test_a_clock_that_jumped_decides_nothing(tmp_path):
    """What a living process of this machine writes is not swept, whatever its age; what nobody writes is."""
    with atomic_path(tmp_path / "file") as temporary:
        for year in (-40, 40):
            os.utime(temporary, (then := temporary.stat().st_mtime + year * 31_536_000, then))
            sweep(tmp_path)
            assert temporary.exists()
        left = temporary.with_name(temporary.name.replace(PART, f"x{PART}"))
        left.write_text("")
        os.utime(left, (4e9, 4e9))
        sweep(tmp_path)
        assert not left.exists()
