"""A window that moves through the data: what is in it, that it is resumed to the bit, and what is refused."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import processes
from numbered import made
from qgf.data.dataset import expendable
from qgf.environments.converting import convert
from qgf.environments.datasets import load_dataset
from qgf.errors import UserError
from qgf.training.config import TrainConfig, from_json, to_json
from qgf.training.export import export
from qgf.training.loop import train
from qgf.training.memory import read_size
from qgf.training.methods.bc import BC
from qgf.training.methods.goals import GC
from qgf.training.run import Run
from qgf.training.setup import prepare

CONFIG = TrainConfig(steps=120, batch_size=8, horizon=3, log_every=10, checkpoint_every=20, method=BC(width=8, depth=1))
MEMORY = "8KB"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same data in a file and as record shards, with some that are held out."""
    data, place = made(), tmp_path_factory.mktemp("window")
    arrays = dict(observations=data.observations, actions=data.actions, terminals=data.ends)
    np.savez(place / "data.npz", **arrays, rewards=data.rewards, masks=data.masks)
    np.savez(place / "data-val.npz", **arrays, rewards=data.rewards, masks=data.masks)
    convert(place / "data.npz", place / "shards")
    return place


def rows_of(setup, step):
    """The first rows of the chunks in the window, and those of their dataset."""
    data = setup.window.at(step)
    number = np.round(np.asarray(data.obs[:, 0]) * setup.std[0] + setup.mean[0]).astype(int)
    return data, number, number[np.asarray(data.starts)]


def test_every_chunk_in_the_window_is_one_of_the_data(files):
    data = made()
    for source in (data, load_dataset(files / "shards")):
        setup = prepare(source, CONFIG, memory=read_size(MEMORY))
        everything = prepare(data, CONFIG)
        whole, _, place = rows_of(everything, 0)
        plan, known = setup.window.plan, {row: k for k, row in enumerate(place)}
        assert plan.every == 10 and 0 < plan.block * plan.blocks < len(place) / 2
        for step in (0, 10, 40):
            window, _, starts = rows_of(setup, step)
            assert len(starts) == plan.block * plan.blocks
            chosen = np.array([known[row] for row in starts])
            key = jax.random.key(0)
            mine, theirs = window.batch(np.arange(len(starts)), 3, key), whole.batch(chosen, 3, key)
            for x, y in zip(mine, theirs, strict=True):
                assert x is y is None or (np.asarray(x) == np.asarray(y)).all()


