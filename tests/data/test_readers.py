"""One rollout set in every format: the same dataset, to the bit, as far as the format can say it."""

import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import formats
from qgf.data.dataset import Dataset
from qgf.data.episodes import Episode, arrays_of
from qgf.data.npz import read_npz
from qgf.data.readers import READERS, hdf5, lerobot, minari, read, reader_of, zarr
from qgf.errors import UserError

WHOLE = dict(
    d4rl=(hdf5, formats.d4rl),
    robomimic=(hdf5, formats.robomimic),
    maniskill=(hdf5, formats.maniskill),
    minari=(minari, formats.minari),
    minari_arrow=(minari, lambda out: formats.minari(out, "arrow")),
)
WITHOUT_FINAL_STATE = dict(
    d4rl=(hdf5, lambda out: formats.d4rl(out, final=False)),
    lerobot=(lerobot, formats.lerobot),
    successes=(lerobot, lambda out: formats.lerobot(out, rewards=False)),
)
EVERY = (
    WHOLE
    | {f"{name}_short": x for name, x in WITHOUT_FINAL_STATE.items()}
    | dict(zarr=(zarr, formats.diffusion_policy))
)


@pytest.mark.parametrize("name", WHOLE)
def test_formats_with_a_final_state_give_the_dataset_of_the_npz_to_the_bit(name, tmp_path):
    reader, write = WHOLE[name]
    path = write(tmp_path)
    assert reader.reads(path)
    found = Dataset.from_arrays(reader.read(path), "x")
    wanted = Dataset.from_arrays(read_npz(formats.ogbench_npz(tmp_path)), "x")
    for field in ("observations", "actions", "rewards", "masks", "ends"):
        assert_array_equal(getattr(found, field), getattr(wanted, field), err_msg=field)
        assert getattr(found, field).dtype == getattr(wanted, field).dtype
    assert_array_equal(found.starts(3), wanted.starts(3))


@pytest.mark.parametrize("name", EVERY)
def test_every_format_is_told_by_its_content(name, tmp_path):
    reader, write = EVERY[name]
    path = write(tmp_path)
    assert reader_of(path) is reader
    for key, x in read(path).items():
        assert_array_equal(x, reader.read(path)[key])


