"""One set of rules for all that has a name."""

from functools import partial
from typing import NamedTuple

import pytest

from qgf.critics import CRITICS
from qgf.errors import UserError
from qgf.method.guidance import ESTIMATORS
from qgf.method.guides import GUIDES, WRAPPERS, find, zero
from qgf.registry import REGISTRIES, Registry, home, summary

pytestmark = pytest.mark.usefixtures("forget")


def one(x):
    """Gives one: whatever x is. And no more."""
    return 1


class Thing(NamedTuple):
    name: str


@pytest.fixture
def registry():
    made = Registry("thing", dict(one=one))
    yield made
    del REGISTRIES["thing"]


def said(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_a_dict_with_a_nearest_name(registry):
    assert (dict(registry), len(registry), "one" in registry, registry["one"]) == (dict(one=one), 1, True, one)
    assert registry.find("one") is one
    assert said(lambda: registry.find("on")) == "unknown thing 'on': did you mean 'one'? (known: one)"
    assert "unknown thing '3'" in said(lambda: registry.find(3))
    with pytest.raises(KeyError):
        registry["on"]


def test_it_is_a_decorator(registry):
    @registry
    def two(x):
        return 2

    @registry("three")
    def other(x):
        return 3

    assert (registry["two"], registry["three"]) == (two, other)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "ä", "a/b", "a\n", 3])
def test_names_are_plain(registry, name):
    assert "letters, digits" in said(lambda: registry.update({name: one}))


def test_a_name_belongs_to_one_thing_but_a_cell_may_run_again(registry):
    assert "thing 'one' is there already, from test_registry; give yours another name" in said(
        lambda: registry.update(one=zero)
    )
    cell = "def mine(x):\n    return {}\n"
    for result in (1, 2):
        space = dict(__name__="notebook")
        exec(cell.format(result), space)
        registry["mine"] = space["mine"]
    assert registry["mine"](0) == 2
    registry["one"] = one


def test_things_that_know_their_name_are_called_by_it():
    named = Registry("thing", named=True)
    named["a"] = Thing("a")
    assert "thing 'b' calls itself 'a'; give it name = 'b'" in said(lambda: named.update(b=Thing("a")))
    assert named(Thing("c")) is named["c"]
    del REGISTRIES["thing"]


def test_summaries_are_how_docstrings_begin(registry):
    assert registry.summaries() == dict(one="Gives one")
    assert summary(lambda x: x) == ""


def test_where_a_thing_comes_from():
    assert home(one) == home(partial(one, 3)) == ("test_registry", "one")
    assert home(Thing("a")) == home(Thing) == ("test_registry", "Thing")


def test_a_guide_has_one_name_whatever_it_is():
    for registry in (ESTIMATORS, GUIDES, WRAPPERS):
        for name in ("qgf", "gradstep", "placebo"):
            assert "is there already" in said(lambda registry=registry, name=name: registry.update({name: one}))
    ESTIMATORS["mine"], WRAPPERS["twice"] = one, lambda estimator: estimator
    assert list(GUIDES)[-1] == "twice" and "mine" in GUIDES and find("twice:mine") is one
    assert find("twice") is ESTIMATORS["qgf"]
    assert find("placebo:mine") is find("placebo:mine")


def test_a_critic_is_a_class():
    assert "and not a class built on qgf.critics.Critic" in said(lambda: CRITICS.update(mine=Thing("mine")))
