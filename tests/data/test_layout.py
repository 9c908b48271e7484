"""Terminals, time limits, masks, gaps, and numbers that are none: what a file's rows mean."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qgf.data.dataset import Dataset
from qgf.data.layout import Hazard
from qgf.environments.datasets import load_dataset
from qgf.errors import Caution, UserError

E, L, H = 3, 20, 5
"""Episodes, steps of each, and of a chunk."""
END = np.arange(E * L) % L == L - 1
NEVER = np.zeros(E * L, bool)
LARGE = "numbers too large for float32"


def steps(**changes):
    """Episode e at step t is in state 100 e + t; every reward is 1."""
    states = np.tile(np.arange(L + 1.0), (E, 1)) + 100 * np.arange(E)[:, None]
    rng = np.random.default_rng(0)
    made = dict(observations=states[:, :-1].reshape(-1, 1), next_observations=states[:, 1:].reshape(-1, 1))
    made |= dict(actions=rng.uniform(-1, 1, (E * L, 1)), rewards=np.ones(E * L)) | changes
    return {key: x for key, x in made.items() if x is not None}


def chunks(dataset):
    """How many episodes, chunks, chunks that go on into another episode, and chunks that end the task."""
    starts = dataset.starts(H)
    bootstrap = dataset.chunk_returns(starts, H, 0.99)[1]
    jumps = np.abs(dataset.observations[starts + H] - dataset.observations[starts] - H).ravel() > 0.5
    return dataset.ends.sum(), len(starts), (jumps & (bootstrap > 0)).sum(), (bootstrap == 0).sum()


@pytest.mark.parametrize(
    "keys, found",
    [
        (dict(terminals=NEVER, timeouts=END), (E, E * 16, 0, 0)),
        (dict(terminals=NEVER, truncations=END), (E, E * 16, 0, 0)),
        (dict(terminals=END, timeouts=NEVER), (E, E * 16, 0, E)),
        (dict(terminals=END), (E, E * 16, 0, E)),
        (dict(terminals=END, masks=np.ones(E * L)), (E, E * 16, 0, 0)),  # said by the masks: only time limits
        (dict(terminals=NEVER), (E, E * 16, 0, 0)),  # cut where the next observation is not the next state
        (dict(terminals=END, timeouts=NEVER, next_observations=None), (E, E * 16, 0, E)),
        (dict(terminals=NEVER, timeouts=END, next_observations=None), (E, E * 15, 0, 0)),  # the last step has no end
    ],
)
def test_ends_time_limits_and_gaps(keys, found):
    assert chunks(Dataset.from_arrays(steps(**keys), "x")) == found


def test_what_was_decided_is_said():
    notes = lambda **keys: Dataset.from_arrays(steps(**keys), "x").notes
    agree = "next_observations agree with the next rows"
    assert notes(terminals=END) == (agree, "no masks: `terminals` are where the task ends")
    assert notes(terminals=END, masks=1.0 - END) == (agree,)
    assert notes(terminals=NEVER)[0] == (
        "cut after 2 rows whose next_observations are not the next state (first: row 19)"
    )
    compact = steps(terminals=END, next_observations=None)
    assert Dataset.from_arrays(compact, "x").notes == ()
    lost = Dataset.from_arrays(compact | dict(rewards=END.astype(float)), "x").notes
    assert lost == ("the only rewards that are not 0 stand in last rows, which hold final states: they are not used",)
    kept = Dataset.from_arrays(steps(terminals=END, rewards=END.astype(float)), "x")
    assert kept.chunk_returns(kept.starts(H), H, 0.99)[0].max() == pytest.approx(0.99**4)


def test_a_file_of_both_layouts_gives_the_same_rows():
    """Compact with a masked last step, or transitions whose terminals end the task."""
    raw = steps(terminals=END)
    insert = lambda x, value: np.insert(x, np.flatnonzero(END) + 1, value, axis=0)
    states = insert(raw["observations"], raw["next_observations"][END])
    compact = dict(observations=states, actions=insert(raw["actions"], 0), rewards=insert(raw["rewards"], 0))
    compact |= dict(masks=insert(1.0 - END, 1), terminals=np.insert(NEVER, np.flatnonzero(END) + 1, True))
    found, wanted = Dataset.from_arrays(raw, "x"), Dataset.from_arrays(compact, "x")
    for field in ("observations", "actions", "rewards", "masks", "ends"):
        assert_array_equal(getattr(found, field), getattr(wanted, field))


def test_masks_that_are_dones_are_pointed_at():
    said = "57 of 60 steps say that the task has ended (mask 0): a mask is 1 until then; are they dones?"
    assert Dataset.from_arrays(steps(terminals=END, masks=1.0 * END), "x").notes[-1] == said
    few = Dataset.from_arrays(steps(terminals=END, masks=1.0 - END), "x").notes
    assert not [note for note in few if isinstance(note, Hazard)]


@pytest.mark.parametrize(
    "keys, said",
    [
        (
            dict(terminals=END, masks=np.where(END, 0, 0.99)),
            "masks of 57 rows are neither 0 nor 1 (first: row 0, 0.99): they say whether the task goes on, and a "
            "discount is given as --discount",
        ),
        (
            dict(terminals=END, timeouts=NEVER, masks=np.ones(E * L)),
            "`terminals` end the task in 3 rows whose masks say that it goes on (first: row 19): the masks are taken",
        ),
        (
            dict(terminals=END, next_observations=np.ones((E * L, 1))),
            "cut after 56 rows whose next_observations are not the next state (first: row 1), most of all: are rows "
            "shuffled, or one of the two scaled?",
        ),
    ],
)
def test_marks_that_contradict_one_another_are_pointed_at(keys, said):
    assert [note for note in Dataset.from_arrays(steps(**keys), "x").notes if isinstance(note, Hazard)] == [said]


@pytest.mark.parametrize("kept, then", [(np.float32, np.float64), (np.float64, np.float16), (np.float16, np.float64)])
def test_a_next_state_that_was_rounded_is_the_next_state(kept, then):
    states = np.tile(np.linspace(0, 1, L + 1), (E, 1)) + 100 * np.arange(E)[:, None]
    state, following = (x.reshape(-1, 1) for x in (states[:, :-1].astype(kept), states[:, 1:].astype(then)))
    found = Dataset.from_arrays(steps(terminals=NEVER, observations=state, next_observations=following), "x")
    assert found.ends.sum() == E


def test_gymnasiums_names_are_read():
    raw = steps()
    assert chunks(Dataset.from_arrays(raw | dict(terminated=END, truncated=NEVER), "x")) == (E, E * 16, 0, E)
    assert chunks(Dataset.from_arrays(raw | dict(terminated=NEVER, truncated=END), "x")) == (E, E * 16, 0, 0)


def test_data_without_a_step_are_refused():
    compact = steps(next_observations=None, terminals=~NEVER)
    for rows in (compact, {key: x[:1] & False if key == "terminals" else x[:1] for key, x in compact.items()}):
        with pytest.raises(UserError, match="x: every row is the last of an episode"):
            Dataset.from_arrays(rows, "x")


def test_a_file_says_what_is_in_it_where_something_is_missing(tmp_path):
    np.savez(tmp_path / "mine.npz", **steps(dones=END))
    with pytest.raises(UserError, match=r"missing key 'terminals' \(found: .*, dones\); of what is done, `terminals`"):
        load_dataset(tmp_path / "mine.npz")


def test_a_column_that_never_moves_is_no_clock():
    still = steps(terminals=END, next_observations=None, observations=np.full((E * L, 1), 0.3))
    found = Dataset.from_arrays(still, "x")
    assert found.observations.dtype == np.float32 and found.notes == ()


def test_a_clock_keeps_its_differences_and_what_acting_cannot_do_is_said():
    clock = 1.7e9 + 0.05 * np.arange(E * L)[:, None]
    found = Dataset.from_arrays(steps(terminals=END, next_observations=None, observations=clock), "x")
    assert len(np.unique(found.observations)) == E * L and isinstance(found.notes[-1], Hazard)
    assert "observation 0: near 1.7e+09 float32's numbers are 1.3e+02 apart" in found.notes[-1]
    mean, std = found.normaliser()
    assert len(np.unique(((found.observations - mean) / std).astype(np.float32))) == E * L
    short = Dataset.from_arrays(steps(terminals=END, next_observations=None, observations=clock - 1.7e9), "x")
    assert short.observations.dtype == np.float32 and short.notes == ()


def test_who_loads_the_data_sees_what_is_dangerous(tmp_path):
    np.savez(tmp_path / "mine.npz", **steps(terminals=END, next_observations=None, rewards=END.astype(float)))
    with pytest.warns(Caution, match=r"mine.npz: the only rewards that are not 0 stand in last rows"):
        load_dataset(tmp_path / "mine.npz")


def spoilt(key, row, value, dtype=float):
    x = steps(terminals=END, masks=np.ones(E * L))[key].astype(dtype)
    x[row] = value
    return {key: x}


@pytest.mark.parametrize(
    "change, said",
    [
        (
            spoilt("observations", 7, 1e39),
            "x: 'observations' holds numbers too large for float32 in 1 rows, the first is row 7",
        ),
        (spoilt("rewards", 7, 1e39), "x: 'rewards' holds numbers too large for float32 in 1 rows, the first is row 7"),
        (
            spoilt("next_observations", 8, np.nan),
            "x: 'next_observations' holds NaN or Inf in 1 rows, the first is row 8",
        ),
        (spoilt("masks", 3, 5), "x: 'masks' leaves [0, 1] in 1 rows, the first is row 3 (5); a mask is 0 where"),
        (spoilt("masks", 3, -1), "x: 'masks' leaves [0, 1] in 1 rows, the first is row 3 (-1)"),
        (dict(terminals=np.arange(E * L)), "x: 'terminals' must be 0 or 1, row 2 is 2"),
        (dict(timeouts=np.full(E * L, 0.5)), "x: 'timeouts' must be 0 or 1, row 0 is 0.5"),
        (dict(observations=np.ones((E * L, 1), complex)), "x: 'observations' has type complex128, expected numbers"),
    ],
)
def test_numbers_that_are_none_are_refused(change, said):
    with pytest.raises(UserError) as caught:
        Dataset.from_arrays(steps(terminals=END, masks=np.ones(E * L)) | change, "x")
    assert str(caught.value).startswith(said)


def test_what_last_rows_hold_beside_the_state_may_be_no_number():
    compact = steps(terminals=END, next_observations=None, masks=np.ones(E * L))
    for key in ("rewards", "actions", "masks"):
        compact[key] = compact[key].copy()
        compact[key][END] = np.nan
    found = Dataset.from_arrays(compact, "x")
    assert all(np.isfinite(x).all() for x in (found.actions, found.rewards, found.masks))
    with pytest.raises(UserError, match="'rewards' holds NaN or Inf in 1 rows, the first is row 4"):
        Dataset.from_arrays(compact | spoilt("rewards", 4, np.nan), "x")
