"""What the arrays of a file may be called, and which names say something that is not read."""

from __future__ import annotations

import numpy as np

from qgf.errors import UserError

SYNONYMS = dict(
    obs="observations", observation="observations", next_obs="next_observations", next_observation="next_observations",
    action="actions", reward="rewards", mask="masks", terminal="terminals", terminated="terminals", timeout="timeouts",
    truncated="timeouts", truncation="timeouts", truncations="timeouts", is_success="success",
)  # fmt: skip

ENDS = "`terminals` say where the task ends and `timeouts` where time ran out"
MASKS = "a 0 where the task has ended is one of `masks`, and a discount is given as --discount"
UNREAD = dict(done=ENDS, dones=ENDS, discount=MASKS, discounts=MASKS)
"""What means different things in different places, and what to do about it."""


def named(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Arrays under their own names. Raises UserError if one is there under two, which differ."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for key, x in arrays.items():
        own = SYNONYMS.get(key, key)
        if own in found and not np.array_equal(found[own][1], x):
            raise UserError(f"{name}: {found[own][0]!r} and {key!r} mean the same and differ: leave one out")
        found[own] = key, x
    return {own: x for own, (_, x) in found.items()}


def unread(arrays: dict[str, np.ndarray]) -> list[str]:
    """What arrays say that is not read, a sentence each: nothing where it is what others say that are."""
    ends = np.any([np.asarray(arrays[key]) != 0 for key in ("terminals", "timeouts") if key in arrays], axis=0)
    known = lambda key: (
        "masks" in arrays if UNREAD[key] is MASKS else np.array_equal(np.asarray(arrays[key]) != 0, ends)
    )
    return [f"{key!r} is not read: {UNREAD[key]}" for key in UNREAD if key in arrays and not known(key)]
