"""The benchmark for a GPU runs anywhere, at sizes that take seconds."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks/gpu.py"


def test_its_table_has_every_row(tmp_path):
    command = [sys.executable, str(PROGRAM), "--tiny", "--out", str(tmp_path / "gpu.md")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    assert "TFLOP/s in products" in lines[0] and run.stdout.splitlines()[: len(lines)] == lines
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[4:]]
    names = ["training, 1 seed", "training, 2 seeds"]
    names += [f"acting, {guide}, batch {n}" for n in (4,) for guide in ("none", "qgf", "amortised")]
    assert [row[0] for row in rows] == names
    rates = [float(row[1].split()[0]) for row in rows]
    assert min(rates) > 0 and all(row[3].endswith("%") for row in rows[:2])
