"""What chance does to a file: strategies of Hypothesis, each a word for what was done and the new content.

Content is bytes, or a function that makes of the path what is no file at all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from hostile import arrays

Content = bytes | Callable[[Path], None]
NUMBERS = [0, 1, -1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 10]
VALUES = [
    None, True, False, -1, 0, 1, 2, 0.5, -0.0, 1e308, 1e-320, 2**53, 10**30, -(10**19), 10**6, "", "x", "1", "nan",
    "none", "qgf", [], [1], ["qgf"], [[]], {}, {"a": 1}, {"name": "bc"}, {"name": "td"}, "\x00", "a\nb", "流" * 50,
    "[bold]", "../../x", "/dev/zero", "__import__('os')", [None] * 3,
]  # fmt: skip
WORDS = [
    "", "x", "-1", "0", "1", "1e3", "1e999", "nan", "inf", "-inf", "1" * 400, "0.5", '"', "\x00", "1,2", "none", "true",
    "[]", "[1, 1]", '"x"', "{}", "{ a = 1 }", "1979-05-27", "'''", "0x10", "流", "=1+1", "placebo:qgf", "3", "2.50",
]  # fmt: skip


@st.composite
def of_bytes(draw, content: bytes) -> tuple[str, Content]:
    """Any file: bits, cuts, gaps, noise."""
    at = draw(st.integers(0, max(0, len(content) - 1)))
    way = draw(st.sampled_from(("bit", "bit", "bit", "cut", "gap", "noise", "twice", "number", "zeros", "ones")))
    if way == "bit" and content:
        changed = bytearray(content)
        changed[at] ^= 1 << draw(st.integers(0, 7))
        return "a bit flipped", bytes(changed)
    if way == "cut":
        return "cut short", content[:at]
    if way == "noise":
        return "bytes inserted", content[:at] + draw(st.binary(min_size=1, max_size=6)) + content[at:]
    size = draw(st.sampled_from((1, 4, 8, 40, 500)))
    if way == "twice":
        return "bytes doubled", content[: at + size] + content[at:]
    if way == "gap":
        return "bytes left out", content[:at] + content[at + size :]
    if way == "number":
        number = draw(st.sampled_from(NUMBERS)) & (2**64 - 1)
        new = struct.pack("<Q", number)[: draw(st.sampled_from((1, 2, 4, 8)))]
        return "a number overwritten", content[:at] + new + content[at + len(new) :]
    fill = b"\xff" if way == "ones" else b"\0"
    return "bytes blanked", content[:at] + fill * size + content[at + size :]


def no_file() -> st.SearchStrategy[tuple[str, Content]]:
    """What stands where a file should be."""
    return st.sampled_from([
        ("missing", lambda path: None),
        ("empty", lambda path: path.write_bytes(b"")),
        ("a folder", Path.mkdir),
        ("a pipe", os.mkfifo),
        ("a link to itself", lambda path: path.symlink_to(path)),
        ("a device", lambda path: path.symlink_to("/dev/zero")),
        ("40 GB of nothing", lambda path: (path.touch(), os.truncate(path, 40 * 10**9))),
    ])  # fmt: skip


def places(content, at=()):
    yield at
    for key, x in (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    ):
        yield from places(x, (*at, key))


@st.composite
def of_json(draw, content: bytes) -> tuple[str, Content]:
    """One value replaced, left out, renamed, doubled or put deeper."""
    tree = json.loads(content)
    ways = ("replaced", "replaced", "replaced", "left out", "renamed", "deeper", "doubled", "deepest", "root", "NaN")
    way = draw(st.sampled_from(ways))
    *path, last = draw(st.sampled_from([at for at in places(tree) if at] or [("",)]))
    if way == "root" or not tree:
        return "another root", json.dumps(draw(st.sampled_from(VALUES))).encode("utf-8", "surrogatepass")
    parent = tree
    for key in path:
        parent = parent[key]
    if way == "replaced":
        parent[last] = draw(st.sampled_from(VALUES))
        return "a value replaced", json.dumps(tree).encode()
    if way in ("deepest", "NaN"):
        parent[last] = "here"
        new = (
            "[" * 100_000
            if way == "deepest"
            else draw(st.sampled_from(("NaN", "Infinity", "-Infinity", "1e400", "0x1")))
        )
        return dict(deepest="nested 100,000 deep", NaN="no JSON number")[way], json.dumps(tree).replace(
            '"here"', new, 1
        ).encode()
    if way == "deeper":
        parent[last] = {"x": parent[last]}
    elif way == "doubled" and isinstance(parent, dict):
        text = json.dumps(tree)
        return "a key twice", text.replace(f'"{last}":', f'"{last}": 0, "{last}":', 1).encode()
    else:
        value = parent.pop(last)
        if way == "renamed" and isinstance(parent, dict):
            parent[f"{last}x"] = value
    return f"a value {way}", json.dumps(tree).encode()


@st.composite
def of_table(draw, content: bytes) -> tuple[str, Content]:
    """A CSV file: a cell, a line, a column."""
    lines = list(csv.reader(io.StringIO(content.decode())))
    way = draw(st.sampled_from(("a cell", "a cell", "a cell", "a line left out", "a line twice", "a column left out",
                                "a column twice", "a column renamed", "a cell left out")))  # fmt: skip
    line, column = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines[0]) - 1))
    if way == "a cell":
        lines[line][column] = draw(st.sampled_from(WORDS))
    elif way == "a line left out":
        del lines[line]
    elif way == "a line twice":
        lines.insert(line, lines[line])
    elif way == "a cell left out":
        del lines[line][column]
    elif way == "a column renamed":
        lines[0][column] += "x"
    else:
        for cells in lines:
            cells[column : column + 1] = [] if way == "a column left out" else [cells[column]] * 2
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return way, text.getvalue().encode()


@st.composite
def of_lines(draw, content: bytes) -> tuple[str, Content]:
    """A file of lines such as TOML: a value, a line, a word."""
    lines = content.decode().splitlines()
    k = draw(st.sampled_from([k for k, line in enumerate(lines) if line.strip()]))
    way = draw(st.sampled_from(("value", "value", "value", "left out", "twice", "renamed", "moved", "added")))
    if way == "value" and "=" in lines[k]:
        lines[k] = f"{lines[k].split('=')[0]}= {draw(st.sampled_from(WORDS))}"
    elif way == "left out":
        del lines[k]
    elif way == "renamed":
        lines[k] = lines[k].replace(" =", "x =").replace("]", "x]")
    elif way == "moved":
        lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(k))
    else:
        lines.insert(
            k,
            lines[k]
            if way == "twice"
            else f"{draw(st.sampled_from(('use', 'log', 'tune', 'x')))} = {draw(st.sampled_from(WORDS))}",
        )
    return f"a line: {way}", ("\n".join(lines) + "\n").encode()


FORMS = {
    "json": of_json, "csv": of_table, "toml": of_lines, "npz": arrays.of_npz, "safetensors": arrays.of_safetensors,
    "hdf5": arrays.of_hdf5, "parquet": arrays.of_parquet, "http": of_lines,
}  # fmt: skip


def changed(form: str, content: bytes) -> st.SearchStrategy[tuple[str, Content]]:
    """Every change of a file of a form."""
    known = [FORMS[form](content)] * 3 if form in FORMS else []
    return st.one_of(*known, of_bytes(content), no_file()) if form != "http" else st.one_of(*known, of_bytes(content))
