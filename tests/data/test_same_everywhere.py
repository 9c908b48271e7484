"""One rollout set in every format: bit-equal datasets and updates; and a chain whose values are known."""

import json
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qgf.critics import IQL
from qgf.data.dataset import Dataset
from qgf.environments.datasets import load_dataset
from qgf.training.config import TrainConfig
from qgf.training.methods.bc import BC
from qgf.training.setup import prepare

E, L, S, A, GAMMA = 40, 20, 2, 1, 0.99
"""Episodes, steps of each, sizes, discount."""
SHORT = TrainConfig(steps=200, batch_size=16, horizon=3, log_every=200, checkpoint_every=200, method=BC(16, 1))
CHAIN = TrainConfig(
    steps=2000, horizon=1, discount=GAMMA, batch_size=128, learning_rate=2e-3, log_every=2000, checkpoint_every=2000,
    method=BC(32, 2, IQL(expectile=0.5, polyak=0.05)),
)  # fmt: skip


def episodes():
    """States [L + 1, S] that count the steps, actions [L, A], rewards 1, and the task's end after the last step."""
    rng = np.random.default_rng(0)
    for _ in range(E):
        states = np.column_stack([np.arange(L + 1) / L, rng.normal(size=L + 1)]).astype(np.float32)
        actions = rng.uniform(-1, 1, (L, A)).astype(np.float32)
        yield states, actions, np.ones(L, np.float32), np.arange(L) == L - 1


def flat(final=True, **more):
    s, a, r, t = zip(*episodes(), strict=True)
    join = lambda parts: np.concatenate(list(parts))
    rows = dict(observations=join(x[:-1] for x in s), actions=join(a), rewards=join(r), terminals=join(t)) | more
    return rows | (dict(next_observations=join(x[1:] for x in s)) if final else {})


def d4rl_npz(out, **options):
    np.savez(out / "d4rl.npz", **flat(**options))
    return out / "d4rl.npz"


def d4rl_hdf5(out, **options):
    with h5py.File(out / "d4rl.hdf5", "w") as file:
        for name, x in (flat(**options) | dict(timeouts=np.zeros(E * L, bool))).items():
            file[name] = x
    return out / "d4rl.hdf5"


def ogbench_npz(out):
    pad = lambda x, value: np.concatenate([x, np.full((1, *x.shape[1:]), value, x.dtype)])
    rows = [(s, pad(a, 0), pad(r, 0), pad(1.0 - t, 1), np.arange(L + 1) == L) for s, a, r, t in episodes()]
    names = ("observations", "actions", "rewards", "masks", "terminals")
    np.savez(out / "ogbench.npz", **{name: np.concatenate([row[i] for row in rows]) for i, name in enumerate(names)})
    return out / "ogbench.npz"


def robomimic(out):
    with h5py.File(out / "robomimic.hdf5", "w") as file:
        for k, (s, a, r, t) in enumerate(episodes()):
            for name, x in {
                "obs/state": s[:-1],
                "next_obs/state": s[1:],
                "actions": a,
                "rewards": r,
                "dones": t,
            }.items():
                file[f"data/demo_{k}/{name}"] = x
    return out / "robomimic.hdf5"


def minari(out):
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
                id=k, observations=s, actions=a, rewards=r.tolist(), terminations=t.tolist(),
                truncations=[False] * L, infos={},
            )
            for k, (s, a, r, t) in enumerate(episodes())
        ]  # fmt: skip
        library.create_dataset_from_buffers(
            "tiny/chain-v0", buffer=buffers, observation_space=box(S), action_space=box(A)
        )
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        os.environ |= {} if kept is None else dict(MINARI_DATASETS_PATH=kept)
    return out / "minari" / "tiny" / "chain-v0"


def lerobot(out):
    import pyarrow
    import pyarrow.parquet

    root, parts = out / "lerobot", list(episodes())
    numbers = lambda x: pyarrow.array(x.tolist(), pyarrow.list_(pyarrow.float32(), x.shape[1]))
    columns = {
        "observation.state": numbers(np.concatenate([s[:-1] for s, *_ in parts])),
        "action": numbers(np.concatenate([a for _, a, *_ in parts])),
        "next.reward": np.concatenate([r for _, _, r, _ in parts]),
        "next.success": np.concatenate([t for *_, t in parts]),
        "frame_index": np.tile(np.arange(L), E),
        "episode_index": np.repeat(np.arange(E), L),
    }
    features = {name: dict(dtype="float32", shape=[1], names=None) for name in columns}
    for folder in ("meta", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "data" / "chunk-000" / "file-000.parquet")
    (root / "meta" / "info.json").write_text(json.dumps(dict(codebase_version="v3.0", fps=10, features=features)))
    return root


