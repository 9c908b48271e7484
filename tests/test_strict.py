"""Files that are wrong in any way that a hand or a disk can make them: one line that names the file."""

import copy
import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgf.errors import UserError
from qgf.files import Count, read_csv, read_json, read_toml, real
from qgf.laboratory.study import read_study
from qgf.playing.ledger import Ledger
from qgf.playing.rows import Row
from qgf.playing.scores import read_scores
from qgf.training.metrics import Metrics
from qgf.training.run import Run
from qgf.training.trained import load_trained

DOCS = Path(__file__).parents[1] / "docs"


class Train(msgspec.Struct, forbid_unknown_fields=True):
    seeds: Count = 1
    kind: Literal["flow", "critic"] = "flow"
    sizes: Annotated[list[Count], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: [1])
    rate: float | None = None


class Config(msgspec.Struct, forbid_unknown_fields=True):
    train: Train
    named: dict[str, float] = {}


SAID = {
    '{"train": {"seeds": "x"}}': 'at train.seeds: expected a whole number >= 1, got "x"',
    '{"train": {"seeds": 0}}': "at train.seeds: expected a whole number >= 1, got 0",
    '{"train": {"seeds": true}}': "at train.seeds: expected a whole number >= 1, got true",
    '{"train": {"seeds": 1.5}}': "at train.seeds: expected a whole number >= 1, got 1.5",
    '{"train": {"seeds": null}}': "at train.seeds: expected a whole number >= 1, got null",
    '{"train": {"seeds": [1, {"a": 2}]}}': 'at train.seeds: expected a whole number >= 1, got [1, {"a": 2}]',
    '{"train": {"seeds": 123456789012345678901234567890}}': "at train.seeds: expected a finite number of usual size",
    '{"train": {"sizes": []}}': "at train.sizes: expected a list, each a whole number >= 1, at least one, got []",
    '{"train": {"sizes": [1, -1]}}': "at train.sizes[1]: expected a whole number >= 1, got -1",
    '{"train": {"kind": "flwo"}}': 'at train.kind: expected one of "critic", "flow", got "flwo"',
    '{"train": {"rate": "fast"}}': 'at train.rate: expected a number, got "fast"',
    '{"train": {"sedes": 1}}': "at train: unknown key 'sedes': did you mean 'seeds'?",
    '{"trian": {}}': "unknown key 'trian': did you mean 'train'?",
    "{}": "key 'train' is missing",
    '{"train": 3}': "at train: expected a table, got 3",
    "[1]": "expected a table, got [1]",
    '{"train": {}, "named": {"a": 1, "b c": "x"}}': 'at named."b c": expected a number, got "x"',
    '{"train": {"rate": 1e999}}': "broken JSON (Number out of range",
    '{"train": {"rate": NaN}}': "broken JSON (JSON is malformed",
    '{"train": ': "broken JSON (Input data was truncated)",
    "": "broken JSON (Input data was truncated)",
    "[" * 100_000: "broken JSON (maximum recursion depth",
    '{"train": {"seeds": ' + "9" * 5000 + "}}": "broken JSON (Integer value out of range",
}  # fmt: skip


@pytest.mark.parametrize("text", SAID, ids=lambda text: text[:40])
def test_what_is_wrong_is_told_with_its_place(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_json(path, Config)
    assert str(caught.value).startswith(f"{path}: {SAID[text]}") and "\n" not in str(caught.value)


def test_what_is_right_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"train": {"seeds": 3, "rate": 1}, "named": {"a": 2}}')
    assert read_json(path, Config) == Config(Train(3, rate=1.0), {"a": 2.0})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # some editors mark UTF-8 so
    assert read_json(path, Config).train.seeds == 3


@pytest.mark.parametrize("reader, kind", [(read_json, Config), (read_toml, Config), (read_csv, Row)])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, reader, kind):
    path, read = tmp_path / "file", lambda path: reader(path, kind)
    path.mkdir()
    with pytest.raises(UserError, match="file: cannot be read"):
        read(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UserError, match="a pipe or a device"):
        read(path)
    with pytest.raises(UserError, match="a pipe or a device"):
        read(Path("/dev/zero"))
    path.unlink()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        read(path)
    os.truncate(path, real.LARGEST + 1)
    with pytest.raises(UserError, match="file: cannot be read"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json", Config)
    with pytest.raises(UserError, match=r"not a run directory \(no gone\.json\)"):
        read_json(tmp_path / "gone.json", Config, "a run directory")
    assert read_csv(tmp_path / "gone.csv", Row) == []


# Real files, changed by chance


BAD = [
    None, True, -1, 0, 1, 0.5, -0.0, 1e308, 10**30, -(10**19), "", "x", "1", "nan", "none", [], [1], ["qgf"], [[]], {},
    {"a": 1}, {"name": "bc"}, {"name": 3}, "\x00", "a\nb", "流" * 50, [None] * 3,
]  # fmt: skip
CHANGES = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
CHANCE = st.randoms(use_true_random=False)


def places(content, at=()):
    """Every place in a tree of tables and lists."""
    yield at
    for key, x in (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    ):
        yield from places(x, (*at, key))


def changed(content, chance):
    """The tree with one value replaced, left out, renamed or put deeper."""
    content = copy.deepcopy(content)
    *path, last = chance.choice([at for at in places(content) if at])
    parent = content
    for key in path:
        parent = parent[key]
    way = chance.choice(("replace", "replace", "replace", "leave out", "rename", "deeper"))
    if way == "replace":
        parent[last] = copy.deepcopy(chance.choice(BAD))
    elif way == "deeper":
        parent[last] = {"x": parent[last]}
    else:
        value = parent.pop(last)
        if way == "rename" and isinstance(parent, dict):
            parent[f"{last}x"] = value
    return content


def damaged(data: bytes, chance) -> bytes:
    """The bytes cut, overwritten or doubled somewhere."""
    at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    way = chance.choice(("cut", "gap", "noise", "twice"))
    if way == "noise":
        return data[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 6))) + data[at:]
    return {"cut": data[:at], "gap": data[:at] + data[min(end, at + 40) :], "twice": data[:end] + data[at:]}[way]


