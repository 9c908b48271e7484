"""The order in which chunks pass through a window: all of them, once an epoch, wherever one begins to look."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from qgf.data.order import Order


def order(lengths, steps, **more):
    lengths = np.array(lengths)
    return Order(lengths, np.cumsum(lengths + 1) - lengths - 1, steps, **more)


def chunks(order, begin, end):
    """The rows at which these chunks start, by the pieces that they are in."""
    first, rows = order.pieces(begin, end)
    return np.concatenate([np.arange(f, f + n - order.steps) for f, n in zip(first, rows, strict=True)])


def all_chunks(lengths, steps):
    first = np.cumsum(np.add(lengths, 1)) - lengths - 1
    return np.concatenate([np.arange(f, f + n - steps + 1) for f, n in zip(first, lengths, strict=True) if n >= steps])


lists = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(lists, st.integers(1, 6), st.integers(0, 3), st.data())
def test_every_chunk_passes_once_an_epoch_however_the_order_is_cut(lengths, steps, seed, data):
    if max(lengths) < steps:
        lengths.append(steps)
    whole = order(lengths, steps, seed=seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, 2 * whole.total - 1), max_size=5)))
    ends = [0, *cuts, 2 * whole.total]
    passed = np.concatenate([chunks(whole, *ends[i : i + 2]) for i in range(len(ends) - 1)])
    assert_array_equal(passed, chunks(order(lengths, steps, seed=seed), 0, 2 * whole.total))
    for epoch in np.split(passed, 2):
        assert_array_equal(np.sort(epoch), all_chunks(lengths, steps))
    for begin, end in pairwise(ends):
        first, rows = whole.pieces(begin, end)
        assert rows.sum() == end - begin + steps * len(first)
        begin, n = begin // (end - begin) * (end - begin), end - begin
        assert whole.pieces(begin, begin + n)[1].sum() <= whole.rows(n)


def test_hosts_share_the_episodes_and_seeds_order_them():
    lengths = [9, 4, 7, 7, 12, 2, 8]
    shares = [order(lengths, 3, host=host, hosts=2) for host in range(2)]
    passed = [chunks(share, 0, share.total) for share in shares]
    assert_array_equal(np.sort(np.concatenate(passed)), all_chunks(lengths, 3))
    one, other = (order(lengths, 3, seed=seed) for seed in (0, 1))
    assert (chunks(one, 0, one.total) != chunks(other, 0, other.total)).any()
    assert (chunks(one, 0, one.total) != chunks(one, one.total, 2 * one.total)).any()  # another epoch


def test_episodes_of_one_length_stay_whole():
    same = order([10] * 6, 3)
    first, rows = same.pieces(16, 32)
    assert_array_equal(rows, 11)
    assert_array_equal(first % 11, 0)
    assert same.rows(16) == 2 * 11


def test_some_chunks_are_drawn_from_all_evenly():
    whole = order([40, 1, 3, 56], 3)
    first, rows = whole.some(20_000)
    counts = np.unique(first, return_counts=True)[1]
    assert_array_equal(np.unique(first), all_chunks([40, 1, 3, 56], 3))
    assert (rows == 4).all() and counts == pytest.approx(20_000 / whole.total, rel=0.4)
