"""`qgf data`, and data of every format on the command line."""

import shlex

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.cli.main import main
from qgf.data.fingerprint import fingerprint
from qgf.environments.datasets import dataset_of, load_dataset
from qgf.errors import UserError
from qgf.training.run import Run

TINY = [
    "--steps",
    "20",
    "--log-every",
    "20",
    "--checkpoint-every",
    "20",
    "--width",
    "8",
    "--depth",
    "1",
    "--horizon",
    "2",
    "--batch-size",
    "4",
]


@pytest.mark.parametrize("write", [formats.ogbench_npz, formats.robomimic, formats.lerobot, formats.diffusion_policy])
def test_every_format_is_looked_at_and_converted(write, tmp_path, capsys):
    path, out = write(tmp_path), tmp_path / "new" / "out.npz"
    main(["data", str(path), "--horizon", "2", "--convert", str(out)])
    said = capsys.readouterr().out
    assert "2 episodes" in said and f"wrote {out}" in said and f"qgf train {out}" in said
    whole, again = load_dataset(path), load_dataset(out)
    for field in ("observations", "actions", "ends", "rewards", "masks"):
        assert_array_equal(getattr(again, field), getattr(whole, field))
    main(["data", str(out)])
    with pytest.raises(SystemExit):
        main(["data", str(path), "--convert", str(out)])
    assert "is there already; pass --overwrite" in capsys.readouterr().err


def test_what_to_try_next_reads_the_data_as_this_did(tmp_path, capsys):
    path, labels = formats.robomimic(tmp_path), tmp_path / "la bels.txt"
    labels.write_text("1\n0\n")
    main(["data", str(path), "--labels", str(labels), "--rewards", "success-to-go", "--obs-keys", "object", "eef"])
    next_line = capsys.readouterr().out.splitlines()[-1].removeprefix("next: qgf ")
    main([*shlex.split(next_line)[:-1], str(tmp_path / "out.npz")])
    found, wanted = (
        load_dataset(tmp_path / "out.npz"),
        load_dataset(path, None, True, ("object", "eef"), labels, "success-to-go"),
    )
    for field in ("observations", "rewards", "masks"):
        assert_array_equal(getattr(found, field), getattr(wanted, field))


def test_what_is_converted_is_the_same_data_and_the_same_bytes(tmp_path):
    """With the range of its actions, and the returns of its normalised score; keys in one order, whatever came in."""
    rows = formats.flat() | dict(actions=1.5 * formats.flat()["actions"])
    rows |= dict(action_low=np.full(2, -2.0), action_high=np.full(2, 2.0), ref_min_score=-9, ref_max_score=0.5)
    for name, keys in dict(one=list(rows), other=list(rows)[::-1]).items():
        np.savez(tmp_path / f"{name}.npz", **{key: rows[key] for key in keys})
        main(["data", str(tmp_path / f"{name}.npz"), "--convert", str(tmp_path / f"{name}-out.npz")])
    main(["data", str(tmp_path / "one-out.npz"), "--convert", str(tmp_path / "again.npz")])
    written = [(tmp_path / f"{name}.npz").read_bytes() for name in ("one-out", "other-out", "again")]
    assert written[0] == written[1] == written[2]
    assert list(np.load(tmp_path / "again.npz"))[:3] == ["observations", "actions", "terminals"]
    before, after = (load_dataset(tmp_path / f"{name}.npz") for name in ("one", "again"))
    assert fingerprint(before) == fingerprint(after) and before.references == after.references == (-9, 0.5)
    assert_array_equal(before.action_range, after.action_range)
    assert_array_equal(before.scaled().actions, after.scaled().actions)


def test_what_is_meant_for_a_file_is_not_called_an_environment(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.hdf5: no such file"):
        load_dataset(tmp_path / "nowhere.hdf5")
    with pytest.raises(UserError, match=r"no data that can be read \(known formats: npz"):
        load_dataset(tmp_path)


def test_held_out_data_have_labels_of_their_own(tmp_path):
    path, labels = formats.ogbench_npz(tmp_path), tmp_path / "labels.txt"
    labels.write_text("1\n0\n")
    (tmp_path / "ogbench-val.npz").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"labels-val.txt: no such file: labels of the held-out episodes in .*-val.npz"):
        load_dataset(path, labels=labels)
    (tmp_path / "labels-val.txt").write_text("0\n0\n")
    found = load_dataset(path, labels=labels)
    assert (found.masks == 0).sum() == 1 and (found.validation.masks == 0).sum() == 0


def test_nothing_is_written_unless_it_is_asked_for(tmp_path, capsys):
    path = formats.d4rl_npz(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    main(["data", str(path)])
    said = capsys.readouterr().out
    assert "read so: no masks: `terminals` are where the task ends" in said and "nothing written" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_remembers_what_its_observations_are_made_of(tmp_path, capsys):
    path = formats.robomimic(tmp_path)
    main(["train", str(path), *TINY, "--obs-keys", "object", "--out", str(tmp_path / "run")])
    assert "12 transitions in 2 episodes of 5 to 7 steps, 1 observations -> 2 actions" in capsys.readouterr().out
    run = Run(tmp_path / "run")
    assert dataset_of(run.record).obs_dim == 1
    with pytest.raises(UserError, match="missing key 'objekt'"):
        load_dataset(path, keys=("objekt",))
    with pytest.raises(UserError, match="leave out the keys object"):
        load_dataset("pointmaze-medium-navigate-v0", keys=("object",))


def test_validation_data_of_another_shape_are_refused(tmp_path):
    path = formats.ogbench_npz(tmp_path)
    arrays = dict(np.load(path))
    np.savez(tmp_path / "ogbench-val.npz", **arrays | dict(observations=arrays["observations"][:, :3]))
    with pytest.raises(
        UserError, match=r"ogbench-val.npz: 3 observations and 2 actions, but .*ogbench.npz has 4 and 2"
    ):
        load_dataset(path)
