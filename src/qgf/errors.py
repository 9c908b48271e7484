"""The one exception that the command line turns into a single line and exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MANY, SHOWN = 25, 5
"""From so many names on, so many of them are named."""


class UserError(Exception):
    """Something the user gave is wrong; the message says what, where, and what to do: one line, whatever it quotes."""

    def __init__(self, message: object):
        super().__init__(" ".join(line.strip() for line in str(message).splitlines() if line.strip()))


class Caution(UserWarning):
    """Something that a user should know, and that stops nothing; the command line prints it on a line of its own."""


class Unknown(UserError):
    """There is nothing of that name."""


def unknown(kind: str, name: str, known: Iterable[str]) -> Unknown:
    """`unknown guide 'qfg': did you mean 'qgf'? (known: ...)`; of many names those that come near."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.4)
    hint = f": did you mean {close[0]!r}?" if close else ""
    shown = known if len(known) <= MANY else [*(close or known[:SHOWN]), f"{len(known)} names in all"]
    return Unknown(f"unknown {kind} {name!r}{hint} (known: {', '.join(shown)})")


def at_least_one(options: object, *names: str) -> None:
    """Raises UserError if one of these options is less than 1."""
    for name in names:
        if (x := getattr(options, name)) < 1:
            raise UserError(f"{name} must be at least 1, got {x}")
