"""The examples run, and what they assert holds."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("name", ["01_toy.py", "03_your_own_policy.py", "04_rivals.py"])
def test_example(name, tmp_path):
    """As they are, but for the rivals' 2000 updates, which take two minutes: what they assert holds after 700, too."""
    (tmp_path / name).write_text((EXAMPLES / name).read_text().replace("2000, 1000", "700, 1000"))
    run = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_training_example(maze_folder, tmp_path):
    """Shortened, on a small dataset."""
    text = (EXAMPLES / "02_train.py").read_text()
    text = text.replace("10_000", "20, log_every=20, checkpoint_every=20").replace("episodes=50", "episodes=1")
    (tmp_path / "train.py").write_text(text)
    import os

    environment = os.environ | dict(QGF_DATA=str(maze_folder))
    run = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "95 % interval" in run.stdout
