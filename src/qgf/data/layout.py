"""Raw arrays, as files hold them, checked and laid out as a `Dataset`'s rows.

A file has one row per step, N rows, in one of three layouts, told apart by its keys:

  compact        (OGBench)            `terminals` marks each episode's last row, which only holds the final state
  transitions    `next_observations`  every row is a step; `terminals` and `timeouts` mark an episode's last
  D4RL           `timeouts`           every row is a step; final states were not recorded

In the last two `terminals` says that the task has ended: without `masks` a mask is 1 - terminal. A state that is not
the `next_observations` of the row before begins another episode: there the data have a gap.

Pictures are arrays `images/CAMERA` [N, H, W, C] of uint8 beside the observations or alone, after the step
`next_images/CAMERA`; in the place of `observations` they are those of a camera called "image".
"""

from __future__ import annotations

import numpy as np

from qgf.data.labels import Rewarded, of_episodes, per_episode, reached, rewarded, told
from qgf.data.names import named, unread
from qgf.data.pictures import IMAGES, after_the_step, checked
from qgf.data.pictures import named as pictured
from qgf.errors import UserError

REQUIRED = ("observations", "actions", "terminals")
RANKS = dict(observations=2, next_observations=2, actions=2, terminals=1, timeouts=1, rewards=1, masks=1, success=1)
MARKS = ("terminals", "timeouts", "success")
"""Of these a row says yes or no."""
MADE_OF = "obs_keys"
"""The names of the parts that observations were made of, in their order, where a reader knows them."""
REFERENCES = ("ref_min_score", "ref_max_score")
"""The returns that a normalised score calls 0 and 100, as Minari and D4RL name them."""

Arrays = dict[str, np.ndarray]

COARSE = 0.01
"""In parts of a deviation, how far apart float32's numbers may be."""


class Hazard(str):
    """A note that whoever loads the data should see, and not only who asks for it."""


UNUSED = dict(actions=0, rewards=0, masks=1)
"""What stands in a last row beside the final state; nothing reads it."""


def lay_out(
    arrays: Arrays, name: str, labels: np.ndarray | None = None, how: Rewarded | None = None
) -> tuple[Arrays, tuple[str, ...]]:
    """Rows with a last one of each episode for its final state: observations, actions, `ends`, and if known rewards and
    masks; and what was decided on the way, a sentence each. `labels` [E] say of episodes whether they succeed: in place
    of rewards and masks, as the column `success` does where there are none, or where `how` asks for it (`rewarded`).

    Where no final state was recorded, an episode whose task ended repeats its last state, whose value nothing asks for,
    and one that was cut off gives up its last step, whose end is not known. Raises UserError naming `name`, key, shape
    and row of the first fault.
    """
    arrays = pictured(named(arrays, name))
    column = np.shape(arrays["terminals"]) if "terminals" in arrays else None
    if labels is None and "success" in arrays and np.shape(arrays["success"]) != column:
        labels = per_episode(arrays["success"], name)
    if labels is not None:
        arrays = {key: x for key, x in arrays.items() if key not in ("rewards", "masks", "success")}
    rows = {key: _typed(arrays, key, rank, name) for key, rank in RANKS.items() if key in arrays or key in REQUIRED}
    pictures = checked(arrays, len(rows["observations"]), name)
    terminals, timeouts = rows.pop("terminals"), rows.pop("timeouts", None)
    following = rows.pop("next_observations", None)
    if not len(terminals):
        raise UserError(f"{name}: 'observations' is empty")
    if following is not None and following.shape != rows["observations"].shape:
        shapes = list(following.shape), list(rows["observations"].shape)
        raise UserError(f"{name}: 'next_observations' has shape {shapes[0]}, expected {shapes[1]} like 'observations'")
    rows |= {key: x for key, x in pictures.items() if key.startswith(IMAGES)}
    then = None if following is None else dict(observations=following) | after_the_step(pictures, name)
    notes: list[str] = [Hazard(said) for said in unread(arrays)]
    compact = following is None and timeouts is None
    ends = terminals | (False if timeouts is None else timeouts)
    if then is not None:
        ends = ends | gaps(rows, then, ends, notes)
        if not any("next_observations" in note for note in notes):
            notes.append("next_observations agree with the next rows")
    ends[-1] = True
    if compact and ends.all():
        raise UserError(
            f"{name}: every row is the last of an episode ('terminals'), which holds its final state: no step"
        )
    if (made := _made(rows, ends, compact, labels, how, name)) is not None:
        rows["rewards"], rows["masks"], note = made
        terminals = ends & (terminals if compact else rows["masks"] == 0)
        notes.append(note)
    if not compact and "masks" not in rows:
        rows["masks"] = 1.0 - terminals
        notes.append("no masks: `terminals` are where the task ends")
    # Rows that only hold a final state, and rows after which one is to come.
    final = ends if compact else ends & ~terminals if following is None else np.zeros_like(ends)
    rows = {key: _blank(x, final, UNUSED[key]) if key in UNUSED else x for key, x in rows.items()}
    numbers = {key: x for key, x in rows.items() if key not in pictures}
    _check_numbers(numbers | ({} if following is None else dict(next_observations=following)), name)
    if "masks" in rows:
        notes += _odd_masks(rows["masks"], ~final, None if timeouts is None else terminals)
    if compact and "rewards" in rows and rows["rewards"][ends].any() and not rows["rewards"][~ends].any():
        lost = "the only rewards that are not 0 stand in last rows, which hold final states: they are not used"
        notes.append(Hazard(lost))
    if not compact:  # whose rows are laid out so already
        last = np.flatnonzero(ends & ~final)
        after = rows | (then or {})
        rows = {key: np.insert(x, last + 1, UNUSED.get(key, after[key][last]), axis=0) for key, x in rows.items()}
        final = np.insert(final, last + 1, True)
    kinds: dict[str, type] = dict.fromkeys(pictures, np.uint8) | dict(observations=_kind(rows["observations"], notes))
    kept: Arrays = {key: np.ascontiguousarray(x, kinds.get(key, np.float32)) for key, x in rows.items()}
    return kept | dict(ends=final), tuple(notes)