def test_what_no_reader_knows_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"gone: no such file"):
        reader_of(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("s0,s1")
    with pytest.raises(UserError, match=r"notes.txt: no data that can be read \(known formats: npz, hdf5, .*\)$"):
        reader_of(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"reader 'mine' needs two functions"):
        READERS["mine"] = formats


def test_arrays_in_an_npz_that_is_not_called_so(tmp_path):
    path = formats.ogbench_npz(tmp_path)
    path.rename(tmp_path / "data")
    found, wanted = read(tmp_path / "data"), read_npz(tmp_path / "data")
    assert_array_equal(found["observations"], wanted["observations"])
    both = read(tmp_path / "data", ("observations", "rewards"))["observations"]
    assert_array_equal(both, np.column_stack([wanted["observations"], wanted["rewards"]]))


@pytest.mark.parametrize("name", WITHOUT_FINAL_STATE)
def test_without_a_final_state_an_end_keeps_its_step_and_a_time_limit_gives_it_up(name, tmp_path):
    reader, write = WITHOUT_FINAL_STATE[name]
    found = Dataset.from_arrays(reader.read(write(tmp_path)), "x")
    (s0, a0, r0, *_), (s1, a1, r1, *_) = formats.episodes()
    assert_array_equal(found.observations, np.concatenate([s0[:-1], s0[-2:-1], s1[:-1]]))
    assert_array_equal(found.actions[~found.ends], np.concatenate([a0, a1[:-1]]))
    assert_array_equal(found.rewards[~found.ends], np.concatenate([r0, r1[:-1]]))
    assert_array_equal(np.flatnonzero(found.ends), [7, 12])
    assert_array_equal(np.flatnonzero(found.masks == 0), [6])


def test_a_replay_buffer_has_actions_and_ends_but_no_rewards(tmp_path):
    found = Dataset.from_arrays(zarr.read(formats.diffusion_policy(tmp_path)), "x")
    (s0, a0, *_), (s1, a1, *_) = formats.episodes()
    assert found.rewards is None and not (found.masks == 0).any()
    assert_array_equal(found.observations, np.concatenate([s0[:-1], s1[:-1]]))
    assert_array_equal(found.actions[~found.ends], np.concatenate([a0[:-1], a1[:-1]]))


def test_no_reader_takes_what_another_reads(tmp_path):
    readers = (hdf5, minari, lerobot, zarr)
    for reader, write in (WHOLE["d4rl"], WHOLE["minari"], WITHOUT_FINAL_STATE["lerobot"], EVERY["zarr"]):
        path = write(tmp_path)
        assert [other for other in readers if other.reads(path)] == [reader]
    assert not any(reader.reads(formats.ogbench_npz(tmp_path)) or reader.reads(tmp_path / "none") for reader in readers)


def test_observations_with_names_are_laid_side_by_side_or_chosen(tmp_path):
    path = formats.robomimic(tmp_path)
    whole, one = hdf5.read(path), hdf5.read(path, ("object",))
    assert whole["observations"].shape == (14, 4)
    assert_array_equal(one["observations"], whole["observations"][:, 3:])
    with pytest.raises(
        UserError, match=r"robomimic.hdf5: /data/demo_0/obs: missing key 'objekt' \(found: eef, object\)"
    ):
        hdf5.read(path, ("objekt",))


def episode(states=4, actions=3, rewards=3):
    return Episode(np.zeros((states, 2)), np.zeros((actions, 1)), None if rewards is None else np.zeros(rewards), True)


@pytest.mark.parametrize(
    "episodes, said",
    [
        ([episode(states=6)], "x: episode 0 has 6 states for 3 actions, expected 3 or 4"),
        ([episode(), episode(rewards=2)], "x: episode 1 has rewards [2] for 3 actions"),
        ([episode(), episode(rewards=None)], "x: some episodes have rewards and some have none"),
        ([episode(1, 0, 0)], "x: no episode with a step in it"),
        ([], "x: no episode with a step in it"),
    ],
)
def test_episodes_that_do_not_fit_are_refused(episodes, said):
    with pytest.raises(UserError) as caught:
        arrays_of(episodes, "x")
    assert str(caught.value) == said


def damaged_info(out, **changes):
    root = formats.lerobot(out)
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return root


@pytest.mark.parametrize(
    "write, said",
    [
        (lambda out: damaged_info(out, codebase_version="v2.1"), "a LeRobotDataset v2.1, this version reads v3"),
        (lambda out: damaged_info(out, features={}), "none of observation.state"),
        (lambda out: damaged_info(out, features={"action": {}, "episode_index": {}}), "none of observation.state"),
    ],
)
def test_a_dataset_of_another_kind_is_one_line(write, said, tmp_path):
    with pytest.raises(UserError) as caught:
        lerobot.read(write(tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_a_damaged_file_is_one_line_or_read_the_same(name, tmp_path):
    """Every file of a dataset cut short, emptied, or with a byte of another value: refused, or what it said before."""
    reader, write = EVERY[name]
    path = write(tmp_path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    rng = np.random.default_rng(0)
    refused = 0
    for file in files:
        content = file.read_bytes()
        places = rng.integers(len(content), size=6)
        flips = [content[:k] + bytes([content[k] ^ 0xFF]) + content[k + 1 :] for k in places]
        for damage in (content[: len(content) // 2], b"", *flips):
            file.write_bytes(damage)
            try:
                Dataset.from_arrays(reader.read(path), "x")
            except UserError as error:
                refused += 1
                assert "\n" not in str(error)
        file.write_bytes(content)
    assert refused
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("frames, said", [((0, 1, 4), "frame 4 comes after 1"), ((0, 1, 1), "frame 1 comes after 1")])
def test_frames_of_lerobot_are_whole_and_there_once(frames, said, tmp_path):
    """What was left out between two frames, and episodes of two datasets under one number, are no steps."""
    import pyarrow
    import pyarrow.parquet

    path = formats.lerobot(tmp_path)
    file = path / "data" / "chunk-001" / "file-000.parquet"
    table = pyarrow.parquet.read_table(file).slice(0, 3)
    place = table.schema.get_field_index("frame_index")
    pyarrow.parquet.write_table(table.set_column(place, "frame_index", pyarrow.array(frames)), file)
    with pytest.raises(UserError, match=f"in episode 0 {said}: some are missing or there twice"):
        lerobot.read(path)


@pytest.mark.parametrize("final", [True, False])
def test_a_task_that_ends_on_the_way_ends_there(final, tmp_path):
    """robomimic marks every state that is a success, and goes on until the demonstration is over."""
    import h5py

    path = formats.robomimic(tmp_path)
    with h5py.File(path, "r+") as file:
        file["data/demo_0/dones"][4:] = 1
        for demo in file["data"].values() if not final else ():
            del demo["next_obs"]
    found = Dataset.from_arrays(read(path), "x")
    assert_array_equal(np.flatnonzero(found.masks == 0), [4, 5, 6])
    assert_array_equal(found.lengths, [7, 5 if final else 4])
    with h5py.File(path, "r+") as file:
        del file["data/demo_0/dones"]
        file["data/demo_0/dones"] = np.ones(3)
    with pytest.raises(UserError, match="episode 0 says of 3 of 7 actions whether they end the task"):
        read(path)


def test_other_names_of_the_same_arrays_are_read_and_what_is_not_is_said(tmp_path):
    import h5py

    rows, names = formats.flat(), dict(observations="obs", next_observations="next_obs", actions="action")
    names |= dict(rewards="reward", terminals="terminated", timeouts="truncated")
    wanted = Dataset.from_arrays(rows, "x")
    np.savez(tmp_path / "x.npz", **{names[key]: x for key, x in rows.items()})
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for key, x in rows.items():
            file[key if key == "observations" else names[key]] = x
    for path in (tmp_path / "x.npz", tmp_path / "x.hdf5"):
        found = Dataset.from_arrays(read(path), "x")
        for field in ("observations", "actions", "rewards", "masks", "ends"):
            assert_array_equal(getattr(found, field), getattr(wanted, field), err_msg=field)
    with pytest.raises(UserError, match="'terminals' and 'terminated' mean the same and differ: leave one out"):
        Dataset.from_arrays(rows | dict(terminated=np.zeros(12)), "x")
    ends = rows["terminals"] | rows["timeouts"]
    assert not [note for note in Dataset.from_arrays(rows | dict(dones=ends), "x").notes if "not read" in note]
    for key, x in dict(done=np.zeros(12), discounts=np.ones(12)).items():
        notes = Dataset.from_arrays(rows | {key: x}, "x").notes
        assert notes[0].startswith(f"{key!r} is not read: ")
