"""The one way in which estimators, schedules, methods, critics, networks, readers, families and loggers get a name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from types import ModuleType
from typing import Any, TypeVar, overload

from qgf.errors import UserError, unknown
from qgf.plugins import installed

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
REGISTRIES: dict[str, Registry] = {}
"""By the kind of thing; those whose room is imported."""


class Registry(MutableMapping[str, T]):
    """Things of one kind by name; a dict, with the same rules for every kind.

    `METHODS["mine"] = Mine`, `@METHODS` (the thing's own name) and `@METHODS("mine")` add one, in a file given with
    `--use`, in a package that has the entry point `qgf.plugins`, or anywhere in Python. What installed packages add is
    there when a name is looked for that is not known, or when all are listed.

    A name is letters, digits, "_", "-" and ".", and `more` where others give the names, and belongs to one thing, but
    the same definition may be run again (a cell of a notebook). `named` things know their name, as `thing.name`.
    `check(name, thing)` raises UserError for things that are none of the kind.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, T] = {},
        *,
        named: bool = False,
        check: Callable[[str, T], None] = lambda name, entry: None,
        more: str = "",
    ):
        self.kind, self.named, self.check, self.more = kind, named, check, more
        self._entries: dict[str, T] = {}
        self.update(entries)
        REGISTRIES[kind] = self

    def find(self, name: object) -> T:
        """The thing of a name. Raises UserError with the nearest name if there is none."""
        if isinstance(name, str) and name in self:
            return self[name]
        raise unknown(self.kind, str(name), self)

    @property
    def own(self) -> Mapping[str, T]:
        """What is here by now, without what installed packages may add."""
        return self._entries

    def summaries(self) -> dict[str, str]:
        """What each name means, the beginning of its docstring."""
        return {name: summary(entry) for name, entry in self.items()}

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            installed()
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            installed()
        return name in self._entries

    def __setitem__(self, name: str, entry: T) -> None:
        what = f"{self.kind} {name!r}"
        plain = isinstance(name, str) and name.translate({ord(letter): "-" for letter in self.more})
        if not plain or not NAME.fullmatch(plain):
            raise UserError(f"{what}: a name is made of letters, digits, '_', '-' and '.'")
        if self.named and (own := getattr(entry, "name", None)) != name:  # what runs are stored under, and found again
            raise UserError(f"{what} calls itself {own!r}; give it name = {name!r}")
        known = self._entries.get(name, entry)
        if known is not entry and home(known) != home(entry):
            raise UserError(f"{what} is there already, from {home(known)[0]}; give yours another name")
        self.check(name, entry)
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        installed()
        return iter(list(self._entries))

    def __len__(self) -> int:
        installed()
        return len(self._entries)

    @overload
    def __call__(self, given: str) -> Callable[[T], T]: ...
    @overload
    def __call__(self, given: T) -> T: ...
    def __call__(self, given: Any) -> Any:
        """As a decorator: `@METHODS`, or `@METHODS("name")`."""
        if isinstance(given, str):
            return partial(self._added, given)
        return self._added(given.name if self.named else given.__name__, given)

    def _added(self, name: str, entry: T) -> T:
        self[name] = entry
        return entry

    def __repr__(self) -> str:
        return f"<{self.kind}: {', '.join(self._entries)}>"


def summary(entry: object) -> str:
    """The beginning of a thing's docstring, to its first full stop or colon, on one line."""
    text = " ".join((inspect.getdoc(entry) or "").split())
    return re.split(r": |\. (?=[A-Z])", text, maxsplit=1)[0].rstrip(".")


def home(entry: Any) -> tuple[str, str]:
    """Where a thing is defined: the module and qualified name of a function, a class, a module or an object's class."""
    if isinstance(entry, ModuleType):
        return entry.__name__, ""
    while isinstance(entry, partial):
        entry = entry.func
    place = entry if hasattr(entry, "__qualname__") else type(entry)
    return place.__module__, place.__qualname__