WHOLE = dict(d4rl_npz=d4rl_npz, d4rl_hdf5=d4rl_hdf5, robomimic=robomimic, minari=minari)
SHORTER = dict(
    d4rl_npz=lambda out: d4rl_npz(out, final=False, timeouts=np.zeros(E * L, bool)),
    d4rl_hdf5=lambda out: d4rl_hdf5(out, final=False),
    lerobot=lerobot,
)
FIELDS = ("observations", "actions", "ends", "rewards", "masks")


def same(found: Dataset, wanted: Dataset):
    for field in FIELDS:
        assert_array_equal(getattr(found, field), getattr(wanted, field), err_msg=field)
        assert getattr(found, field).dtype == getattr(wanted, field).dtype
    assert_array_equal(found.starts(3), wanted.starts(3))


@pytest.mark.parametrize("name", WHOLE)
def test_formats_with_final_states_are_one_dataset_to_the_bit(name, tmp_path):
    same(load_dataset(WHOLE[name](tmp_path)), load_dataset(ogbench_npz(tmp_path)))


def test_formats_without_final_states_are_one_dataset_too(tmp_path):
    """A task's end repeats the last state, whose value nothing asks for."""
    first, *others = (load_dataset(write(tmp_path)) for write in SHORTER.values())
    for other in others:
        same(other, first)
    whole = load_dataset(ogbench_npz(tmp_path))
    for field in FIELDS[1:]:
        assert_array_equal(getattr(first, field), getattr(whole, field), err_msg=field)
    assert_array_equal(first.observations[~first.ends], whole.observations[~whole.ends])


def test_the_first_updates_are_the_same_to_the_bit(tmp_path):
    """Through two readers of each kind, and no more: equal datasets are equal arguments of one program."""
    states = {}
    for name in ("d4rl_hdf5", "minari"):
        setup = prepare(replace(load_dataset(WHOLE[name](tmp_path)), name="x"), SHORT)
        states[name] = setup.learner.run(setup.start(), setup.chunks, 200)[0].nets
    for one, other in zip(*map(jax.tree.leaves, states.values()), strict=True):
        assert_array_equal(one, other)


def values(dataset, marks=0.0):
    """Q at steps 0, 10 and 19 after a short training, [3], for each of the marks that a state may carry."""
    setup = prepare(replace(dataset, name="x"), CHAIN)
    state, _ = setup.learner.run(setup.start(), setup.chunks, CHAIN.steps)
    policy = setup.trained(state)[0].policy()
    at = jnp.array([[k / L, mark] for mark in np.atleast_1d(marks) for k in (0, 10, 19)])
    return np.asarray(jax.vmap(policy.critic)(at, jnp.zeros((len(at), A))))


TRUE = np.array([(1 - GAMMA ** (L - k)) / (1 - GAMMA) for k in (0, 10, 19)])


def test_a_chain_that_ends_has_the_values_of_its_geometric_sum(tmp_path):
    """In every format that can say it: with final states (all of which are one dataset), and without."""
    assert pytest.approx([18.2, 9.6, 1.0], abs=0.05) == TRUE
    for path in (ogbench_npz(tmp_path), lerobot(tmp_path)):
        np.testing.assert_allclose(values(load_dataset(path)), TRUE, rtol=0.05)


def test_a_chain_that_is_cut_off_is_worth_more(tmp_path):
    """The same rows with time limits for ends: no step of them is worth as little as an end's."""
    path = d4rl_npz(tmp_path, terminals=np.zeros(E * L, bool), timeouts=np.tile(np.arange(L) == L - 1, E))
    assert (values(load_dataset(path)) > 1.5 * TRUE)[1:].all()


def test_a_chain_that_half_the_time_succeeds_has_success_to_go(tmp_path):
    """gamma to the power of the steps until success, and 0 where it fails."""
    succeeds = np.repeat(np.arange(E) % 2 == 0, L)
    rows = flat(success=succeeds & (np.arange(E * L) % L == L - 1))
    del rows["rewards"]
    for key in ("observations", "next_observations"):
        rows[key][:, 1] = np.where(succeeds, 1, -1)
    np.savez(tmp_path / "x.npz", **rows)
    found = values(load_dataset(tmp_path / "x.npz", rewards="success-to-go"), [1.0, -1.0])
    np.testing.assert_allclose(found, [*GAMMA ** np.array([19, 9, 0]), 0, 0, 0], atol=0.08)
