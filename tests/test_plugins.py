"""Files of one's own: what they register has a name everywhere, and mistakes in them are one line."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qgf
from qgf import plugins
from qgf.cli.main import main
from qgf.critics import CRITICS
from qgf.errors import UserError
from qgf.method.guides import GUIDES, find
from qgf.method.schedules import SCHEDULES
from qgf.networks import NETWORKS
from qgf.plugins import USED, use
from qgf.registry import REGISTRIES
from qgf.training.config import TrainConfig
from qgf.training.loggers import LOGGERS, make_logger
from qgf.training.loop import train
from qgf.training.methods import METHODS
from qgf.training.options import make_method
from qgf.training.run import Run
from qgf.training.trained import load_trained

EXAMPLES = Path(__file__).parents[1] / "examples" / "own"
EXAMPLE = EXAMPLES / "guide.py"


pytestmark = pytest.mark.usefixtures("forget")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_each_example_adds_one_thing_in_few_lines(file):
    assert len(file.read_text().splitlines()) < 25
    before = {kind: set(registry.own) for kind, registry in REGISTRIES.items()}
    use(file)
    added = {kind: set(registry.own) - before[kind] for kind, registry in REGISTRIES.items()}
    ((kind, names),) = ((kind, names) for kind, names in added.items() if names)
    assert len(names) == 1 and kind == dict(guide="estimator").get(file.stem, file.stem)
    assert all(REGISTRIES[kind].summaries()[name] for name in names)


def test_a_guide_of_ones_own_is_wrapped_too():
    use(EXAMPLE)
    assert "late" in GUIDES and find("placebo:late") is find("placebo:late")


def walks(path):
    """Made-up data of three episodes for the hill, as text."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(-1, 1, (60, 3)), rng.normal(size=60), np.arange(60) % 20 == 19])
    path.write_text("s0,s1,a0,reward,terminal\n" + "\n".join(",".join(map(str, row)) for row in rows))


def test_the_examples_train_together(tmp_path, capsys):
    """Data, method, critic, network and logger in one run; guide, schedule and environment in its evaluation."""
    walks(tmp_path / "walks")
    files = [word for file in sorted(EXAMPLES.glob("*.py")) for word in ("--use", str(file))]
    chosen = "--method smooth --spread 0.1 --critic returns --scale 2 --network waves --log lines"
    small = "--steps 20 --log-every 10 --checkpoint-every 20 --batch-size 8 --width 8 --depth 2"
    main([*files, "train", str(tmp_path / "walks"), "--out", str(tmp_path / "run"), *chosen.split(), *small.split()])
    run = Run(tmp_path / "run")
    method = run.config.method
    assert (method.name, method.spread, method.critic.name, method.critic.scale) == ("smooth", 0.1, "returns", 2.0)
    assert type(load_trained(run.directory).nets.flow.net).__name__ == "Waves"
    assert [json.loads(line)["step"] for line in (run.directory / "log.jsonl").read_text().splitlines()] == [10, 20]
    assert len(run.record["use"]) == len(files) // 2
    asked = "--env hill-20-v0 --guide late --schedule cosine --episodes 2"
    main([*files, "evaluate", str(run.directory), *asked.split()])
    (row,) = csv.DictReader((run.directory / "evaluation.csv").open())
    assert (row["env"], row["guide"], row["schedule"], row["episodes"]) == ("hill-20-v0", "late", "cosine", "2")
    kinds = "guide schedule method critic network encoder reader family logger"
    main([*files, "names", *kinds.split()])
    told = capsys.readouterr().out
    assert all(
        name in told for name in ("late", "cosine", "smooth", "returns", "waves", "grid", "csv", "hill", "lines")
    )


PACKAGES = dict(module="shelf_module", function="shelf_function:register", broken="shelf_broken", clash="shelf_clash")
SHELF = dict(
    shelf_module="from qgf.method.schedules import SCHEDULES\nSCHEDULES['shelf'] = lambda t: t",
    shelf_function="def register():\n    from qgf.method.schedules import SCHEDULES\n    SCHEDULES['made'] = abs",
    shelf_broken="import nothing_of_that_name",
    shelf_clash="from qgf.method.schedules import SCHEDULES\nSCHEDULES['linear'] = abs",
)


def test_packages_are_looked_into_when_a_name_is_not_known_and_broken_ones_are_a_warning(tmp_path, monkeypatch):
    for name, text in SHELF.items():
        (tmp_path / f"{name}.py").write_text(text)
    for name, point in PACKAGES.items():
        info = tmp_path / f"{name}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[qgf.plugins]\n{name} = {point}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_asked", [])
    assert SCHEDULES["linear"] and not plugins._asked  # what is known asks nobody
    with pytest.warns(UserWarning) as told:
        assert "shelf" in SCHEDULES and "made" in SCHEDULES
    told = sorted(str(warning.message) for warning in told)
    assert len(told) == 2
    assert "plug-in broken of broken: failed while it was imported (ModuleNotFoundError" in told[0]
    assert "plug-in clash of clash: schedule 'linear' is there already" in told[1]
    assert [(one["package"], one["version"]) for one in sorted(USED, key=str)] == [
        ("function", "2.0"),
        ("module", "2.0"),
    ]


