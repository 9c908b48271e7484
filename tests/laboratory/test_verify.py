"""`qgf verify` says what is not what was written, and nothing of what is."""

import os
import shutil

import numpy as np
import pytest

from qgf.cli.main import main
from qgf.errors import UserError
from qgf.files import BOOKKEEPING, SUMS
from qgf.laboratory.verify import accept, verify


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory, tmp_path / "runs" / "tiny")
    return tmp_path / "runs" / "tiny"


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_run_is_good_with_all_that_is_in_it(run):
    found = verify([run.parent])
    assert [x.what for x in found] == ["run", "checkpoint", "checkpoint", "policy"]
    assert not any(x.unlisted or x.damage for x in found)
    assert found[0].good == ("config.json", "metrics.csv", "scales.json") and found[3].good == (
        "config.json",
        "model.safetensors",
    )
    everything = {path for path in run.rglob("*") if path.is_file() and path.name not in (SUMS, *BOOKKEEPING)}
    assert {x.path / name for x in found for name in x.good} == everything


def test_every_file_that_changes_is_damage(run, capsys):
    for path in [
        path for path in run.rglob("*") if path.is_file() and path.name not in BOOKKEEPING and path.stat().st_size
    ]:
        flip(path)
        assert [x for x in verify([run]) if x.damage], path
        with pytest.raises(SystemExit) as status:
            main(["verify", str(run)])
        assert status.value.code == 1 and str(path.parent) in capsys.readouterr().out
        flip(path)
    main(["verify", str(run)])
    assert "0 damaged" in capsys.readouterr().out


def test_a_run_of_before_has_no_sums_and_is_read(run):
    for path in run.rglob(SUMS):
        path.unlink()
    found = verify([run])
    assert not any(x.damage or x.good for x in found)
    assert found[0].unlisted == ("config.json", "metrics.csv", "scales.json")
    (run / "policy" / "model.safetensors").write_bytes(b"nothing")
    assert "truncated or not a safetensors file" in verify([run])[-1].damage[0]


def test_what_is_accepted_is_good(run):
    for path in run.rglob(SUMS):
        path.unlink()
    accept([run])
    assert not any(x.damage or x.unlisted for x in verify([run]))
    flip(run / "metrics.csv", 100)
    (run / "checkpoints" / "200" / "_CHECKPOINT_METADATA").unlink()
    assert len([x for x in verify([run]) if x.damage]) == 2
    accept([run])
    assert not any(x.damage for x in verify([run]))


def test_data_are_verified_by_file_and_by_folder(tmp_path):
    arrays = dict(observations=np.zeros((4, 2)), actions=np.zeros((4, 1)), terminals=np.arange(4) == 3)
    np.savez(tmp_path / "walk.npz", **arrays)
    for path in (tmp_path, tmp_path / "walk.npz"):
        (found,) = verify([path])
        assert found.unlisted == ("walk.npz",) and not found.damage
    accept([tmp_path / "walk.npz"])
    assert verify([tmp_path / "walk.npz"])[0].good == ("walk.npz",)
    flip(tmp_path / "walk.npz", 12)  # a time of day, which no reader looks at
    assert "walk.npz: changed" in verify([tmp_path / "walk.npz"])[0].damage[0]
    (tmp_path / SUMS).unlink()
    flip(tmp_path / "walk.npz", 200)
    assert "cannot be read" in verify([tmp_path])[0].damage[0]


def test_where_there_is_nothing_is_said(tmp_path):
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(UserError, match=path.name):
            verify([path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a pipe or a device"):
        verify([tmp_path / "pipe"])
