"""What a file declares is asked before memory is taken, and what is no file is refused at once."""

import io
import json
import os
import resource
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from numpy.lib import format as npy

import formats
from qgf.data.npz import read_npz
from qgf.data.readers import hdf5, lerobot, minari, zarr
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError
from qgf.files import Room
from qgf.files.room import DENSEST, FLOOR, free_memory


def refused(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def little_memory(more=256 * 2**20):
    """The block may take so many bytes more than the process has."""
    words = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(words["VmData"].split()[0]) + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def member(shape, dtype="<f4", content=b""):
    file = io.BytesIO()
    npy.write_array_header_1_0(file, dict(shape=shape, fortran_order=False, descr=dtype))
    return file.getvalue() + content


def archive(path, *members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in members:
            file.writestr(f"{name}.npy", content)
    return path


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("observations.npy", "w") as inside:
        inside.write(member((512 << 18,)))
        for _ in range(512):
            inside.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with little_memory():
        assert "which no data are as empty as" in refused(lambda: read_npz(path))


@pytest.mark.parametrize("shape", [(10**10,), (2**62, 4), (-1,), (3,), (5,)])
def test_a_head_that_lies_is_refused(tmp_path, shape):
    path = archive(tmp_path / "lie.npz", ("observations", member(shape, content=bytes(16))))
    with little_memory():
        assert "declares" in refused(lambda: read_npz(path))


def test_an_archive_that_lies_is_refused(tmp_path):
    path = archive(tmp_path / "lie.npz", ("observations", member((10**10,), content=bytes(16))))
    size = zipfile.ZipFile(path).getinfo("observations.npy").file_size
    content = path.read_bytes().replace(size.to_bytes(4, "little"), (4 * 10**9).to_bytes(4, "little"))
    path.write_bytes(content)
    with little_memory():
        assert "cannot be read" in refused(lambda: read_npz(path))


def test_what_numpy_does_not_write_is_one_line(tmp_path):
    whole = member((4,), content=bytes(16))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(tmp_path / "twice.npz", ("actions", whole), ("actions", whole))
    assert "'actions' is there twice" in refused(lambda: read_npz(twice))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = archive(tmp_path / "packed.npz", ("actions", whole), compression=method)
        assert "packed in a way that NumPy does not use" in refused(lambda path=path: read_npz(path))
    locked = bytearray(archive(tmp_path / "locked.npz", ("actions", whole)).read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(signature) + flags] |= 1
    (tmp_path / "locked.npz").write_bytes(locked)
    assert "'actions' is encrypted" in refused(lambda: read_npz(tmp_path / "locked.npz"))
    np.savez(tmp_path / "pickled.npz", actions=np.array([{}], object))
    assert "'actions' holds pickled objects" in refused(lambda: read_npz(tmp_path / "pickled.npz"))
    deep = archive(tmp_path / "deep.npz", ("actions", whole.replace(b"(4,)", b"((((", 1)))
    assert "cannot be read" in refused(lambda: read_npz(deep))


def test_a_name_does_not_fill_the_message(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(60_000 * "x", b"no array")
    assert len(refused(lambda: read_npz(tmp_path / "x.npz", keys=None))) < 300
    assert len(refused(lambda: load_dataset(tmp_path / "x.npz"))) < 600


def test_what_is_not_asked_for_may_be_anything(tmp_path):
    np.savez(tmp_path / "mine.npz", actions=np.zeros(3), notes=np.array([{}], object))
    assert list(read_npz(tmp_path / "mine.npz")) == ["actions"]


@pytest.mark.parametrize("what", ["folder", "pipe", "loop", "zeros"])
@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_what_is_no_file_is_refused_at_once(tmp_path, what, suffix):
    path = tmp_path / f"data{suffix}"
    make = dict(
        folder=path.mkdir, pipe=lambda: os.mkfifo(path), loop=lambda: path.symlink_to(path),
        zeros=lambda: path.symlink_to("/dev/zero"),
    )  # fmt: skip
    make[what]()
    refused(lambda: load_dataset(path))


@pytest.mark.parametrize(
    "write, read, inside",
    [
        (formats.lerobot, lerobot.read, "meta/info.json"),
        (formats.lerobot, lerobot.read, "data/chunk-000/file-000.parquet"),
        (formats.diffusion_policy, zarr.read, "data/obs/0.0"),
        (formats.minari, minari.read, "data/main_data.hdf5"),
    ],
)
def test_what_is_no_file_inside_a_folder_is_refused_at_once(tmp_path, write, read, inside):
    path = write(tmp_path)
    for make in (os.mkfifo, lambda file: file.symlink_to(file), lambda file: file.symlink_to("/dev/zero")):
        (path / inside).unlink()
        make(path / inside)
        refused(lambda: read(path))


def test_arrays_that_are_declared_and_not_there_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = formats.d4rl(tmp_path)
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file.create_dataset("rewards", shape=(10**10,), dtype="f4", chunks=(1000,))
    with little_memory():
        assert "which no data are as empty as" in refused(lambda: hdf5.read(path))
    path = formats.minari(tmp_path) / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        file.create_dataset("episode_0/more", shape=(10**10,), dtype="f4", chunks=(1000,))
    with little_memory():
        assert "which no data are as empty as" in refused(lambda: minari.read(path.parents[1]))
    root = formats.diffusion_policy(tmp_path)
    meta = root / "data" / "obs" / ".zarray"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | dict(shape=[10**10, 4])))
    with little_memory():
        assert "which no data are as empty as" in refused(lambda: zarr.read(root))


def test_a_codec_that_cannot_even_be_named_is_refused(tmp_path):
    root = formats.diffusion_policy(tmp_path)
    meta = root / "data" / "action" / ".zarray"
    known = json.loads(meta.read_text())
    meta.write_text(json.dumps(known | dict(compressor=known["compressor"] | dict(shuffle=5))))
    assert "not a replay buffer (IndexError" in refused(lambda: zarr.read(root))


def test_minari_makes_no_environment_that_the_data_name(tmp_path):
    """Minari does, to know spaces that are not in its metadata, and an environment is any function with any words."""
    path, ran = formats.minari(tmp_path), tmp_path / "ran"
    meta = path / "data" / "metadata.json"
    known = json.loads(meta.read_text())
    made = EnvSpec("x-v0", entry_point="os:mkdir", kwargs=dict(path=str(ran))).to_json()
    for missing in ("observation_space", "action_space"):
        spec = {name: x for name, x in known.items() if name != missing} | dict(env_spec=made)
        meta.write_text(json.dumps(spec))
        assert f"no {missing}: " in refused(lambda: minari.read(path))
        assert not ran.exists()
    meta.write_text(json.dumps(known | dict(env_spec=made)))
    assert len(minari.read(path)["actions"]) and not ran.exists()  # where it has both, nothing has to be made


def test_minari_is_not_believed_how_much_there_is(tmp_path):
    path = formats.minari(tmp_path)
    meta = path / "data" / "metadata.json"
    known = json.loads(meta.read_text())
    space = dict(type="Box", dtype="float32", shape=[10**10], low=0.0, high=1.0)
    for lie in (dict(total_episodes=10**10), dict(total_episodes=2**53), dict(observation_space=json.dumps(space))):
        meta.write_text(json.dumps(known | lie))
        with little_memory():
            assert "which no data are as empty as" in refused(lambda: minari.read(path))


def test_hdf5_reads_no_other_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(1000))
    other = formats.d4rl(tmp_path).rename(tmp_path / "other.hdf5")
    for how in ("link", "external", "virtual"):
        path = formats.d4rl(tmp_path)
        with h5py.File(path, "a") as file:
            del file["rewards"]
            if how == "link":
                file["rewards"] = h5py.ExternalLink(str(other), "rewards")
            elif how == "external":
                file.create_dataset("rewards", (12,), "f4", external=[(str(tmp_path / "secret"), 0, 48)])
            else:
                layout = h5py.VirtualLayout((12,), "f4")
                layout[:] = h5py.VirtualSource(str(other), "rewards", (12,))
                file.create_virtual_dataset("rewards", layout)
        said = refused(lambda path=path: hdf5.read(path))
        assert ("another file" if how == "link" else "no numbers of its own in the file") in said