def _kind(observations: np.ndarray, notes: list[str]) -> type:
    """The type that keeps observations apart: float32, but for a column (a clock) too large for its deviation."""
    if observations.dtype.itemsize <= 4:
        return np.float32
    most = np.abs(observations).max(axis=0).astype(np.float32)
    deviation = observations.std(axis=0, dtype=np.float64)
    moves = observations.max(axis=0) > observations.min(axis=0)
    coarse = np.flatnonzero((np.spacing(most) > COARSE * deviation) & moves)
    if not coarse.size:
        return np.float32
    i = coarse[0]
    notes.append(
        Hazard(
            f"observation {', '.join(map(str, coarse))}: near {most[i]:.3g} float32's numbers are "
            f"{np.spacing(most[i]):.2g} apart and these deviate by {deviation[i]:.2g}; training keeps them apart, a "
            "policy that acts in float32 cannot: leave it out or subtract where it starts"
        )
    )
    return np.float64


def _made(
    rows: Arrays, ends: np.ndarray, compact: bool, labels: np.ndarray | None, how: Rewarded | None, name: str
) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Rewards and masks [N] where they are to follow from success, and a note that says so; else None."""
    success = rows.pop("success", None)
    last = np.flatnonzero(ends)
    if compact:
        last = np.maximum(last - 1, 0)
    if labels is not None:
        success = of_episodes(labels, ends, last, name)
    elif how is None and (success is None or "rewards" in rows):
        return None
    elif success is not None:
        success = reached(success, ends, last)
    elif "rewards" in rows:
        success = told(rows["rewards"], ~ends if compact else np.ones_like(ends), name)
    else:
        raise UserError(
            f"{name}: nothing says which steps or episodes succeed: no 'success', no rewards; give --labels"
        )
    how = how or "until-success"
    rewards, masks, others = rewarded(success, last, how)
    solved = len(np.unique((np.cumsum(ends) - ends)[success]))
    first = "rewards -1 until success" if how == "until-success" else "rewards 1 at success, else 0"
    return rewards, masks, f"{first}: {solved} of {ends.sum()} episodes succeed, the others {others}"


def _odd_masks(masks: np.ndarray, steps: np.ndarray, over: np.ndarray | None) -> list[Hazard]:
    """What is odd about the masks [N] of rows that are `steps`; `over` are those that end the task by another mark."""
    said = []
    ended = int((masks[steps] == 0).sum())
    if ended > (n := int(steps.sum())) / 2:
        said.append(
            f"{ended:,} of {n:,} steps say that the task has ended (mask 0): a mask is 1 until then; are they dones?"
        )
    parts = np.flatnonzero(steps & (masks > 1e-5) & (masks < 1 - 1e-5))
    if parts.size:
        said.append(
            f"masks of {parts.size:,} rows are neither 0 nor 1 (first: row {parts[0]}, {masks[parts[0]]:.4g}): they "
            "say whether the task goes on, and a discount is given as --discount"
        )
    against = np.flatnonzero(steps & over & (masks > 0.5)) if over is not None else np.zeros(0, int)
    if against.size:
        said.append(
            f"`terminals` end the task in {against.size:,} rows whose masks say that it goes on (first: row "
            f"{against[0]}): the masks are taken"
        )
    return [Hazard(line) for line in said]


def _differ(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which rows of x and y [N, ...] are not the same, [N]; numbers as float32, or as coarse as the coarser is kept."""
    kind = (
        np.uint8 if x.dtype == y.dtype == np.uint8 else np.float16 if np.float16 in (x.dtype, y.dtype) else np.float32
    )
    with np.errstate(over="ignore"):
        return (x.astype(kind, copy=False) != y.astype(kind, copy=False)).any(axis=tuple(range(1, x.ndim)))