def test_what_is_held_depends_on_seed_and_updates_alone():
    data, memory = made(), read_size(MEMORY)
    walked = prepare(data, CONFIG, memory=memory)
    found = {step: np.asarray(rows_of(walked, step)[2]) for step in range(0, 200, 10)}
    for step in (130, 10, 0, 20):
        assert_array_equal(rows_of(prepare(data, CONFIG, memory=memory), step)[2], found[step])
        assert_array_equal(rows_of(walked, step)[2], found[step])  # backwards, too
    plan = walked.window.plan
    moved = [k % plan.blocks for k, (a, b) in enumerate(zip(found.values(), list(found.values())[1:], strict=False))
             for same in [np.flatnonzero((a.reshape(plan.blocks, -1) != b.reshape(plan.blocks, -1)).any(axis=1))]
             if list(same) == [k % plan.blocks]]  # fmt: skip
    assert len(moved) == len(found) - 1  # the oldest block, and no other
    other = prepare(data, replace(CONFIG, seed=1), memory=memory)
    assert (rows_of(other, 0)[2] != found[0]).any()
    passed = np.concatenate([x.reshape(plan.blocks, -1)[(step // 10 + plan.blocks - 1) % plan.blocks]
                             for step, x in found.items()])  # fmt: skip
    assert len(np.unique(passed)) > 0.8 * len(passed)  # they are new ones


def test_goals_are_states_of_the_window_and_of_one_s_own_episode():
    data = made(goals=True)
    config = replace(CONFIG, method=GC(width=8, depth=1, long=6))
    setup = prepare(data, config, memory=read_size(MEMORY))
    window, number, starts = rows_of(setup, 30)
    assert set(number) <= set(range(len(data.ends)))
    last = np.flatnonzero(data.ends)
    episode_end = last[np.searchsorted(last, starts)]
    mine = number[np.asarray(window.ends)]
    assert (mine <= episode_end).all() and (mine - starts >= 6).all()
    assert len(np.unique(mine)) > 1
    goal = window.draw(np.arange(len(starts)), jax.random.key(0))
    assert goal.max() < len(number)
    seen = np.round(np.asarray(window.goals[goal][:, 0]) * setup.std[2] + setup.mean[2])
    assert_array_equal(seen, number[np.asarray(goal)])


def weights(run):
    return (run.directory / "policy" / "model.safetensors").read_bytes(), (run.directory / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def straight(files):
    """A run that nothing stopped, on record shards through a window; and what it said of it."""
    said = []
    run = train(load_dataset(files / "shards"), CONFIG, files / "straight", memory=MEMORY, tell=said.append)
    assert len(said) == 1
    return run, said[0]


def test_what_is_held_is_said_and_kept(straight, files):
    run, said = straight
    plan = run.record["window"]
    held = f"{plan['block'] * plan['blocks']:,}"
    assert re.fullmatch(
        rf"a window of {held} of [\d,]+ chunks is held, in [\d.]+ kB \(--memory: 8 kB\); every 10 updates "
        rf"{plan['block']} of them are replaced",
        said,
    )
    again = train(load_dataset(files / "data.npz"), CONFIG, files / "memory", memory=MEMORY)
    assert weights(again) == weights(run)  # of data in memory the same


def test_what_fits_is_held_whole_and_trained_as_ever(files):
    said, spent, kept = [], expendable(load_dataset(files / "data.npz")), load_dataset(files / "data.npz")
    ways = [
        train(data, CONFIG, files / f"whole-{name}", tell=said.append, **more)
        for data, name, more in (
            (kept, "data", {}),
            (spent, "spent", {}),
            (load_dataset(files / "shards"), "shards", {}),
            (load_dataset(files / "shards"), "shards", dict(memory="1GB", overwrite=True)),
        )
    ]
    assert len({weights(run) for run in ways}) == 1
    assert_array_equal(kept.observations, made().observations)
    mean, std = kept.normaliser()
    assert_array_equal(spent.observations, (kept.observations - mean) / std)  # the device has no memory of its own
    assert [re.sub(r"[\d.]+", "N", line) for line in said] == [
        "all N chunks are held, in N kB (a quarter of what is free: N GB)",
        "all N chunks are held, in N kB (--memory: N GB)",
    ]
    assert ways[-1].record["window"] is None


def test_the_program_is_compiled_once_and_while_the_window_is_read(files, caplog):
    setup = prepare(load_dataset(files / "shards"), replace(CONFIG, learning_rate=2e-3), memory=read_size(MEMORY))
    state = setup.start()
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        setup.learner.compile(state, setup.window.begin(0), 10)
        for step in (0, 10, 20):  # the state is of another program from the second on
            state, _ = setup.learner.run(state, setup.window.at(step), 10)
            assert setup.window.begin(step) is None
    assert len([x for x in caplog.messages if x.startswith("Compiling jit(run)")]) == 1
    setup.window.close()
    ready = prepare(load_dataset(files / "shards"), CONFIG, memory=read_size(MEMORY)).window
    ready.begin(0)
    ready.close()  # before it was read
    assert not ready._ahead


TRAIN = """
import json, sys
from qgf.training.config import from_json
from qgf.environments.datasets import load_dataset
from qgf.training.loop import train
data, config, directory, memory = sys.argv[1:]
train(load_dataset(data), from_json(json.loads(config)), directory, memory=memory)
"""


def test_a_killed_run_resumes_to_the_bit(straight, files, tmp_path):
    run, there = straight[0], tmp_path / "killed"
    metrics = there / "metrics.csv"
    for rows in (5,):
        program = processes.start(TRAIN, files / "shards", json.dumps(to_json(CONFIG)), there, MEMORY)
        try:
            enough = lambda rows=rows: metrics.exists() and metrics.read_text().count("\n") > rows
            processes.wait_until(enough, program)
            processes.kill(program)
        finally:
            processes.clear(program)
        assert not (there / "policy").exists(), f"killed after row {rows}: too late"
    assert weights(train(load_dataset(files / "shards"), CONFIG, there)) == weights(run)  # --memory was kept
    before = weights(run)[0]
    export(run, load_dataset(files / "shards"))
    assert weights(run)[0] == before  # its calibration does not depend on where the window is


def test_a_run_keeps_its_window(straight, files):
    data, run = load_dataset(files / "shards"), straight[0]
    before = sorted(path.stat().st_mtime_ns for path in run.directory.rglob("*") if path.name != ".lock")
    for wrong, said in (
        (dict(memory="1GB"), "the run holds a window of .* with this --memory it would hold all of its data"),
        (dict(memory="1KB"), r"1 kB \(--memory\) are too little for a window of its episodes, which needs [\d.]+ kB"),
        (dict(config=replace(CONFIG, log_every=20)), "window moves every 10 updates, which --log-every has to stay"),
    ):
        with pytest.raises(UserError, match=said):
            train(data, wrong.pop("config", CONFIG), run.directory, **wrong)
    assert before == sorted(path.stat().st_mtime_ns for path in run.directory.rglob("*") if path.name != ".lock")
    assert from_json(run.record["train"]) == CONFIG


def test_a_shard_that_changed_ends_a_run_with_one_line(files, tmp_path):
    target = convert(files / "data.npz", tmp_path / "shards")
    data, shard = load_dataset(target), target / "rows-00000.npy"
    config = replace(CONFIG, log_every=20)

    def change(step, logs):
        if step == 40:
            shard.write_bytes(shard.read_bytes()[:-4] + bytes(4))

    with pytest.raises(UserError, match=r"rows-00000\.npy: was changed while it was read"):
        train(data, config, tmp_path / "run", memory=MEMORY, progress=change)
    with pytest.raises(UserError, match=r"rows-00000\.npy: is not what was written"):
        load_dataset(target)
    assert not (tmp_path / "run" / "policy").exists() and Run(tmp_path / "run").config == config


@pytest.mark.parametrize(
    "text, size",
    [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5e9", 1_500_000_000), (64, 64), ("1GiB", 2**30), ("3kB", 3000)],
)
def test_an_amount_of_memory(text, size):
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-2GB", "2 apples", "0", "1e400GB", "nan"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(UserError, match="is no amount of memory such as 2GB"):
        read_size(text)
