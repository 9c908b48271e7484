"""Files of one's own: what they register has a name everywhere, and mistakes in them are one line."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from qgf.cli.main import main
from qgf.critics import CRITICS
from qgf.errors import UserError
from qgf.method.guides import GUIDES, find
from qgf.networks import NETWORKS
from qgf.plugins import use
from qgf.registry import REGISTRIES
from qgf.training.loop import train
from qgf.training.methods import METHODS
from qgf.training.options import make_method
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
from qgf.training.loop import train
from qgf.training.methods import METHODS
from qgf.training.options import make_method
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


def test_the_command_line_evaluates_with_it(tiny_run, capsys):
    main(["--use", str(EXAMPLE), "evaluate", str(tiny_run.directory), "--guide", "late", "--episodes", "1"])
    assert "late 1" in capsys.readouterr().out
