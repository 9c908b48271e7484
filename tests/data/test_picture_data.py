"""Pictures in every format that holds them as arrays, with their rows, and what is refused."""

import io

import numpy as np
import pytest

from qgf.cli.data import _print_dimensions
from qgf.data import Dataset
from qgf.data.doctor import examine, summary, suspicions
from qgf.data.npz import write_npz
from qgf.data.readers import read
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError

LENGTHS, SHAPE = (5, 4), (6, 7, 3)


def episodes():
    """T + 1 pictures and states, T actions and rewards; the first episode ends its task."""
    for k, steps in enumerate(LENGTHS):
        rng = np.random.default_rng(k)
        pictures = rng.integers(0, 256, (steps + 1, *SHAPE), np.uint8)
        states = rng.normal(size=(steps + 1, 2)).astype(np.float32)
        yield pictures, states, rng.uniform(-1, 1, (steps, 2)).astype(np.float32), np.arange(steps, dtype=np.float32)


def rows(final=True):
    """All rows of steps, and what follows them."""
    parts = [(p[:-1], s[:-1], a, r, p[1:], s[1:]) for p, s, a, r in episodes()]
    names = ("images/front", "observations", "actions", "rewards", "next_images/front", "next_observations")
    arrays = {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
    arrays["terminals"] = np.isin(np.arange(9), [4])
    arrays["timeouts"] = np.isin(np.arange(9), [8])
    return arrays if final else {key: x for key, x in arrays.items() if not key.startswith("next_")}


def compact():
    pad = lambda x: np.concatenate([x, np.zeros((1, *x.shape[1:]), x.dtype)])
    parts = [(p, s, pad(a), pad(r)) for p, s, a, r in episodes()]
    names = ("images/front", "observations", "actions", "rewards")
    arrays = {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
    masks = np.ones(11)
    masks[4] = 0
    return arrays | dict(terminals=np.isin(np.arange(11), [5, 10]), masks=masks)


def same(found, expected):
    for name in ("observations", "actions", "rewards", "masks", "ends"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert set(found.images) == set(expected.images)
    for name, x in expected.images.items():
        assert found.images[name].dtype == np.uint8
        np.testing.assert_array_equal(found.images[name], x)


def test_layouts_are_one_dataset():
    data = Dataset.from_arrays(compact(), "x")
    assert data.cameras == (("front", SHAPE),) and data.obs_dim == 2
    same(Dataset.from_arrays(rows(), "x"), data)
    lost = Dataset.from_arrays(rows(final=False), "x")  # no final states: the last step of what was cut off is given up
    np.testing.assert_array_equal(lost.images["front"][:5], data.images["front"][:5])
    np.testing.assert_array_equal(lost.images["front"][5], data.images["front"][4])
    assert len(lost.images["front"]) == len(lost.ends) == 10


def test_ogbenchs_pictures_in_the_place_of_observations(tmp_path):
    arrays = compact()
    arrays["observations"] = arrays.pop("images/front")
    np.savez(tmp_path / "visual.npz", **arrays)
    data = load_dataset(tmp_path / "visual.npz")
    assert data.cameras == (("image", SHAPE),) and data.obs_dim == 0
    seen = data.seen(np.arange(3), np.random.default_rng(0))
    assert set(seen) == {"image"} and seen["image"].shape == (3, *SHAPE)
    write_npz(tmp_path / "again.npz", data)
    same(load_dataset(tmp_path / "again.npz"), data)


def test_a_gap_that_only_a_picture_shows_ends_an_episode():
    arrays = rows()
    arrays["next_images/front"] = arrays["next_images/front"].copy()
    arrays["next_images/front"][1, 0, 0] += 1
    assert Dataset.from_arrays(arrays, "x").ends.sum() == 3


def test_named_arrays_of_a_file(tmp_path):
    arrays = compact()
    arrays |= dict(front=arrays.pop("images/front"), joints=arrays.pop("observations"))
    np.savez(tmp_path / "x.npz", **arrays)
    data = Dataset.from_arrays(read(tmp_path / "x.npz", ("front", "joints")), "x")
    same(data, Dataset.from_arrays(compact(), "x"))


def test_robomimic(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for k, (p, s, a, r) in enumerate(episodes()):
            demo = file.create_group(f"data/demo_{k}")
            for name, part in (("obs", slice(0, -1)), ("next_obs", slice(1, None))):
                demo[f"{name}/front"], demo[f"{name}/joints"] = p[part], s[part]
            demo["actions"], demo["rewards"] = a, r
            demo["dones"] = np.append(np.zeros(len(a) - 1), k == 0)
    data = Dataset.from_arrays(read(tmp_path / "x.hdf5", ("front", "joints")), "x")
    same(data, Dataset.from_arrays(compact(), "x"))
    assert Dataset.from_arrays(read(tmp_path / "x.hdf5"), "x").images == {}  # vectors, if nothing is named


def test_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    arrays, root = rows(), zarr.open_group(str(tmp_path / "x.zarr"), mode="w", zarr_format=2)
    named = dict(img=arrays["images/front"], state=arrays["observations"], action=arrays["actions"])
    for name, x in named.items():
        root.create_array(f"data/{name}", data=x)
    root.create_array("meta/episode_ends", data=np.cumsum(LENGTHS))
    data = Dataset.from_arrays(read(tmp_path / "x.zarr", ("img", "state")), "x")
    assert data.cameras == (("img", SHAPE),) and data.obs_dim == 2
    np.testing.assert_array_equal(data.images["img"][:5], arrays["images/front"][:5])


def test_lerobots_images_are_decoded_and_video_is_refused(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import json

    from PIL import Image

    def png(picture):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "png")
        return dict(bytes=file.getvalue(), path=None)

    arrays, top = rows(), "observation.images.top"
    kinds = {top: "image", "observation.images.far": "video", "action": "float32", "observation.state": "float32"}
    info = dict(codebase_version="v3.0", features={k: dict(dtype=v) for k, v in kinds.items()} | dict(episode_index={}))
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
    number = np.repeat([0, 1], LENGTHS)
    table = {
        top: [png(x) for x in arrays["images/front"]],
        "action": arrays["actions"].tolist(),
        "observation.state": arrays["observations"].tolist(),
        "episode_index": number,
        "frame_index": np.concatenate([np.arange(n) for n in LENGTHS]),
    }
    (tmp_path / "data" / "chunk-000").mkdir(parents=True)
    parquet.write_table(pyarrow.table(table), tmp_path / "data" / "chunk-000" / "file-000.parquet")
    data = Dataset.from_arrays(read(tmp_path, (top, "observation.state")), "x")
    np.testing.assert_array_equal(data.images[top][:4], arrays["images/front"][:4])
    assert data.obs_dim == 2
    with pytest.raises(UserError, match="encoded video, which is not decoded here") as caught:
        read(tmp_path, ("observation.images.far",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda x: x | {"images/front": x["images/front"] / 255}, "type float64, pictures are uint8"),
        (lambda x: x | {"images/front": x["images/front"][:-1]}, r"shape \[10, 6, 7, 3\], expected \[11, height"),
        (lambda x: x | {"images/state": x["images/front"]}, "a camera needs another name"),
        (lambda x: x | {"next_observations": x["observations"]}, "'next_images/front' is missing"),
        (lambda x: x | {"observations": x["images/front"].astype(float)}, "type float64, pictures are uint8"),
    ],
)
def test_wrong_pictures_are_one_line(change, said):
    with pytest.raises(UserError, match=said) as caught:
        Dataset.from_arrays(change(compact()), "x")
    assert "\n" not in str(caught.value)


def test_pictures_alone_have_no_table_of_numbers(capsys):
    arrays = compact()
    del arrays["observations"]
    _print_dimensions(examine(Dataset.from_arrays(arrays, "x"), 2))
    told = capsys.readouterr().out
    assert "action" in told and "observation" not in told


def test_the_doctor_sees_cameras():
    arrays = compact()
    arrays["images/dark"] = np.zeros((11, 4, 4, 1), np.uint8)
    found = examine(Dataset.from_arrays(arrays, "x"), 2)
    assert "2 observations and pictures dark 4 x 4 x 1, front 6 x 7 x 3 -> 2 actions" in summary(found)[0]
    assert [note for note in suspicions(found) if "camera" in note] == [
        "every picture of dark is the same: leave the camera out"
    ]