def test_a_logger_says_which_package_it_needs(tmp_path):
    @LOGGERS
    def paper(directory, config):
        """Never made."""

    paper.package = "nothing_of_that_name"
    with pytest.raises(UserError, match=r"^logger paper needs the package nothing_of_that_name: pip install"):
        make_logger(("paper",), tmp_path, {})


def test_a_method_may_be_given_by_its_name():
    assert TrainConfig(method="edp") == TrainConfig(method=qgf.METHODS["edp"]())
    with pytest.raises(UserError, match="unknown method 'epd': did you mean 'edp'"):
        TrainConfig(method="epd")
    assert qgf.CRITICS is CRITICS and qgf.METHODS is METHODS


def test_a_file_runs_once(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"open({str(tmp_path / 'runs')!r}, 'a').write('x')")
    use(file)
    use(file)
    assert (tmp_path / "runs").read_text() == "x"


def test_a_missing_or_failing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.py: no such Python file"):
        use(tmp_path / "none.py")
    file = tmp_path / "bad.py"
    file.write_text("1 / 0")
    with pytest.raises(UserError, match=r"bad\.py.*ZeroDivisionError"):
        use(file)


OWN = """
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from qgf.critics import CRITICS, Critic
from qgf.networks import NETWORKS
from qgf.training.config import TrainConfig
from qgf.training.loggers import LOGGERS, make_logger
from qgf.training.loop import train
from qgf.training.methods import METHODS
from qgf.training.options import make_method
from qgf.training.run import Run
from qgf.training.run import Run
from qgf.training.trained import load_trained
from qgf.training.methods.bc import BC


@CRITICS
@dataclass(frozen=True)
class Returns(Critic):
    name: ClassVar[str] = "returns"
    scale: float = 1.0  # of the returns

    def q_loss(self, m, critic, nets, batch, key):
        return self.regress(critic, self.scale * batch.returns, batch)


@METHODS
@dataclass(frozen=True)
class Mine(BC):
    name: ClassVar[str] = "mine"
    extra: float = 1.0  # an option


@NETWORKS("sine")
class Sine(eqx.Module):
    first: jax.Array
    last: jax.Array

    def __init__(self, size_in, size_out, width, depth, key):
        draw = jax.nn.initializers.glorot_uniform()
        one, two = jax.random.split(key)
        self.first, self.last = draw(one, (size_in, width)), draw(two, (width, size_out))

    def __call__(self, x):
        return jnp.sin(x @ self.first) @ self.last
"""


def test_a_run_of_ones_own_remembers_the_file_and_says_so_without_it(maze, tiny, tmp_path, monkeypatch):
    """Its method, critic and network together; one of them is enough."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)
    use("mine.py")
    method = make_method("mine", "returns", width=8, depth=1, scale=2.0, extra=3.0, network="sine")
    run = train(maze, replace(tiny, steps=100, method=method), tmp_path / "run")
    (used,) = run.record["use"]
    assert used == dict(file="mine.py", sha256=hashlib.sha256(OWN.encode()).hexdigest())
    trained = load_trained(run.directory)
    assert trained.method == method == run.config.method
    assert type(trained.nets.flow.net).__name__ == type(trained.nets.critic.nets[0]).__name__ == "Sine"
    for registry, name in ((METHODS, "mine"), (CRITICS, "returns"), (NETWORKS, "sine")):
        kept = registry.own[name]
        del registry[name]
        for read in (lambda: run.config, lambda: load_trained(run.directory)):
            with pytest.raises(UserError, match=f"unknown .* '{name}'.*trained with --use mine.py: add it$"):
                read()
        registry[name] = kept


WRONG = {
    "calls itself 'bc'; give it name = 'x'": "from qgf.training.methods import METHODS\nMETHODS['x'] = METHODS['bc']",
    "estimator 'qgf' is there already": "from qgf import guidance\nguidance.ESTIMATORS['qgf'] = lambda v, q, a, t: a",
}


@pytest.mark.parametrize("told", WRONG)
def test_what_is_wrong_in_a_file_is_one_line(told, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG[told])
    with pytest.raises(UserError, match=f"wrong.py: .*{told}"):
        use(tmp_path / "wrong.py")


def test_the_command_line_evaluates_with_it(own_run, capsys):
    main(["--use", str(EXAMPLE), "evaluate", str(own_run.directory), "--guide", "late", "--episodes", "1"])
    assert "late 0.5" in capsys.readouterr().out
