"""How much of the data is held on the device: all, or a window that moves through them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import jax

from qgf.data import Dataset
from qgf.data.order import Order
from qgf.data.stored import Stored
from qgf.errors import UserError
from qgf.files.room import free_memory, shown
from qgf.training.config import TrainConfig
from qgf.training.device import Data
from qgf.training.window import AHEAD, WHOLE, Plan

SHARE = 4
"""Of what is free the part that data on the disk may take where nothing is said: a quarter."""
PARTS = 16
"""A block is at most so small a part of what may be taken."""
LEAST = 4
"""Chunks of a block."""
UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def read_size(text: str | int | float, what: str = "--memory") -> int:
    """Bytes of "2GB", "500 MB", "1.5e9". Raises UserError for anything else."""
    found = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*([a-z]*)", str(text).strip(), re.IGNORECASE)
    unit = UNITS.get(found[2].upper()) if found else None
    try:
        n = int(float(found[1]) * unit) if found and unit else 0
    except (ValueError, OverflowError):
        n = 0
    if n < 1:
        raise UserError(f"{what} {text}: is no amount of memory such as 2GB or 500MB")
    return n


def free() -> int:
    """Bytes that the device could still take."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return free_memory()


@dataclass(frozen=True)
class Need:
    """Bytes that data need on the device, by a few chunks that are there."""

    row: float
    chunk: float

    @staticmethod
    def of(chunks: Data, rows: int) -> Need:
        each = {
            n: sum(x.nbytes for x in jax.tree.leaves(chunks) if len(x) == n) / n for n in (rows, len(chunks.starts))
        }
        return Need(each[rows], each[len(chunks.starts)])

    def __call__(self, rows: int, chunks: int) -> int:
        return int(rows * self.row + chunks * self.chunk)


def chosen(
    dataset: Dataset | Stored, need: Need, order: Order, config: TrainConfig, memory: int | None
) -> tuple[Plan, str]:
    """What to hold in `memory` bytes, and a line that says so; by default of data on the disk what fits into a quarter
    of what is free, and of data that are in memory already all. Raises UserError if that is too little for anything.
    """
    on_disk = isinstance(dataset, Stored)
    if memory is None and not on_disk:
        return WHOLE, ""
    asked, most = "--memory" if memory else "a quarter of what is free", memory or free() // SHARE
    everything = need_of_all(dataset, need, order)
    if everything <= most:
        return WHOLE, f"all {order.total:,} chunks are held, in {shown(everything)} ({asked}: {shown(most)})"
    block = min(config.log_every * config.batch_size, int(most / PARTS / need(1, 1)))
    while block > LEAST and need(order.rows(block), block) > most / PARTS:
        block = block * 3 // 4
    longest = int(order.chunks.max())
    if longest == order.chunks.min() and block > longest:
        block -= block % longest  # so that episodes stay whole
    if block < LEAST:
        least = PARTS * need(order.rows(LEAST), LEAST)
        raise UserError(
            f"{dataset.name}: {shown(most)} ({asked}) are too little for a window of its episodes, which needs "
            f"{shown(least)}; give more --memory"
        )
    size = need(order.rows(block), block)
    blocks = max(2, min(int(most / size) - 2 * AHEAD, order.total // block))
    plan = Plan(block, blocks, config.log_every)
    return plan, (
        f"a window of {plan.block * plan.blocks:,} of {order.total:,} chunks is held, in {shown(size * blocks)} "
        f"({asked}: {shown(most)}); every {plan.every} updates {plan.block:,} of them are replaced"
    )


def need_of_all(dataset: Dataset | Stored, need: Need, order: Order) -> int:
    """Bytes that are taken where all of a dataset is held, more than it takes now."""
    rows = len(dataset.first) + dataset.transitions
    return need(rows, order.total) + (dataset.nbytes if isinstance(dataset, Stored) else 0)


def check_whole(dataset: Dataset | Stored, need: Need, order: Order) -> None:
    """Raises UserError if a run that held all of its data cannot do so here."""
    if isinstance(dataset, Stored) and (most := need_of_all(dataset, need, order)) > free():
        raise UserError(
            f"{dataset.name}: the run holds all of its data, which needs {shown(most)}, {shown(free())} are free; "
            "free some, or use another --out or --overwrite"
        )
