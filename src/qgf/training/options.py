"""A method and its critic as names and options: flat, as command lines and studies give them, and nested, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from qgf.critics import CRITICS, Critic, critic_of
from qgf.errors import UserError, unknown
from qgf.files import convert, placed, table_of
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC


def default_critic(method: type[BC], name: str | None = None) -> Critic:
    """A critic by name, or the method's own; of the method's own kind with the method's options."""
    own = method().critic
    return own if name in (None, own.name) else critic_of(name)


def options(method: str = "bc", critic: str | None = None) -> dict[str, Any]:
    """The options of a method and, without a name its own, critic: name -> annotation.

    Raises UserError for unknown names, or if both have an option of one name.
    """
    made = METHODS.find(method)
    kind = type(default_critic(made, critic))
    of_method, of_critic = (_fields(cls) for cls in (made, kind))
    del of_method["critic"]
    if twice := sorted(of_method.keys() & of_critic):
        raise UserError(f"method {method} and critic {kind.name} both have an option {twice[0]}; rename one")
    return of_method | of_critic


def make_method(method: str = "bc", critic: str | None = None, **values) -> BC:
    """A method of options that are its own or its critic's. Raises UserError for unknown names and wrong values."""
    known = options(method, critic)
    for name in values:
        if name not in known:
            raise unknown("option", name, known)
    made = METHODS.find(method)
    kind = default_critic(made, critic)
    of_critic = _fields(type(kind))
    own = {name: x for name, x in values.items() if name not in of_critic}
    return made(**own, critic=dataclasses.replace(kind, **{k: x for k, x in values.items() if k in of_critic}))


def _fields(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def method_to_json(method) -> dict[str, Any]:
    """A method's and its critic's names and options; what can be named of a critic alone is told where it is used."""
    silent = {
        f.name for f in dataclasses.fields(method.critic) if f.kw_only and getattr(method.critic, f.name) == f.default
    }
    of_critic = {name: x for name, x in dataclasses.asdict(method.critic).items() if name not in silent}
    critic = dict(name=method.critic.name) | of_critic
    return dict(name=method.name) | dataclasses.asdict(method) | dict(critic=critic)


def method_from_json(fields: Any, where: str | Path = "settings", at: str = "method") -> BC:
    """The method of its JSON, of this version or the one before. `where` and `at` are file and place in it, for the
    message. Raises UserError for an unknown method or critic, or an option that is wrong.
    """
    with placed(where, at):
        made = METHODS.find(convert(where, fields, Named, at).name)
        own = {key: x for key, x in _nested(fields).items() if key != "name"}
        with placed(where, f"{at}.critic"):
            kind = CRITICS.find(convert(where, own["critic"], Named, f"{at}.critic").name)
            critic = {key: x for key, x in own["critic"].items() if key != "name"}
            own["critic"] = kind(**_checked(where, f"{at}.critic", critic, kind))
        return made(**_checked(where, at, own, made))


def _checked(where: str | Path, at: str, given: dict[str, Any], kind: type) -> dict[str, Any]:
    """The options of a method or a critic, each known and of its type."""
    convert(where, given, table_of(_fields(kind)), at)
    return given


class Named(msgspec.Struct):
    """What a method's or a critic's JSON has beside its options."""

    name: str


FLAT = ("critics", "expectile", "candidates", "rho", "bins", "value_low", "value_high", "polyak")


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A method's JSON as it is now. Before, a critic was a name, and the options of every kind, with null for the
    kind's own, lay flat among the method's.
    """
    kind = fields.get("critic", "iql")
    if not isinstance(kind, str) or kind not in CRITICS:
        return dict(fields) if isinstance(kind, dict) else dict(fields) | dict(critic=dict(name=kind))
    mine, known = _fields(METHODS.find(fields["name"])), _fields(CRITICS[kind])
    moved = [name for name in FLAT if name in fields and name not in mine]
    critic = {name: fields[name] for name in moved if name in known and fields[name] is not None}
    return {k: x for k, x in fields.items() if k not in moved} | dict(critic=dict(name=kind) | critic)