def test_room_is_counted_together_and_follows_the_file(tmp_path):
    room = Room(tmp_path / "x", FLOOR)
    room.take(DENSEST * FLOOR // 2 if free_memory() > DENSEST * FLOOR else free_memory() // 2, "half")
    with pytest.raises(UserError, match="the rest"):
        room.take(DENSEST * FLOOR, "the rest")
    with pytest.raises(UserError, match=r"much needs .* of memory, .* are free"):
        Room(tmp_path / "x", 2**60).take(2**50, "much")
    assert 0 < free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_chunk_that_unpacks_to_more_is_refused_before_it_does(tmp_path):
    h5py = pytest.importorskip("h5py")
    deflate = zlib.compressobj(1)
    bomb = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(400)) + deflate.flush()
    path, kept = formats.d4rl(tmp_path), formats.minari(tmp_path)
    for file, name, n in ((path, "rewards", 12), (kept / "data" / "main_data.hdf5", "episode_0/rewards", 7)):
        with h5py.File(file, "a") as opened:
            del opened[name]
            array = opened.create_dataset(name, (n,), "f4", chunks=(n,), compression="gzip")
            array.id.write_direct_chunk((0,), bomb)
    root = formats.diffusion_policy(tmp_path)
    meta = root / "data" / "obs" / ".zarray"
    packed = dict(compressor=dict(id="zlib", level=1), chunks=[300_000, 4])
    meta.write_text(json.dumps(json.loads(meta.read_text()) | packed))
    (root / "data" / "obs" / "0.0").write_bytes(bomb)
    for read, place in ((hdf5.read, path), (minari.read, kept), (zarr.read, root)):
        with little_memory():
            assert "unpacks to more than" in refused(lambda read=read, place=place: read(place))


def test_chunks_that_are_large_and_honest_are_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    path, rng = tmp_path / "large.hdf5", np.random.default_rng(0)
    n = 100_000
    states = rng.normal(size=(n, 4)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "observations", data=states, chunks=(n, 4), compression="gzip", shuffle=True, fletcher32=True
        )
        for name, x in dict(actions=np.zeros((n, 1)), terminals=np.arange(n) % 100 == 99, rewards=np.ones(n)).items():
            file.create_dataset(name, data=x, compression="lzf", chunks=True)
    assert np.array_equal(hdf5.read(path)["observations"], states)
