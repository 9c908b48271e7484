"""Record shards: written without holding the data, and what is read back is what was there, to the bit."""

import os
import re
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.data import converting, streams
from qgf.data.doctor import Examination, examine
from qgf.data.fingerprint import fingerprint
from qgf.data.stored import Stored, held
from qgf.environments.converting import convert
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError

ARRAYS = ("observations", "actions", "ends", "rewards", "masks")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several shards, of several parts each."""
    monkeypatch.setattr(converting, "SHARD", 8_000)
    monkeypatch.setattr(streams, "PART", 3_000)
    monkeypatch.setattr(streams, "LEAST", 32)


def arrays(seed=0, episodes=60, **more):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 50, episodes) + 1
    n = lengths.sum()
    ends = np.zeros(n, bool)
    ends[np.cumsum(lengths) - 1] = True
    made = dict(observations=rng.normal(3, 2, (n, 3)), actions=rng.uniform(-1.5, 1, (n, 2)), terminals=ends)
    made |= dict(rewards=rng.integers(-3, 1, n) / 2, masks=1.0 - (rng.random(n) < 0.05))
    return {key: x for key, x in (made | more).items() if x is not None}


@pytest.fixture
def source(tmp_path):
    """A file with one held out beside it."""
    np.savez_compressed(tmp_path / "data.npz", **arrays())
    np.savez(tmp_path / "data-val.npz", **arrays(1, 7))
    return tmp_path / "data.npz"


def same(one, other):
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert_array_equal(a, b, name, strict=True)
    assert one.images.keys() == other.images.keys()
    for name in one.images:
        assert_array_equal(one.images[name], other.images[name], strict=True)


def test_what_was_converted_is_read_back_to_the_bit(source):
    there = load_dataset(source)
    stored = load_dataset(convert(source, source.with_name("shards")))
    assert isinstance(stored, Stored) and len(stored.meta.shards) > 3
    same(stored.whole(), there)
    same(stored.validation, there.validation)
    for mine, theirs in zip(stored.scales(), there.scales(), strict=True):
        assert_array_equal(mine, theirs, strict=True)
    assert stored.reward_unit == there.reward_unit == 0.5
    assert_array_equal(stored.action_range, there.action_range)
    assert stored.transitions == there.transitions and stored.short(9) == there.short(9)
    seen, known = examine(stored, 4), examine(there, 4)
    for field in fields(Examination):
        if field.name != "name":
            for mine, theirs in zip(*(np.atleast_1d(getattr(x, field.name)) for x in (seen, known)), strict=True):
                assert_array_equal(mine, theirs, field.name)


def test_rewards_of_many_values_have_a_histogram(source):
    np.savez(source, **arrays(rewards=np.random.default_rng(3).normal(size=len(arrays()["terminals"]))))
    there, stored = load_dataset(source), load_dataset(convert(source, source.with_name("shards")))
    for mine, theirs in zip(examine(stored).rewards, examine(there).rewards, strict=True):
        assert_array_equal(mine, theirs.astype(mine.dtype))
    assert stored.reward_unit == there.reward_unit


def test_parts_are_those_of_the_data_in_memory(source):
    there, stored = load_dataset(source), load_dataset(convert(source, source.with_name("shards")))
    first = there.first[[5, 40]] + [2, 0]
    rows = np.array([4, 7])
    for capacity in (None, 30):
        parts = [data.part(first, rows, capacity) for data in (there, stored)]
        same(*parts)
        assert_array_equal(parts[0].lengths[:2], [3, 6])
        assert parts[0].transitions == 9
    few = held(stored, 2_000)
    assert 0 < few.transitions < there.transitions and few.observations.nbytes < 2_000


def folder(path, parts):
    path.mkdir()
    for k, part in enumerate(parts):
        np.savez(path / f"walk-v0-{k:03d}.npz", **part)
    return path


def test_a_folder_of_numbered_files_is_one_dataset(tmp_path):
    parts = [arrays(seed, 20) for seed in range(3)]
    place = folder(tmp_path / "many", parts)
    np.savez(place / "walk-v0-000-val.npz", **arrays(9, 4))
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    np.savez(tmp_path / "one.npz", **joined)
    stored, there = load_dataset(convert(place, tmp_path / "shards")), load_dataset(tmp_path / "one.npz")
    same(stored.whole(), there)
    same(load_dataset(place), there)
    assert stored.validation.transitions == (~arrays(9, 4)["terminals"]).sum()
    assert len(stored.meta.sources) == 3
    np.savez(tmp_path / "many" / "other.npz", **parts[0])  # then it is a folder of datasets
    with pytest.raises(UserError, match="no data that can be read"):
        convert(place, tmp_path / "again")


def flat(kind):
    """Data whose every row is a step, of which some layouts say what comes after."""
    made = arrays(2)
    steps = ~made["terminals"]
    last = np.append(made["terminals"][1:], True)[steps]
    rows = {key: x[steps] for key, x in made.items() if key != "terminals"}
    rows |= dict(terminals=last & (rows["masks"] == 0))
    after = np.append(made["observations"][1:], made["observations"][-1:], axis=0)[steps]
    return rows | (dict(timeouts=last) if kind == "D4RL" else dict(next_observations=after))


@pytest.mark.parametrize("kind", ["D4RL", "transitions"])
def test_layouts_without_final_rows_are_cut_where_their_episodes_end(kind, tmp_path):
    np.savez(tmp_path / "flat.npz", **flat(kind))
    stored, there = (
        load_dataset(convert(tmp_path / "flat.npz", tmp_path / "shards")),
        load_dataset(tmp_path / "flat.npz"),
    )
    same(stored.whole(), there)


def test_labels_of_episodes_go_with_their_parts(tmp_path):
    solved = np.random.default_rng(0).random(60) < 0.5
    np.savez(tmp_path / "inside.npz", **arrays(rewards=None, masks=None, success=solved))
    np.savez(tmp_path / "beside.npz", **arrays(rewards=None, masks=None))
    (tmp_path / "labels.txt").write_text("\n".join(str(int(x)) for x in solved))
    there = load_dataset(tmp_path / "inside.npz")
    same(load_dataset(convert(tmp_path / "inside.npz", tmp_path / "a")).whole(), there)
    said = dict(labels=tmp_path / "labels.txt")
    same(load_dataset(convert(tmp_path / "beside.npz", tmp_path / "b", **said)).whole(), there)
    (tmp_path / "labels.txt").write_text("1\n" * 61)
    with pytest.raises(UserError, match="61 success labels for 60 episodes"):
        convert(tmp_path / "beside.npz", tmp_path / "c", **said)
    assert not list(tmp_path.glob("c*"))


def test_pictures_keep_their_type(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (len(arrays()["terminals"]), 4, 5, 3), np.uint8)
    np.savez(tmp_path / "seen.npz", **arrays(), **{"images/front": pictures, "images/still": 0 * pictures})
    there = load_dataset(tmp_path / "seen.npz")
    stored = load_dataset(convert(tmp_path / "seen.npz", tmp_path / "shards"))
    same(stored.whole(), there)
    assert stored.cameras == there.cameras and examine(stored).still == ("still",)


@pytest.mark.parametrize(
    "write",
    [formats.d4rl, formats.robomimic, formats.maniskill, formats.minari, formats.diffusion_policy, formats.lerobot],
)
def test_every_format_is_converted(write, tmp_path):
    path = write(tmp_path)
    same(load_dataset(convert(path, tmp_path / "shards")).whole(), load_dataset(path))


def test_a_later_part_in_float64_makes_all_of_it_so(tmp_path):
    plain = arrays()
    clock = plain["observations"].copy()
    clock[-200:, 0] = 1.7e9 + 0.05 * np.arange(200)
    np.savez(tmp_path / "clock.npz", **plain | dict(observations=clock))
    with pytest.warns(UserWarning, match="float32's numbers are"):
        stored = load_dataset(convert(tmp_path / "clock.npz", tmp_path / "shards"))
    assert stored.kind == np.float64
    assert_array_equal(stored.whole().observations[-50:], clock[-50:])


def test_what_is_there_is_not_written_over(source):
    target = convert(source, source.with_name("shards"))
    before = fingerprint(load_dataset(target))
    with pytest.raises(UserError, match="is there already; pass --overwrite"):
        convert(source, target)
    np.savez(source, **arrays(5))
    convert(source, target, overwrite=True)
    assert fingerprint(load_dataset(target)) != before
    (source.parent / "mine").mkdir()
    with pytest.raises(UserError, match="is no folder of record shards"):
        convert(source, source.parent / "mine", overwrite=True)
    assert {path.name for path in source.parent.iterdir()} == {"data.npz", "data-val.npz", "mine", "shards"}


def test_a_disk_without_room_is_said_before_anything_is_written(source, monkeypatch):
    monkeypatch.setattr(converting.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=re.escape("1 kB of the disk are free, ")):
        convert(source, source.with_name("shards"))
    assert not source.with_name("shards").exists()


def damage(kind, path):
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "shorter":
        path.write_bytes(content[:-8])
    elif kind == "changed":
        path.write_bytes(content[:-8] + bytes(8))
    elif kind == "other":
        np.save(path, np.zeros(5))


@pytest.mark.parametrize(
    "kind, said",
    [
        ("missing", "rows-00001.npy: no such file"),
        ("shorter", r"rows-00001.npy: is not what was written: [\d,]+ bytes, meta.json says [\d,]+; restore it"),
        ("changed", "rows-00001.npy: is not what was written, its SHA-256"),
        ("other", "rows-00001.npy: is not what was written"),
    ],
)
def test_a_shard_that_is_not_what_was_written_is_one_line(kind, said, source):
    target = convert(source, source.with_name("shards"))
    damage(kind, target / "rows-00001.npy")
    with pytest.raises(UserError, match=said):
        load_dataset(target)


def test_a_shard_that_was_copied_is_looked_at_and_one_that_changes_while_it_is_read_is_noticed(source):
    target = convert(source, source.with_name("shards"))
    os.utime(target / "rows-00001.npy", (4e9, 4e9))
    stored = load_dataset(target)
    same(stored.whole(), load_dataset(source))
    damage("changed", target / "rows-00001.npy")
    with pytest.raises(UserError, match=r"rows-00001\.npy: was changed while it was read"):
        stored.whole()


def test_data_on_the_disk_are_not_read_as_others(source):
    stored = load_dataset(convert(source, source.with_name("shards")))
    with pytest.raises(UserError, match="was settled when it was converted"):
        load_dataset(stored.path, keys=("qpos",))
    assert replace(stored, action_range=None).scaling == ""
