"""What the user is told."""

import pytest

from qgf.errors import UserError, unknown

KNOWN = ("none", "ood", "jacobian", "qgf")


@pytest.mark.parametrize("name, nearest", [("qfg", "qgf"), ("jacobean", "jacobian"), ("nome", "none"), ("oood", "ood")])
def test_unknown_names_the_nearest_and_all_that_are_known(name, nearest):
    error = unknown("guide", name, KNOWN)
    assert isinstance(error, UserError)
    assert str(error) == f"unknown guide {name!r}: did you mean {nearest!r}? (known: none, ood, jacobian, qgf)"


def test_nothing_near_gives_no_hint():
    assert str(unknown("guide", "zzzzzz", iter(KNOWN))) == "unknown guide 'zzzzzz' (known: none, ood, jacobian, qgf)"


def test_an_error_may_be_raised_again_from_itself():
    """As gymnasium's vector environments do with what a worker raised."""
    assert str(UserError(UserError("x: no\n such file"))) == "x: no such file"
