"""What should make one doubt a run, a sentence each, from what it logged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

UPDATES = 500
"""Before so many a critic cannot be expected to know anything."""
UNEXPLAINED = 0.05
DISAGREE = 0.1
BEYOND = 0.1
EARLY_BEYOND = 1.0
"""Before `UPDATES` updates: networks that are new know nothing of their range."""
OUTSIDE = 0.1
RISE = 1.25
"""How much a held-out loss rises, from the second quarter of a training to the last, before it is called long."""


def doubts(metrics: Mapping[str, np.ndarray]) -> list[str]:
    """Of a run's metrics.csv, by its last rows, one of each seed; the worst of these speaks. What a run did not log is
    not doubted.
    """
    if "step" not in metrics or not len(metrics["step"]):
        return []
    last = metrics["step"] == metrics["step"].max()
    now = lambda name, worst: float(worst(metrics[name][last])) if name in metrics else None
    notes = [diverged(now("critic/beyond", np.max), int(metrics["step"].max()))]
    agree, explained = now("critic/agreement", np.min), now("critic/explained", np.min)
    early = metrics["step"].max() < UPDATES
    if early:
        return [note for note in notes if note]
    if agree is not None and not agree > DISAGREE:
        notes.append(
            f"the critics disagree about the direction (mean cosine of their gradients {agree:.2f}): guidance is noise"
        )
    if explained is not None and not explained > UNEXPLAINED:
        notes.append(
            f"the critic explains {100 * max(explained, 0):.0f} % of the variance of what it learns: it tells states "
            "and actions apart no better than a constant"
        )
    outside = now("flow/outside", np.max)
    if outside is not None and not outside <= OUTSIDE:
        notes.append(
            f"{100 * outside:.0f} % of the flow's actions leave the range of actions by half of it before they are "
            "clipped: train it longer, or with a smaller --learning-rate"
        )
    return [note for note in (*notes, _rising(metrics)) if note]


def diverged(beyond: float | None, updates: int) -> str:
    """What is to be said of Q that lies so far outside of what it can be (`health`) after so many updates, "" if it
    does not.
    """
    if beyond is None or beyond <= (BEYOND if updates >= UPDATES else EARLY_BEYOND):
        return ""
    return (
        f"Q lies outside of [min r, max r] / (1 - discount) by {100 * beyond:.0f} % of that range: the critic "
        "diverges; try a smaller --learning-rate or --discount"
    )


def _rising(metrics: Mapping[str, np.ndarray]) -> str:
    """Whether the critic's loss rises on held-out data and, by as much, on its own does not."""
    if not {"val/critic", "loss/critic"} <= metrics.keys():
        return ""
    steps = np.unique(metrics["step"])
    if len(steps) < 8:
        return ""
    mean = lambda name, part: np.mean(metrics[name][np.isin(metrics["step"], part)])
    _, *quarters = np.array_split(steps, 4)
    held, own = ([mean(name, part) for part in quarters] for name in ("val/critic", "loss/critic"))
    if not (held[0] < held[1] < held[2] and held[2] > RISE * held[0] and held[2] / held[0] > RISE * own[2] / own[0]):
        return ""
    return (
        f"the critic's held-out loss rises ({held[0]:.3g} to {held[2]:.3g} since {int(quarters[0][0]):,} updates) and "
        "its own does not: it learns the data by heart; stop earlier (qgf export --step) or train on more"
    )
