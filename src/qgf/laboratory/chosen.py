"""What a study's tuning chose, and what makes one doubt the choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qgf.laboratory.study import Environment, Study
from qgf.laboratory.tables import Line
from qgf.playing.rows import Row
from qgf.playing.tune import Candidate, at_edge

Choices = Mapping[Environment, tuple[Mapping[str, Candidate], Sequence[Row]]]
"""By environment: what every method that is tuned by playing acts with, and the rows that were played for it."""


def chosen_table(study: Study, choices: Choices) -> list[Line]:
    """One dict per environment and method with more than one candidate: the arm chosen, its successes (or mean return,
    where nothing says what success is) on the tuning episodes, how many candidates there were, and a caution where it
    lies at the edge of the grid, or where tuning saw nothing: all candidates, or all that were left, did alike.
    """
    table = []
    for env, (chosen, env_rows) in choices.items():
        tuning = _scores(env_rows)
        for name, candidate in chosen.items():
            offered = study.methods[name].candidates(env)
            if len(offered) < 2:
                continue
            scores = tuning[candidate]
            known = env_rows[0].measure == "success"
            told = f"{scores.sum():.0f} of {len(scores)}" if known else f"{scores.mean():.1f} over {len(scores)}"
            label = candidate.arm.label + (f", {candidate.train}" if len({x.train for x in offered}) > 1 else "")
            caution = _unseen(tuning, offered) or at_edge(candidate.arm, [x.arm for x in offered])
            table.append(
                dict(env=env.name, method=name, chosen=label, tuning=told, candidates=len(offered))
                | dict(caution=caution)
            )
    return table


def _scores(rows: Iterable[Row]) -> dict[Candidate, np.ndarray]:
    """Success or return of every episode by candidate, over tasks and rungs."""
    found: dict[Candidate, list[np.ndarray]] = {}
    for row in rows:
        found.setdefault(Candidate(row.train, row.arm), []).append(row.scores)
    return {candidate: np.concatenate(parts) for candidate, parts in found.items()}


def _unseen(tuning: Mapping[Candidate, np.ndarray], offered: Sequence[Candidate]) -> str:
    """What to say where the episodes told the candidates not apart."""
    scores = [tuning[x] for x in offered if x in tuning]
    if len({x.mean() for x in scores}) == 1:
        return f"all {len(scores)} did alike: chosen by nearness to the default"
    if all(set(x) <= {0, 1} and x.sum() <= 1 for x in scores):
        return "no candidate solved more than one episode: tuning saw nothing"
    return ""
