"""A method and its critic as names and options: what each may be given, and JSON of this version and the one before."""

import json
import shutil
from types import SimpleNamespace

import jax
import pytest
from numpy.testing import assert_array_equal

import qgf.cli.train
import qgf.environments.datasets
from qgf.cli.main import main
from qgf.critics import CRITICS, IQL, TD, Ensemble, HLGauss
from qgf.errors import UserError
from qgf.files import read_json, write_json
from qgf.training.config import TrainConfig, configured, from_json
from qgf.training.folder import _claim
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC
from qgf.training.methods.qam import QAM
from qgf.training.options import make_method, method_from_json, method_to_json, options
from qgf.training.run import Run

# What a run's config.json held when the options of all critics lay among those of the method.
FLAT = dict(
    critics=None, expectile=0.9, candidates=4, rho=0.5, bins=101, value_low=None, value_high=None, polyak=0.005
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_options_are_those_of_the_method_and_of_its_critic(method):
    for critic, kind in CRITICS.items():
        found = options(method, critic)
        assert found.keys() >= {"width", "depth", "critics", "polyak"} and "critic" not in found
        assert ("rho" in found) == (kind is Ensemble) and ("bins" in found) == (kind is HLGauss)


def test_options_go_to_whom_they_belong():
    assert make_method("qam", "ensemble", chain=3, rho=0.1) == QAM(critic=Ensemble(rho=0.1), chain=3)
    assert make_method(expectile=0.7, width=8) == BC(8, critic=IQL(expectile=0.7))
    with pytest.raises(UserError, match="unknown option 'candidates'"):
        make_method("bc", "iql", candidates=3)
    with pytest.raises(UserError, match="unknown method 'qamm': did you mean 'qam'"):
        options("qamm")
    with pytest.raises(UserError, match="unknown critic 'dt'"):
        options("bc", "dt")


def test_a_preset_is_what_is_not_given_as_far_as_method_and_critic_have_it():
    paper = configured("paper")
    assert (paper.steps, paper.batch_size, paper.discount) == (500_000, 1024, 0.999)
    assert paper.method == BC(1024, 4, critic=IQL(critics=2, polyak=0.005, expectile=0.9))
    small = configured("paper", "qam", "ensemble", width=8, steps=3, critics=5)  # which has no expectile
    assert (small.steps, small.batch_size, small.method) == (3, 1024, QAM(8, 4, critic=Ensemble(critics=5)))
    assert configured() == TrainConfig()
    with pytest.raises(UserError, match="unknown preset 'papper': did you mean 'paper'"):
        configured("papper")
    with pytest.raises(UserError, match="unknown option 'chains'"):
        configured("paper", chains=3)


def test_json_names_the_critic_and_holds_its_options_alone():
    fields = json.loads(json.dumps(method_to_json(BC(8, critic=TD(candidates=3)))))
    assert fields == dict(
        name="bc", width=8, depth=3, critic=dict(name="td", critics=2, polyak=0.005, candidates=3), network="mlp",
        fourier=0, fourier_scale=1.0, encoder="impala", augment=0.5,
    )  # fmt: skip
    assert method_from_json(fields) == BC(8, critic=TD(candidates=3))


@pytest.mark.parametrize(
    "flat, method",
    [
        (dict(name="bc", width=8, depth=1, critic="iql"), BC(8, 1)),
        (dict(name="bc"), BC()),
        (dict(name="qam", critic="ensemble", rho=0.2, chain=4), QAM(critic=Ensemble(rho=0.2), chain=4)),
        (dict(name="bc", critic="td", critics=5, candidates=7, polyak=0.1), BC(critic=TD(5, 0.1, 7))),
        (
            dict(name="bc", critic="hl-gauss", bins=11, value_low=-3.0, value_high=2.0),
            BC(critic=HLGauss(bins=11, value_low=-3.0, value_high=2.0)),
        ),
    ],
)
def test_json_of_before_is_read(flat, method):
    assert method_from_json(FLAT | flat) == method
    assert method_from_json(flat) == method  # older still: without the options that had their defaults


def test_a_run_written_before_acts_as_it_did_and_is_continued(tiny_run, tmp_path):
    shutil.copytree(tiny_run.directory, tmp_path / "run")
    flat = FLAT | dict(name="bc", width=32, depth=1, critic="iql")
    for path, key in ((tmp_path / "run" / "config.json", "train"), (tmp_path / "run" / "policy" / "config.json", "")):
        content = read_json(path, dict)
        if key:
            content[key]["method"] = flat
        else:
            content |= dict(format=1, method=flat)
        write_json(path, content)
    old = Run(tmp_path / "run")
    assert old.config == tiny_run.config == from_json(old.record["train"])
    obs, key = jax.numpy.ones((3, 2)), jax.random.key(0)
    assert_array_equal(old.policy()(obs, key), tiny_run.policy()(obs, key))
    _claim(tmp_path / "run", tiny_run.record)  # the same settings: no error


def test_an_unknown_critic_in_a_run_is_one_line():
    with pytest.raises(UserError, match="unknown critic 'quantile'"):
        method_from_json(dict(name="bc", critic="quantile"))
    with pytest.raises(UserError, match="unknown critic 'quantile'"):
        method_from_json(dict(name="bc", critic=dict(name="quantile", tau=0.3)))


def test_the_command_line_offers_the_options_of_the_method_and_the_critic_named(monkeypatch, capsys):
    made = commanded(monkeypatch)
    for name, *given in (("td", "--candidates", "7"), ("hl-gauss", "--bins", "51", "--value-low", "-2")):
        main(["train", "x.npz", "--method", "qam", "--critic", name, "--chain", "3", *given])
    assert [config.method for config in made] == [
        QAM(critic=TD(candidates=7), chain=3),
        QAM(critic=HLGauss(bins=51, value_low=-2.0), chain=3),
    ]
    with pytest.raises(SystemExit):
        main(["train", "--method", "qam", "--critic", "ensemble", "--help"])
    told = capsys.readouterr().out
    assert "--rho" in told and "--chain" in told and "--bins" not in told


def commanded(monkeypatch) -> list:
    """What `qgf train` would train, from now on."""
    made, run = [], SimpleNamespace(directory="run", record=dict(dataset="x.npz"))
    monkeypatch.setattr(qgf.cli.train, "run_training", lambda data, config, *_, **__: made.append(config) or run)
    monkeypatch.setattr(qgf.environments.datasets, "load_dataset", lambda *where, **named: SimpleNamespace(name="x"))
    return made


def test_the_command_line_starts_from_a_preset(monkeypatch, capsys):
    made = commanded(monkeypatch)
    main(["train", "x.npz", "--preset", "paper", "--batch-size", "64", "--width", "32", "--critic", "td"])
    assert made == [configured("paper", critic="td", batch_size=64, width=32)]
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "paper" in capsys.readouterr().out
