"""Files that are read strictly: what a file holds is what its type says, or one line says where it is not.

Types are `msgspec.Struct`s, whose unknown keys are forbidden, dataclasses, and what they are made of; ranges are
`Annotated[int, Meta(ge=1)]`. Every function raises UserError, `FILE: at train.seeds: expected a whole number >= 1, got
"x"`, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, inspect

from qgf.errors import UserError, unknown
from qgf.files.real import read_bytes
from qgf.files.sums import check

T = TypeVar("T")
MOST = 2**53
"""Whole numbers up to here are exact in every language that may read the file."""
Count = Annotated[int, Meta(ge=1, le=MOST)]
Number = Annotated[int, Meta(ge=0, le=MOST)]
Few = Annotated[int, Meta(ge=1, le=1000)]
"""Layers, networks or steps: a file that asks for more asks for more than any machine does in time."""
Many = Annotated[int, Meta(ge=1, le=2**16)]
"""Units of a layer, samples, bins."""
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
FINITE = sys.float_info.max
Finite = Annotated[float, Meta(ge=-FINITE, le=FINITE)]


def read_json(path: str | Path, type: type[T], what: str = "") -> T:
    """The content of a JSON file, checked against its sum. `what` says what the folder would be if the file were there,
    "a run directory".
    """
    path = Path(path)
    if what and not path.exists():
        raise UserError(f"{path.parent}: not {what} (no {path.name})")
    text = read_text(path)
    check(path)
    try:
        content = msgspec.json.decode(text)
        _check_numbers(path, content, "")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({_words(error)})") from None
    return convert(path, content, type)


def read_toml(path: str | Path, type: type[T]) -> T:
    """The content of a TOML file."""
    try:
        content = tomllib.loads(read_text(path))
        _check_numbers(path, content, "")
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError, and so is a number too long
        raise UserError(f"{path}: broken TOML ({_words(error)})") from None
    return convert(path, content, type)


def _check_numbers(path: Path | str, content: Any, at: str) -> None:
    """No number is infinite, none, or too large to be exact."""
    if isinstance(content, (dict, list)):
        for key, x in content.items() if isinstance(content, dict) else enumerate(content):
            inside = f"{at}[{key}]" if isinstance(content, list) else f"{at}.{quoted(key)}" if at else quoted(key)
            _check_numbers(path, x, inside)
    elif isinstance(content, (int, float)) and not abs(content) <= (MOST if isinstance(content, int) else FINITE):
        raise UserError(f"{_place(path, at)}: expected a finite number of usual size, got {shown(content)}")


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8; not of a folder, a pipe or a device, which could take for ever."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text in UTF-8 (byte {error.start})") from None


def convert(where: str | Path, content: Any, type: Any, at: str = "", lax: bool = False) -> Any:
    """`content` (tables, lists, numbers, text) as `type`. `where` and `at` begin the message: file, place in it.

    `lax` takes "5" for 5, as in a CSV file, where all is text.
    """
    try:
        made = msgspec.convert(content, type, strict=not lax)
    except msgspec.ValidationError as error:
        raise _explained(where, error, content, type, at, ", " if lax else ".") from None
    except RecursionError:
        raise UserError(f"{_place(where, at)}: nested too deeply") from None
    _check_keys(where, content, made, at)
    return made


@contextmanager
def placed(where: str | Path, at: str) -> Iterator[None]:
    """Whatever UserError the block raises says where: the file and the place in it."""
    try:
        yield
    except UserError as error:
        told = str(error)
        raise type(error)(told if told.startswith(f"{where}: ") else f"{_place(where, at)}: {told}") from None


def table_of(types: Mapping[str, Any]) -> type[msgspec.Struct]:
    """The type of a table that has no keys but these, each of its type and none needed."""
    return msgspec.defstruct("Table", [(name, x, None) for name, x in types.items()], forbid_unknown_fields=True)


def _check_keys(where, content, made, at: str) -> None:
    """What msgspec does not: a dataclass takes no unknown keys."""
    if dataclasses.is_dataclass(made) and isinstance(content, Mapping):
        known = [field.name for field in dataclasses.fields(made)]
        for key, x in content.items():
            if key not in known:
                raise UserError(f"{_place(where, at)}: {unknown('key', str(key), known)}")
            _check_keys(where, x, getattr(made, key), f"{at}.{key}" if at else key)
    elif isinstance(made, msgspec.Struct) and isinstance(content, Mapping):
        for key, x in content.items():
            _check_keys(where, x, getattr(made, key, None), f"{at}.{key}" if at else key)


# Messages


STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _explained(where, error: msgspec.ValidationError, content, type, at: str, joint: str) -> UserError:
    """msgspec's message in our words, with the value that is wrong and all that was expected of it."""
    said, _, path = str(error).partition(" - at `$")
    kind, value = inspect.type_info(type), content
    for name, index in STEP.findall(path.removesuffix("`")):
        key, value, kind = _step(name or index, value, kind)
        at += f"[{key}]" if index and index != "..." else f"{joint if at else ''}{key}"
    place = _place(where, at)
    if found := re.search(r"missing required field `(.*)`", said):
        return UserError(f"{place}: key {found[1]!r} is missing")
    if found := re.search(r"unknown field `(.*)`", said):
        return UserError(f"{place}: {unknown('key', found[1], _names(kind))}")
    if re.match("Expected|Invalid|Number|Integer", said):
        return UserError(f"{place}: expected {_expected(kind) or _words(said)}, got {shown(value)}")
    return UserError(f"{place}: {_words(said)}")  # of a __post_init__


