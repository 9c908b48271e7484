"""What guidance did, chunk by chunk."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from qgf.errors import UserError
from qgf.files import write_table


class Log(list[dict[str, Any]]):
    """A row for every chunk: its number; steps; ratio, the mean over steps and batch of |w g| / |v|; value, the mean Q
    of the last one-step estimates; agreement, the mean cosine of the critic's members' gradients there (NaN of a
    single one); skipped, how often a direction was not finite and its row's step went unguided. With a `path`, every
    row is written there at once, too."""

    path: str | Path | None = None

    def append(self, row: dict[str, Any]) -> None:
        super().append(row)
        if self.path is not None:
            with open(self.path, "w" if len(self) == 1 else "a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    [row, row.values()] if len(self) == 1 else [row.values()]
                )

    def save(self, path: str | Path) -> None:
        """The rows as a table."""
        write_table(Path(path), self)

    def tensorboard(self, folder: str | Path) -> None:
        """The rows as event files."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UserError("TensorBoard needs the package tensorboardX: pip install 'qgf[tensorboard]'") from None
        with SummaryWriter(str(folder)) as writer:
            for row in self:
                for name, x in row.items():
                    if name != "chunk":
                        writer.add_scalar(f"guidance/{name}", x, row["chunk"])
