"""The same two episodes in every data format: the first ends because the task is solved, the second by a time limit."""

import json
from pathlib import Path

import numpy as np

LENGTHS, S, A = (7, 5), 4, 2


def episodes():
    """T + 1 states, T actions, rewards -1 until solved, terminated and truncated [T]."""
    for k, steps in enumerate(LENGTHS):
        rng = np.random.default_rng(k)
        states = rng.standard_normal((steps + 1, S)).astype(np.float32)
        actions = rng.uniform(-1, 1, (steps, A)).astype(np.float32)
        last = np.arange(steps) == steps - 1
        rewards = np.where(last & (k == 0), 0, -1).astype(np.float32)
        yield states, actions, rewards, last & (k == 0), last & (k == 1)


def flat(final=True):
    """Rows of steps, as D4RL has them."""
    rows = list(episodes())
    arrays = {
        name: np.concatenate([row[i] for row in rows])
        for i, name in enumerate(("actions", "rewards", "terminals", "timeouts"), 1)
    }
    arrays["observations"] = np.concatenate([s[:-1] for s, *_ in rows])
    return arrays | (dict(next_observations=np.concatenate([s[1:] for s, *_ in rows])) if final else {})


def d4rl_npz(out: Path, final=True) -> Path:
    np.savez(out / "d4rl.npz", **flat(final))
    return out / "d4rl.npz"


def ogbench_npz(out: Path) -> Path:
    """Compact: T + 1 rows an episode; masks say where the task has ended."""
    pad = lambda x, value: np.concatenate([x, np.full((1, *x.shape[1:]), value, x.dtype)])
    rows = [(s, pad(a, 0), pad(r, 0), pad(1.0 - t, 1)) for s, a, r, t, _ in episodes()]
    arrays = {
        name: np.concatenate([row[i] for row in rows])
        for i, name in enumerate(("observations", "actions", "rewards", "masks"))
    }
    ends = np.concatenate([np.arange(n + 1) == n for n in LENGTHS])
    np.savez(out / "ogbench.npz", **arrays, terminals=ends)
    return out / "ogbench.npz"


def d4rl(out: Path, final=True) -> Path:
    import h5py

    with h5py.File(out / "d4rl.hdf5", "w") as file:
        for name, x in flat(final).items():
            file[name] = x
    return out / "d4rl.hdf5"


def robomimic(out: Path) -> Path:
    import h5py

    with h5py.File(out / "robomimic.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(dict(env_name="Tiny", type=1, env_kwargs={}))
        for k, (s, a, r, t, _) in enumerate(episodes()):
            demo = data.create_group(f"demo_{k}")
            demo.attrs["num_samples"] = len(a)
            for name, x in (("obs", s[:-1]), ("next_obs", s[1:])):
                demo[f"{name}/eef"], demo[f"{name}/object"] = x[:, :3], x[:, 3:]
            demo["actions"], demo["rewards"], demo["dones"] = a, r, t.astype(np.int64)
    return out / "robomimic.hdf5"


def maniskill(out: Path) -> Path:
    import h5py

    with h5py.File(out / "trajectory.h5", "w") as file:
        for k, (s, a, r, t, u) in enumerate(episodes()):
            for name, x in dict(obs=s, actions=a, rewards=r, terminated=t, truncated=u, success=t).items():
                file[f"traj_{k}/{name}"] = x
    return out / "trajectory.h5"


def minari(out: Path, data_format="hdf5") -> Path:
    import os

    import gymnasium
    import minari as library
    from minari.data_collector import EpisodeBuffer

    kept = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(out / "minari")
    try:
        box = lambda n: gymnasium.spaces.Box(-10, 10, (n,), np.float32)
        buffers = [
            EpisodeBuffer(
                id=k,
                observations=s,
                actions=a,
                rewards=r.tolist(),
                terminations=t.tolist(),
                truncations=u.tolist(),
                infos={},
            )
            for k, (s, a, r, t, u) in enumerate(episodes())
        ]
        library.create_dataset_from_buffers(
            "tiny/walk-v0", buffer=buffers, observation_space=box(S), action_space=box(A), data_format=data_format
        )
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        os.environ |= {} if kept is None else dict(MINARI_DATASETS_PATH=kept)
    return out / "minari" / "tiny" / "walk-v0"


def diffusion_policy(out: Path) -> Path:
    import zarr

    rows = list(episodes())
    root = zarr.open_group(str(out / "replay.zarr"), mode="w", zarr_format=2)
    data, meta = root.create_group("data"), root.create_group("meta")
    data.create_array("obs", data=np.concatenate([s[:-1] for s, *_ in rows]), chunks=(100, S))
    data.create_array("action", data=np.concatenate([a for _, a, *_ in rows]), chunks=(100, A))
    meta.create_array("episode_ends", data=np.cumsum(LENGTHS))
    return out / "replay.zarr"


def lerobot(out: Path, rewards=True, **info) -> Path:
    """One parquet file an episode, the later one first by name of its chunk."""
    import pyarrow
    import pyarrow.parquet

    root = out / "lerobot"
    feature = lambda kind, n: dict(dtype=kind, shape=[n], names=None)
    features = {
        "observation.state": feature("float32", S),
        "action": feature("float32", A),
        "next.success": feature("bool", 1),
    }
    features |= {name: feature("int64", 1) for name in ("frame_index", "episode_index", "index")}
    features |= {"next.reward": feature("float32", 1)} if rewards else {}
    for k, (s, a, r, t, _) in enumerate(episodes()):
        n = len(a)
        vectors = {
            name: pyarrow.array(x.tolist(), pyarrow.list_(pyarrow.float32(), x.shape[1]))
            for name, x in (("observation.state", s[:-1]), ("action", a))
        }
        columns = vectors | {
            "next.success": t,
            "frame_index": np.arange(n),
            "episode_index": np.full(n, k),
            "index": np.arange(n),
        }
        columns |= {"next.reward": r} if rewards else {}
        path = root / "data" / f"chunk-{1 - k:03d}" / "file-000.parquet"
        path.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    (root / "meta").mkdir()
    (root / "meta" / "info.json").write_text(
        json.dumps(dict(codebase_version="v3.0", fps=10, features=features) | info)
    )
    return root
