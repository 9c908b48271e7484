"""Several processes that add to one run's results: no row is lost, none is there twice."""

import os

import processes
from qgf.files import BOOKKEEPING, SUMS
from qgf.playing.ledger import Ledger
from qgf.playing.scores import read_scores

ROUNDS, PROCESSES = 50, 4
ADD = """
import sys
from pathlib import Path
import numpy as np
from qgf.files import turn
from qgf.playing.ledger import Ledger
from qgf.playing.scores import Score, write_scores
folder, mine, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ledger = Ledger(folder / "episodes.csv")
for k in range(rounds):
    for seed in (1000 * mine + k, 9000 + k):  # one of its own, and one that all play
        x = np.zeros(2)
        score = Score("pointmaze-medium-navigate-v0", seed, x > 0, x, x + 1, x, x, x, 1.0, 1.0, 0.0)
        with turn(folder):
            write_scores(folder / "evaluation.csv", [score])
        ledger.add(score.row(train="tiny", split="held-out"))
"""


def test_no_row_is_lost_and_none_is_there_twice(tmp_path):
    programs = [processes.start(ADD, tmp_path, mine, ROUNDS) for mine in range(PROCESSES)]
    assert [program.wait(300) for program in programs] == [0] * PROCESSES
    own = [1000 * mine + k for mine in range(PROCESSES) for k in range(ROUNDS)]
    wanted = [*own, *range(9000, 9000 + ROUNDS)]
    assert sorted(row.seed for row in read_scores(tmp_path / "evaluation.csv")) == wanted
    ledger = Ledger(tmp_path / "episodes.csv")
    assert sorted(row.seed for row in ledger.rows.values()) == wanted and len(ledger.costs) == len(wanted)
    assert set(os.listdir(tmp_path)) - BOOKKEEPING == {SUMS, "evaluation.csv", "episodes.csv", "costs.csv"}
