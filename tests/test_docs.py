"""What the documentation shows runs: README's example, and every block of Python under `<!-- runs -->`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qgf.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- (?:runs|--8<-- \[start:example\]) -->\n```python\n(.*?)```", re.DOTALL)
TEXTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PAGES = [page for page in TEXTS if MARKED.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_snippets_of(page, tmp_path):
    """One after another in one program, as a reader would type them."""
    (tmp_path / "page.py").write_text("\n".join(MARKED.findall(page.read_text())))
    run = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_what_is_your_own_trains(tmp_path):
    """The critic, the network and the method of the how-to pages, on its data, all in one program."""
    shown = [MARKED.findall((ROOT / f"docs/how/{page}.md").read_text()) for page in ("critic", "network", "method")]
    data = MARKED.findall((ROOT / "docs/how/data.md").read_text())[0]
    train = """
from qgf import TrainConfig, load_dataset, train
for name, method in dict(critic=BC(critic="returns"), network=BC(network="residual"), method=AWR()).items():
    small = TrainConfig(steps=10, log_every=10, checkpoint_every=10, batch_size=32, method=method)
    run = train(load_dataset("point.npz"), small, name)
    assert jnp.isfinite(run.policy()(jnp.zeros((1, 2)), jax.random.key(0))).all()
    print(sorted(run.metrics()))
"""
    (tmp_path / "page.py").write_text("\n".join([data, *(code for page in shown for code in page), train]))
    run = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    logged = run.stdout.splitlines()
    assert "q" in logged[0] and "weight" in logged[2]


def test_every_command_is_in_the_table_of_commands():
    table = (ROOT / "docs/commands.md").read_text()
    assert [command for command in COMMANDS if f"| `qgf {command}" not in table] == []
