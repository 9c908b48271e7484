"""How alike the gradients of two critics are: where it is known, and by the command."""

import csv
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qgf
from qgf.cli.main import main
from qgf.errors import UserError
from qgf.laboratory.seeds import alike, policies_of
from qgf.training.run import Run


def policy(slope, of=(2,)):
    """Q(s, a) = slope . a where s_0 > 0, and no gradient elsewhere."""
    slope = jnp.asarray(slope)
    return qgf.guided_flow(
        lambda obs, a, t: -a, lambda obs, a: jnp.where(obs[0] > 0, slope @ a, 0.0), 2, weight=0.0, obs_spec=of
    )


def test_the_cosine_is_that_of_the_slopes_where_both_have_one():
    obs = np.array([[1.0, 0.0]] * 6 + [[-1.0, 0.0]] * 2, np.float32)
    rows = alike(dict(a=policy([1.0, 0.0]), b=policy([3.0, 4.0]), c=policy([-2.0, 0.0])), obs, None, jax.random.key(0))
    assert [(row.first, row.second) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row.cosine for row in rows] == pytest.approx([0.6, -1.0, -0.6], abs=1e-5)
    assert {row.steep for row in rows} == {0.75}
    for wrong, said in (
        (dict(a=policy([1.0, 0.0])), "two critics"),
        (dict(a=policy([1.0, 0.0]), b=policy([1.0, 0.0], (3,))), "b: other"),
    ):
        with pytest.raises(UserError, match=said):
            alike(wrong, obs, None, jax.random.key(0))


def test_the_command_compares_runs_and_trains_nothing(tiny_run, maze_folder, tmp_path, capsys):
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        shutil.copytree(tiny_run.directory, run)
    assert len(policies_of([Run(runs[0]), Run(runs[0])])) == 1
    main(["analyse", str(runs[0]), "--beside", str(runs[1]), "--states", "16", "--data-dir", str(maze_folder)])
    assert "cosine of grad Q" in capsys.readouterr().out
    with open(runs[0] / "analysis" / "seeds.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["cosine"]) == pytest.approx(1.0, abs=1e-4) and float(row["steep"]) == 1
    assert not (runs[0] / "analysis" / "first").exists()
