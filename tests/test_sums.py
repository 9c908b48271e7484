"""What is written carries its sum, and what is read is what was written."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from qgf.errors import UserError
from qgf.files import SUMS, check, check_folder, forget, read_json, seal, sealed_path, write_json, write_table
from qgf.files.sums import read_sums


def test_a_sum_is_listed_as_sha256sum_has_it(tmp_path):
    for name in ("b.json", "a name", "back\\slash", "zwei\nZeilen", "流", os.fsdecode(b"\xff\xfe")):
        write_json(tmp_path / name, dict(x=1))
        (digest,) = read_sums(tmp_path)[name]
        assert digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    done = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and done.stdout.count(b": OK") == 6, done
    names = [line.split("  ", 1)[1] for line in os.fsdecode((tmp_path / SUMS).read_bytes()).splitlines()]
    assert names == sorted(names)


def test_a_bit_that_flips_is_one_line_that_says_how_to_take_it_as_it_is(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, dict(x=1))
    assert read_json(path, dict) == dict(x=1)
    path.write_text(path.read_text().replace("1", "3"))
    with pytest.raises(UserError, match=rf"config\.json: is not what was written.*qgf verify --accept {path}$"):
        read_json(path, dict)


def test_what_is_not_listed_is_read_as_it_is(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    check(path)
    write_json(tmp_path / "other.json", {})
    assert read_json(path, dict) == {}


@pytest.mark.parametrize(
    "line", ["no sum", "0" * 63 + "  config.json", "", "0" * 64 + " config.json", "G" * 64 + "  x"]
)
def test_a_damaged_list_is_one_line(tmp_path, line):
    write_json(tmp_path / "config.json", {})
    with open(tmp_path / SUMS, "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=f"{SUMS}: at line 2: is no line of sha256sum"):
        read_json(tmp_path / "config.json", dict)


def test_a_process_killed_at_any_operation_leaves_a_file_that_is_read(tmp_path):
    """At each file operation in turn of writing anew what is there: the old content or the new, and no complaint."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from qgf.files import write_json
        left = 0
        def watch(event, _):
            global left
            if event in ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir"):
                left -= 1
                if not left:
                    os._exit(9)
        sys.addaudithook(watch)
        for n in range(1, 100):
            path = Path(sys.argv[1]) / str(n) / "config.json"
            write_json(path, dict(x=1))
            if not os.fork():
                left = n
                write_json(path, dict(x=2))
                os._exit(0)
            if os.waitstatus_to_exitcode(os.wait()[1]) == 0:
                break
    """
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    *killed, whole = sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name))
    assert len(killed) > 8
    for folder in killed:
        assert read_json(folder / "config.json", dict) in (dict(x=1), dict(x=2))
    assert {len(read_sums(folder)["config.json"]) for folder in killed} == {1, 2}
    assert read_json(whole / "config.json", dict) == dict(x=2) and len(read_sums(whole)["config.json"]) == 1


def test_processes_that_write_into_one_folder_lose_no_sum(tmp_path):
    code = """if True:
        import sys
        from pathlib import Path
        from qgf.files import write_json
        for k in range(20):
            write_json(Path(sys.argv[1]) / f"{sys.argv[2]}-{k}.json", dict(k=k))
    """
    running = [subprocess.Popen([sys.executable, "-c", code, tmp_path, str(n)]) for n in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(read_sums(tmp_path)) == 60
    for path in tmp_path.glob("*.json"):
        check(path)


def test_a_block_that_raises_leaves_file_and_sum(tmp_path):
    write_json(tmp_path / "a.json", dict(x=1))
    with pytest.raises(RuntimeError), sealed_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "a.json", dict) == dict(x=1)


def test_what_is_gone_is_off_the_list(tmp_path):
    path = tmp_path / "a.csv"
    write_table(path, [dict(x=1)])
    write_table(path, [])
    assert os.listdir(tmp_path) == []
    path.write_text("x\n")
    seal(path)
    forget(path)
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_folder_that_was_sealed_has_lost_gained_and_changed_nothing(tmp_path):
    whole = tmp_path / "whole"
    (whole / "below").mkdir(parents=True)
    for name in ("a", "below/b"):
        (whole / name).write_text(name)
    seal(whole)
    check_folder(whole)
    for k, (change, says) in enumerate(
        (
            (lambda at: (at / "below" / "b").unlink(), "below/b: missing"),
            (lambda at: (at / "a").write_text("b"), "a: changed"),
            (lambda at: (at / "c").write_text("c"), "c: not listed"),
            (lambda at: ((at / "a").unlink(), (at / "a").mkdir()), r"a: cannot be read \(it is a folder"),
            (lambda at: ((at / "a").unlink(), os.mkfifo(at / "a")), r"a: cannot be read \(it is a folder, a pipe"),
        )
    ):
        copy = tmp_path / str(k)
        shutil.copytree(whole, copy)
        change(copy)
        with pytest.raises(UserError, match=says):
            check_folder(copy)


def test_a_list_leads_nowhere_else(tmp_path):
    (tmp_path / SUMS).write_text(f"{'0' * 64}  ../secret\n")
    with pytest.raises(UserError, match="leads out of the folder"):
        check_folder(tmp_path)
