"""Bits that flip in artefacts that carry a sum: noticed when they are read, or by `qgf verify`."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from hostile import kinds
from qgf.errors import Caution, UserError
from qgf.files import SUMS
from qgf.laboratory.verify import verify


class Flips(NamedTuple):
    """How many bits, and who noticed."""

    tried: int
    by: Counter  # when it is read, by verify
    unnoticed: list[str]

    def __str__(self) -> str:
        told = ", ".join(f"{n} {who}" for who, n in self.by.items())
        return f"{self.tried} bits flipped: {told}, unnoticed: {len(self.unnoticed)}"


def flips(base: Path, n: int, seed: int = 0) -> Flips:
    """Flip one bit at a time, as often in every file, each at any place."""
    kinds.BASE, chance, by, unnoticed = base, random.Random(seed), Counter(), []
    files = sealed(base)
    for k in range(n):
        path, kind = files[k % len(files)]
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            if kind is not None and _noticed(kind, base):
                by["when it is read"] += 1
            elif any(found.damage for found in verify([path.parent if path.name == SUMS else path])) or _in_folder(
                path
            ):
                by["by verify"] += 1
            else:
                unnoticed.append(str(path.relative_to(base)))
        finally:
            path.write_bytes(whole)
    return Flips(n, by, unnoticed)


def sealed(base: Path) -> list[tuple[Path, kinds.Kind | None]]:
    """Every file that has a sum, and the lists themselves, each with the kind that reads it."""
    readers = {
        path: kind
        for kind in kinds.KINDS
        if kind.sealed or kind.name == "sums"
        for pattern in kind.files
        for path in (base / kind.place).glob(pattern)
    }
    lists = [path for path in base.rglob(SUMS)]
    found = {at.parent / line.split("  ", 1)[1] for at in lists for line in at.read_text().splitlines()}
    return [(path, readers.get(path)) for path in sorted(found | set(lists)) if path.stat().st_size]


def _noticed(kind: kinds.Kind, base: Path) -> bool:
    with warnings.catch_warnings(record=True) as cautions:
        warnings.simplefilter("always")
        try:
            kind.read(base / kind.place)
        except UserError:
            return True
    return any(issubclass(x.category, Caution) for x in cautions)


def _in_folder(path: Path) -> bool:
    """Whether the run or checkpoint that the file is in is called damaged."""
    checkpoint = next((at for at in path.parents if at.parent.name == "checkpoints"), None)
    return checkpoint is not None and any(found.damage for found in verify([checkpoint]))
