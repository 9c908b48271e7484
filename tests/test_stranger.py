"""A package that somebody else wrote, really installed: what it adds has a name everywhere, in worker processes too."""

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import qgf
from qgf.errors import UserError
from qgf.files import read_json
from qgf.training.run import Run

EXAMPLES = Path(__file__).parents[1] / "examples" / "own"
DESCRIPTION = {
    "METADATA": "Metadata-Version: 2.1\nName: strange\nVersion: 1.5\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[qgf.plugins]\nstrange = strange\n",
}

PROGRAM = """
import sys
from qgf.cli.main import main
small = "--steps 20 --log-every 10 --checkpoint-every 20 --batch-size 8 --width 8 --depth 1"
own = "--method smooth --spread 0.1 --critic returns --scale 2 --network waves --log lines"
guide = "--guide late --schedule cosine"
for command in (
    f"train walks --out run {own} {small}",
    f"evaluate run --env hill-20-v0 {guide} --episodes 2",
    f"tune run --env hill-20-v0 {guide} --strength 0.5 1 --rungs 1 1 --episodes 2",
    "analyse run --guide late --updates 10 --states 4 --best-of 1 2",
    "compare study.toml --data-dir . --jobs 2 --out studies",
    "names reader family",
):
    main(command.split())
"""

STUDY = """
episodes = 2
log = ["lines"]
[[environment]]
name = "hill-20-v0"
tasks = [1]
seeds = [0, 1]
[train.base]
method = "smooth"
spread = 0.1
critic = "returns"
scale = 2.0
network = "waves"
steps = 20
log_every = 10
checkpoint_every = 20
batch_size = 8
width = 8
depth = 1
[method.mine]
guide = "late"
schedule = "cosine"
strength = 1.0
"""


def install(folder: Path) -> Path:
    """Make a wheel of the examples and install it; the folder where it is."""
    files = {f"strange/{file.name}": file.read_text() for file in EXAMPLES.glob("*.py")}
    files["strange/__init__.py"] = "".join(f"import strange.{file.stem}\n" for file in EXAMPLES.glob("*.py"))
    files |= {f"strange-1.5.dist-info/{name}": text for name, text in DESCRIPTION.items()}
    record = "strange-1.5.dist-info/RECORD"
    wheel = folder / "strange-1.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (files | {record: "".join(f"{name},,\n" for name in [*files, record])}).items():
            archive.writestr(name, text)
    place = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(place), str(wheel)], check=True, capture_output=True)
    return place


def run(folder: Path, place: Path) -> str:
    path = os.pathsep.join([str(place), str(Path(qgf.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=os.environ | dict(PYTHONPATH=path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_package_of_a_stranger_works_in_every_command_and_in_workers(tmp_path):
    rng = np.random.default_rng(0)
    ends = np.arange(60) % 20 == 19
    states, actions, rewards = rng.uniform(-1, 1, (60, 2)), rng.uniform(-1, 1, (60, 1)), rng.normal(size=60)
    rows = np.column_stack([states, actions, rewards, ends])
    (tmp_path / "walks").write_text("s0,s1,a0,reward,terminal\n" + "\n".join(",".join(map(str, row)) for row in rows))
    np.savez(tmp_path / "hill-20-v0.npz", observations=states, actions=actions, rewards=rewards, terminals=ends)
    (tmp_path / "study.toml").write_text(STUDY)
    told = run(tmp_path, install(tmp_path))
    assert "csv" in told and "hill" in told

    record = read_json(tmp_path / "run" / "config.json", dict)
    method = record["train"]["method"]
    assert (method["name"], method["critic"]["name"], method["network"]) == ("smooth", "returns", "waves")
    (played,) = csv.DictReader((tmp_path / "run" / "evaluation.csv").open())
    assert (played["env"], played["guide"], played["schedule"]) == ("hill-20-v0", "late", "cosine")
    assert read_json(tmp_path / "run" / "tuning" / "tuned.json", dict)
    values = list(csv.DictReader((tmp_path / "run" / "analysis" / "value.csv").open()))
    assert {row["guide"] for row in values} == {"late", "none"}
    results = list(csv.DictReader((tmp_path / "studies" / "study" / "results.csv").open()))
    assert {(row["method"], row["policy_seed"]) for row in results} == {(m, s) for m in ("none", "mine") for s in "01"}

    trained = [tmp_path / "run", *(tmp_path / "studies" / "runs").iterdir()]
    assert len(trained) == 3  # the last two in processes of their own
    for directory in trained:
        assert len((directory / "log.jsonl").read_text().splitlines()) == 2
        assert read_json(directory / "config.json", dict)["use"] == [dict(package="strange", version="1.5")]
        with pytest.raises(
            UserError, match=r"unknown method 'smooth'.*it was trained with package strange 1\.5: add it$"
        ):
            _ = Run(directory).config
