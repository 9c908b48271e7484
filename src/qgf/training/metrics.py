"""metrics.csv, which a resumed run goes on writing to the byte."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from qgf.errors import UserError
from qgf.files import Number, convert, doubt, forget, read_text, seal, write_text

ROWS = 5_000


def recorded(step: int, every: int, seeds: int = 1) -> bool:
    """Whether the log interval that ends with this update is written down: each of the first 10,000 (of one seed),
    every second of as many more, every fourth of twice as many, and so on: always few enough to be read at once.
    """
    number, part = divmod(step, every)
    return part > 0 or number % (1 << max(0, (number * seeds // ROWS).bit_length() - 1)) == 0


class Metrics:
    """metrics.csv: one row per `recorded` log interval and seed. Opening it drops what a killed run wrote after its
    checkpoint; it has a sum once it is closed.
    """

    def __init__(self, path: Path, keep: int):
        self.path, self.columns = path, None
        if not path.exists():
            return
        doubt(path)
        whole = [line for line in read_text(path).splitlines(keepends=True) if line.endswith("\n")]
        step = lambda number, line: convert(path, line.split(",", 1)[0], Number, f"line {number}, step", lax=True)
        kept = whole[:1] + [line for number, line in enumerate(whole[1:], 2) if step(number, line) <= keep]
        if len(kept) > 1:
            self.columns = kept[0].strip().split(",")[2:]
        forget(path)
        write_text(path, "".join(kept) if self.columns else "")

    def add(self, step: int, logs: dict[str, np.ndarray]) -> None:
        text = io.StringIO()
        if self.columns is None:
            self.columns = sorted(logs)
            print("step", "seed", *self.columns, sep=",", file=text)
        for seed in range(len(next(iter(logs.values())))):
            print(step, seed, *(repr(float(logs[key][seed])) for key in self.columns), sep=",", file=text)
        try:
            with open(self.path, "a") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        if self.path.exists():
            seal(self.path)
