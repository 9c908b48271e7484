"""Files are either whole or not there."""

import os
import resource
import stat
import subprocess
import sys

import pytest

from qgf.errors import UserError
from qgf.files import atomic_path


def test_a_block_that_ends_well_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "deep" / "file.txt"
    for text in ("first", "second"):
        with atomic_path(path) as temporary:
            assert temporary.parent == path.parent and temporary != path
            temporary.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["file.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ValueError])
def test_a_block_that_raises_leaves_the_old_content(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_block_that_raises_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_the_old_content_stays_visible_until_the_end(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"


@pytest.mark.parametrize("below", ["file.txt", "folder/file.txt"])
def test_a_folder_that_cannot_be_made_is_a_users_error(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / below
    with pytest.raises(UserError) as caught, atomic_path(path):
        raise AssertionError("the block must not run")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_space_is_a_users_error_and_keeps_the_old_content(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with (
        pytest.raises(UserError, match=r"file\.txt: cannot be written \(No space left"),
        atomic_path(path) as temporary,
    ):
        temporary.write_text("new")
        with open("/dev/full", "w") as full:
            full.write("x")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_no_more_file_handles_is_a_users_error(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    fillers = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        try:
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        with pytest.raises(UserError, match="Too many open files"), atomic_path(tmp_path / "file.txt"):
            pass
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_target_that_is_a_folder_is_a_users_error(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="target: cannot be written"), atomic_path(tmp_path / "target") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == ["target"]


def test_text_is_utf8_where_the_machine_writes_something_else(tmp_path):
    code = "import sys; from qgf.files import write_text; write_text(sys.argv[1], chr(0x6D41))"
    plain = os.environ | dict(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    subprocess.run([sys.executable, "-c", code, tmp_path / "file.txt"], env=plain, check=True)
    assert (tmp_path / "file.txt").read_bytes() == "流".encode()
