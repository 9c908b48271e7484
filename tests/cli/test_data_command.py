"""`qgf data`, and data of every format on the command line."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.cli.main import main
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
