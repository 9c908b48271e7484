"""Several devices, and several processes: the same training but for the rounding of sums, and exact for itself."""

import json
import os
import socket
import subprocess
from dataclasses import replace

import jax
import numpy as np
import pytest

import processes
from numbered import SMALL, learned, made
from qgf.cli.main import main
from qgf.errors import UserError
from qgf.training.devices import join
from qgf.training.loop import train
from qgf.training.run import Run

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from numbered import SMALL, killed, learned, made
from qgf.training.loop import train

out, data, four = Path(sys.argv[1]), made(), replace(SMALL, devices=4)
np.savez(out / "batch.npz", *learned(data, four))
np.savez(out / "seeds.npz", *learned(data, replace(four, seeds=4)))
killed(data, four, out / "run")
train(data, four, out / "run")
"""
TOGETHER = """
import sys
import qgf.cli.main
sys.argv[1:] = [*sys.argv[1:], "--devices", "2", "--steps", "200", "--batch-size", "16", "--horizon", "3",
    "--log-every", "50", "--checkpoint-every", "100", "--width", "16", "--depth", "2"]
qgf.cli.main.main(["train", *sys.argv[1:]])
"""
PARTS = """
import json, sys
from dataclasses import replace
import jax
import numpy as np
from numbered import MEMORY, SMALL, learned, made
from qgf.training.devices import join
from qgf.training.memory import read_size
from qgf.training.setup import prepare

join(sys.argv[2], sys.argv[4])
config, data = replace(SMALL, devices=2, steps=100), made()
setup = prepare(data, config, memory=read_size(MEMORY))
obs, starts = (np.asarray(x.addressable_data(0))[0] for x in setup.window.at(0).data[::2][:2])
rows = np.round(obs[starts, 0] * setup.std[0] + setup.mean[0]).astype(int)
setup.window.close()
nets = learned(data, config, MEMORY)
print(json.dumps(dict(rows=rows.tolist(), sums=[repr(float(x.sum())) for x in nets])))
"""


def apart(ours, theirs):
    """The largest difference of two lists of arrays."""
    return max(float(np.max(np.abs(a - b))) for a, b in zip(ours, theirs, strict=True))


def stored(path):
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def trained(run):
    """The arrays of its policy's networks."""
    return [np.asarray(x) for x in jax.tree.leaves(Run(run).trained().nets)]


@pytest.fixture(scope="module")
def alone():
    """What one device learns of a batch."""
    return learned(made(), SMALL)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """The same of four."""
    out = tmp_path_factory.mktemp("four")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4")
        program = processes.start(PROGRAM, out, stderr=subprocess.PIPE, text=True)
        _, said = program.communicate(timeout=600)
    assert program.returncode == 0, said
    return out


def test_a_batch_that_four_devices_share_trains_the_same(alone, four):
    assert apart(alone, stored(four / "batch.npz")) < 1e-6


def test_seeds_that_four_devices_share_train_the_same(four):
    assert apart(learned(made(), replace(SMALL, seeds=4)), stored(four / "seeds.npz")) < 1e-6


def test_a_killed_run_of_four_devices_resumes_to_the_bit(four):
    assert apart(trained(four / "run"), stored(four / "batch.npz")) == 0


def test_another_number_of_devices_does_not_go_on_with_a_run(four):
    with pytest.raises(UserError, match=r"other settings .devices=4 there, 1 now.; use another --out or --overwrite"):
        train(made(), SMALL, four / "run")


def test_a_policy_of_four_devices_is_exported_and_acts_on_one(four):
    from qgf.training.export import export

    before = (four / "run/policy/model.safetensors").read_bytes()
    export(Run(four / "run"), made())
    assert (four / "run/policy/model.safetensors").read_bytes() == before
    assert Run(four / "run").policy().guided()(np.zeros((2, 2)), 0).shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(devices=2), r"--devices 2: there is 1 \(cpu\); XLA_FLAGS=--xla_force_host_platform_device_count=2 makes"),
        (dict(devices=0), "devices must be at least 1"),
    ],
)
def test_devices_that_are_not_there_are_a_line(change, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train(made(), replace(SMALL, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("coordinator", "process", "said"),
    [
        ("127.0.0.1:1", "", "--process .none.: write I/N"),
        ("127.0.0.1:1", "2/2", "--process 2/2: write I/N"),
        ("here", "0/2", "--coordinator here: write HOST:PORT"),
        ("auto", "0/2", "--process 0/2: with --coordinator auto"),
    ],
)
def test_processes_that_could_not_meet_are_a_line(coordinator, process, said):
    with pytest.raises(UserError, match=said):
        join(coordinator, process)


def test_a_process_needs_a_coordinator(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path / "x.npz"), "--process", "0/2"])
    assert "--process 0/2: needs the --coordinator HOST:PORT of the first" in capsys.readouterr().err


def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def side_by_side(code, *arguments):
    """A program in two processes that train together: their exit statuses and what they said."""
    where, pipe = f"127.0.0.1:{port()}", dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    options = lambda i: ("--coordinator", where, "--process", f"{i}/2")
    started = [processes.start(code, *arguments, *options(i), **pipe) for i in range(2)]
    try:
        said = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            processes.clear(process)
    return [process.returncode for process in started], said


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    data, place = made(), tmp_path_factory.mktemp("source")
    arrays = dict(observations=data.observations, actions=data.actions, terminals=data.ends)
    np.savez(place / "numbered.npz", **arrays, rewards=data.rewards, masks=data.masks)
    return place / "numbered.npz"


def test_two_processes_train_what_one_does(alone, source, tmp_path):
    out = tmp_path / "run"
    status, said = side_by_side(TOGETHER, source, "--out", out)
    assert status == [0, 0], said
    assert f"wrote {out}" in said[0][0], said
    told = [line for line in "".join(said[1]).splitlines() if line and "Gloo" not in line]
    assert not told  # the first alone tells
    assert apart(alone, trained(out)) < 1e-6
    assert Run(out).record["hosts"] == 2
    with pytest.raises(UserError, match="devices=2 there, 1 now"):
        train(made(), SMALL, out)


def test_what_fails_in_one_process_ends_both(source, tmp_path):
    out = tmp_path / "taken"
    out.mkdir()
    (out / "thesis.txt").write_text("")
    status, said = side_by_side(TOGETHER, source, "--out", out)
    assert status == [2, 2]
    assert f"qgf: {out} is not empty and is no run directory" in said[0][1], said
    assert "another of the processes that train together ended" in said[1][1], said


def test_each_process_holds_episodes_of_its_own_and_draws_its_share_from_them():
    status, said = side_by_side(PARTS)
    assert status == [0, 0], said
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert first["sums"] == second["sums"]  # one training
    episode = np.cumsum(made().ends) - made().ends
    mine, theirs = (set(episode[x["rows"]]) for x in (first, second))
    assert mine and theirs and not mine & theirs
