"""Several devices, and several processes: the same training but for the rounding of sums, and exact for itself."""

import os
import socket
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import processes
from numbered import MEMORY, SMALL, made
from qgf.cli.main import main
from qgf.errors import UserError
from qgf.training.devices import join
from qgf.training.loop import train
from qgf.training.run import Run

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from numbered import MEMORY, SMALL, killed, made
from qgf.training.loop import train

out, data = Path(sys.argv[1]), made()
train(data, replace(SMALL, devices=4), out / "batch")
train(data, replace(SMALL, devices=4, seeds=4), out / "seeds")
train(data, replace(SMALL, devices=4), out / "window", memory=MEMORY)
killed(data, replace(SMALL, devices=4), out / "resumed")
train(data, replace(SMALL, devices=4), out / "resumed")
"""
TOGETHER = """
import sys
import qgf.cli.main
sys.argv[1:] = [*sys.argv[1:], "--devices", "2", "--steps", "200", "--batch-size", "16", "--horizon", "3",
    "--log-every", "50", "--checkpoint-every", "100", "--width", "16", "--depth", "2"]
qgf.cli.main.main(["train", *sys.argv[1:]])
"""


def weights(directory, seed=None):
    folder = directory / "policy" if seed is None else directory / "policy" / f"seed{seed}"
    return load_file(folder / "model.safetensors")


def apart(a, b):
    assert a.keys() == b.keys()
    return max(float(np.max(np.abs(a[key] - b[key]))) for key in a)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs of one device."""
    out, data = tmp_path_factory.mktemp("alone"), made()
    train(data, SMALL, out / "batch")
    train(data, replace(SMALL, seeds=4), out / "seeds")
    train(data, SMALL, out / "window", memory=MEMORY)
    return out


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
    for name in ("batch", "window"):
        assert apart(weights(alone / name), weights(four / name)) < 1e-6
    ours, theirs = (Run(place / "batch").metrics() for place in (alone, four))
    for key in ours:
        if key != "updates_per_second":
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4, atol=1e-6, err_msg=key)


def test_seeds_that_four_devices_share_train_the_same(alone, four):
    for seed in range(4):
        assert apart(weights(alone / "seeds", seed), weights(four / "seeds", seed)) < 1e-6


def test_a_killed_run_of_four_devices_resumes_to_the_bit(four):
    for name in ("policy/model.safetensors", "metrics.csv"):
        assert (four / "batch" / name).read_bytes() == (four / "resumed" / name).read_bytes()


def test_another_number_of_devices_does_not_go_on_with_a_run(four, alone):
    with pytest.raises(UserError, match=r"other settings .devices=4 there, 1 now.; use another --out or --overwrite"):
        train(made(), SMALL, four / "batch")


def test_a_policy_of_four_devices_is_exported_and_acts_on_one(four):
    from qgf.training.export import export

    before = (four / "batch/policy/model.safetensors").read_bytes()
    export(Run(four / "batch"), made())
    assert (four / "batch/policy/model.safetensors").read_bytes() == before
    assert Run(four / "batch").policy().guided()(np.zeros((2, 2)), 0).shape == (2, 3, 2)


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


def side_by_side(*arguments, processes_=2):
    """The command in several processes that train together: their exit statuses and what they said."""
    where, pipe = f"127.0.0.1:{port()}", dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = [
        processes.start(TOGETHER, *arguments, "--coordinator", where, "--process", f"{i}/{processes_}", **pipe)
        for i in range(processes_)
    ]
    try:
        said = [process.communicate(timeout=300) for process in started]
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
    status, said = side_by_side(source, "--out", out)
    assert status == [0, 0], said
    assert f"wrote {out}" in said[0][0], said
    told = [line for line in "".join(said[1]).splitlines() if line and "Gloo" not in line]
    assert not told  # the first alone tells
    assert apart(weights(alone / "batch"), weights(out)) < 1e-6
    assert Run(out).record["hosts"] == 2
    with pytest.raises(UserError, match="devices=2 there, 1 now"):
        train(made(), SMALL, out)


def test_what_fails_in_one_process_ends_both(source, tmp_path):
    out = tmp_path / "taken"
    out.mkdir()
    (out / "thesis.txt").write_text("")
    status, said = side_by_side(source, "--out", out)
    assert status == [2, 2]
    assert f"qgf: {out} is not empty and is no run directory" in said[0][1], said
    assert "another of the processes that train together ended" in said[1][1], said