def gaps(rows: Arrays, following: Arrays, ends: np.ndarray, notes: list[str]) -> np.ndarray:
    """Rows, not ends already, whose next observation or picture is not the next row's, [N]."""
    differ = [_differ(x[:-1], rows[key][1:]) for key, x in following.items()]
    gaps = np.append(np.any(differ, axis=0), False) & ~ends
    if gaps.any():
        first = np.flatnonzero(gaps)[0]
        said = f"cut after {gaps.sum():,} rows whose next_observations are not the next state (first: row {first})"
        most = gaps.sum() > (~ends[:-1]).sum() / 2
        notes.append(Hazard(f"{said}, most of all: are rows shuffled, or one of the two scaled?") if most else said)
    return gaps


def _blank(x: np.ndarray, final: np.ndarray, value: float) -> np.ndarray:
    """x where it says something: of rows that hold a final state, what is no number is `value`."""
    bad = final & ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not bad.any():
        return x
    x = x.copy()
    x[bad] = value
    return x


def _typed(arrays: Arrays, key: str, rank: int, name: str) -> np.ndarray:
    if key not in arrays:
        raise UserError(f"{name}: missing key {key!r} (found: {', '.join(arrays) or 'nothing'})")
    n = len(arrays["observations"]) if np.ndim(arrays["observations"]) else 0
    x = np.asarray(arrays[key])
    empty = 0 in x.shape[1:] and not (key.endswith("observations") and any(k.startswith(IMAGES) for k in arrays))
    if x.ndim != rank or len(x) != n or empty:
        wanted = f"[{n}]" if rank == 1 else f"[{n}, *]"
        raise UserError(f"{name}: {key!r} has shape {list(x.shape)}, expected {wanted}")
    if not (np.issubdtype(x.dtype, np.floating) or np.issubdtype(x.dtype, np.integer) or x.dtype == bool):
        raise UserError(f"{name}: {key!r} has type {x.dtype}, expected numbers")
    if key not in MARKS:
        return x
    odd = np.flatnonzero((x != 0) & (x != 1))
    if odd.size:
        raise UserError(f"{name}: {key!r} must be 0 or 1, row {odd[0]} is {x[odd[0]]}")
    return x.astype(bool)


def _check_numbers(rows: Arrays, name: str) -> None:
    """Raises UserError for what is not finite as float32, and for masks out of range."""
    for key, x in rows.items():
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1).astype(np.float32, copy=False)).all(axis=1))
        if bad.size:
            what = "numbers too large for float32" if np.isfinite(x[bad]).all() else "NaN or Inf"
            raise UserError(f"{name}: {key!r} holds {what} in {len(bad)} rows, the first is row {bad[0]}")
    if "masks" in rows:
        x = rows["masks"]
        outside = np.flatnonzero((x < -1e-5) | (x > 1 + 1e-5))
        if outside.size:
            where = f"in {outside.size} rows, the first is row {outside[0]} ({x[outside[0]]:.3g})"
            raise UserError(f"{name}: 'masks' leaves [0, 1] {where}; a mask is 0 where the task has ended, else 1")