def spoilt(path: Path, chance) -> bytes:
    """The content of a JSON or CSV file with one thing changed in it."""
    data = path.read_bytes()
    if chance.random() < 0.3:
        return damaged(data, chance)
    if path.suffix == ".json":
        return json.dumps(changed(json.loads(data), chance)).encode("utf-8", "surrogatepass")
    lines = list(csv.reader(io.StringIO(data.decode())))
    line = chance.choice(lines)
    line[chance.randrange(len(line))] = chance.choice(
        ["", "x", "-1", "1e3", "nan", "inf", "1" * 400, "0.5", '"', "\x00", "1,2"]
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def accepted_or_one_line(path: Path, data: bytes, read, names=()) -> None:
    """Whatever is in the file, reading it ends, or says in one line what is wrong and in which file."""
    path.write_bytes(data)
    try:
        read()
    except UserError as error:
        line = str(error)
        assert "\n" not in line and len(line) < 2000
        assert any(str(name) in line for name in (path, path.parent, *names)), line


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A run, a ledger and a table of scores that may be spoilt."""
    folder = tmp_path_factory.mktemp("spoilt")
    shutil.copytree(tiny_run.directory, folder / "run")
    for name in ("episodes.csv", "costs.csv"):
        lines = (DOCS / "results" / "scene-30k" / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:4]))
    return folder


def spoil(chance, path: Path, read) -> None:
    whole = path.read_bytes()
    try:
        accepted_or_one_line(path, spoilt(path, chance), read)
    finally:
        path.write_bytes(whole)


@CHANGES
@given(CHANCE)
def test_a_run_config(folder, chance):
    spoil(chance, folder / "run" / "config.json", lambda: Run(folder / "run").config)


@settings(CHANGES, max_examples=50)
@given(CHANCE)
def test_a_policy_config(folder, chance):
    spoil(chance, folder / "run" / "policy" / "config.json", lambda: load_trained(folder / "run"))


@CHANGES
@given(CHANCE)
def test_metrics(folder, chance):
    path = folder / "run" / "metrics.csv"
    spoil(chance, path, Run(folder / "run").metrics)
    spoil(chance, path, lambda: Metrics(path, keep=10**6))


@CHANGES
@given(CHANCE)
def test_ledgers(folder, chance):
    for name in ("episodes.csv", "costs.csv"):
        spoil(chance, folder / name, lambda: Ledger(folder / "episodes.csv"))
    spoil(chance, folder / "episodes.csv", lambda: read_scores(folder / "episodes.csv"))


STUDY = {
    "episodes": 5, "seed": 3, "tuning": {"rungs": [2, 2], "seed": 4, "tasks": 1},
    "environment": [{"name": "pointmaze-medium-navigate", "tasks": [1, 2], "seeds": [0, 1], "transitions": 500}],
    "train": {
        "base": {"method": "bc", "width": 8, "steps": 10, "discount": 0.5, "critic": "ensemble", "rho": 0.25},
        "edp": {"method": "edp", "alpha": [1, 2.5], "flow": "base", "precision": "float32"},
    },
    "method": {
        "qgf": {"guide": "qgf", "strength": [0.5, 1], "best_of": 2, "tune": "halving", "train": ["base"]},
        "all": {"guide": ["ood", "qgf"], "weight": 0.5, "schedule": ["constant", "score"], "each": True, "steps": 5},
    },
}  # fmt: skip


def toml(x, path=()):
    """A tree as TOML, tables in line; what TOML cannot say (null) as an empty text."""
    if isinstance(x, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in x.items()) + "}"
    if isinstance(x, list):
        return "[" + ", ".join(map(toml, x)) + "]"
    return '""' if x is None else json.dumps(x)


def test_the_study_that_is_changed_is_one(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("\n".join(f"{key} = {toml(x)}" for key, x in STUDY.items()))
    assert len(read_study(path).methods) == 2 + 2 * 2


@CHANGES
@given(CHANCE)
def test_studies(folder, chance):
    path, whole = folder / "study.toml", STUDY
    if chance.random() < 0.7:
        text = "\n".join(f"{json.dumps(key)} = {toml(x)}" for key, x in changed(whole, chance).items()).encode()
    else:
        text = damaged("\n".join(f"{key} = {toml(x)}" for key, x in whole.items()).encode(), chance)
    accepted_or_one_line(path, text, lambda: read_study(path))