def _step(name: str, value, kind) -> tuple[Any, Any, Any]:
    """One step along a path: its name, the value there, and what was expected of it (None if that is not clear)."""
    kinds = _kinds(kind)
    if name == "...":  # msgspec hides the keys of a table
        inner = next((k.value_type for k in kinds if isinstance(k, inspect.DictType)), None)
        key = next((key for key, x in value.items() if inner is not None and not _fits(x, inner)), "...")
        return quoted(key), value.get(key), inner
    if name.isdecimal() and isinstance(value, (list, tuple)):
        inner = next((k.item_type for k in kinds if hasattr(k, "item_type")), None)
        return name, value[int(name)], inner
    fields = {f.encode_name: f.type for k in kinds for f in getattr(k, "fields", ())}
    return quoted(name), value.get(name) if isinstance(value, Mapping) else None, fields.get(name)


def _kinds(kind) -> list:
    """The types of a union, without what is noted beside them."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return [k for x in kind.types for k in _kinds(x)] if isinstance(kind, inspect.UnionType) else [kind]


def _fits(value, kind) -> bool:
    """Whether a number or text in a table is of its kind; more is never asked."""
    (kind, *_) = _kinds(kind)
    types: dict[Any, Any] = {
        inspect.IntType: int,
        inspect.FloatType: (int, float),
        inspect.StrType: str,
        inspect.BoolType: bool,
    }
    wanted = types.get(type(kind))
    return wanted is None or (isinstance(value, wanted) and (isinstance(value, bool) == (wanted is bool)))


def _names(kind) -> list[str]:
    return [field.encode_name for k in _kinds(kind) for field in getattr(k, "fields", ())]


NOUNS: dict[Any, str] = {
    inspect.IntType: "a whole number", inspect.FloatType: "a number", inspect.StrType: "text",
    inspect.BoolType: "true or false", inspect.NoneType: "nothing", inspect.DictType: "a table",
    inspect.StructType: "a table", inspect.DataclassType: "a table",
}  # fmt: skip


def _expected(kind) -> str:
    """What a type asks for, in words: "a whole number >= 1", "text or a list, each text"; "" if that is not known."""
    words = [_asked(k) for k in _kinds(kind) if not isinstance(k, inspect.NoneType)]
    return " or ".join(words) if all(words) else ""


def _asked(kind) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(json.dumps(x) for x in kind.values)
    if hasattr(kind, "item_type"):
        inner = _expected(kind.item_type)
        return (f"a list, each {inner}" if inner else "a list") + (", at least one" if kind.min_length else "")
    signs = dict(ge=">=", gt=">", le="<=", lt="<")
    limits = {s: getattr(kind, name, None) for name, s in signs.items()}
    told = [f"{s} {x:g}" for s, x in limits.items() if x is not None and abs(x) < 2**32 - 1]
    return " ".join([NOUNS[type(kind)], *told]) if type(kind) in NOUNS else ""


def shown(value: Any) -> str:
    """A value as a file would have it, cut where it is long."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (ValueError, RecursionError, TypeError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


SCALES = ("std", "limits", "unit")
"""What arrays are called that divide, bound or multiply what a network is given or says."""


def check_scale(file: Path, name: str, least: float) -> None:
    """Raises UserError if the `least` number of such an array is below 0; or is 0, unless it bounds."""
    if least < 0 or (least == 0 and not name.endswith("limits")):
        raise UserError(f"{file}: {name} holds {least:g}, which is no scale")


def quoted(key: Any) -> str:
    return str(key) if re.fullmatch(r"[\w-]+", str(key)) else json.dumps(str(key), ensure_ascii=False)


def _place(where: str | Path, at: str) -> str:
    return f"{where}: at {at}" if at else f"{where}"


def _words(error: object) -> str:
    return " ".join(str(error).split())
