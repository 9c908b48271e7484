"""Files of one's own: what they register has a name everywhere, and mistakes in them are one line."""

from pathlib import Path

import pytest

from qgf.cli.main import main
from qgf.errors import UserError
from qgf.method.guides import GUIDES, find
from qgf.plugins import use
from qgf.training.methods import METHODS

EXAMPLE = Path(__file__).parents[1] / "examples" / "04_your_own_guide.py"


pytestmark = pytest.mark.usefixtures("forget")


def test_the_example_registers_a_guide_and_a_method():
    use(EXAMPLE)
    assert "late" in GUIDES and METHODS["careful"]().critic.expectile == 0.7
    assert find("placebo:late") is find("placebo:late")


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


def test_the_command_line_evaluates_with_it(tiny_run, capsys):
    main(["--use", str(EXAMPLE), "evaluate", str(tiny_run.directory), "--guide", "late", "--episodes", "1"])
    assert "late 1" in capsys.readouterr().out
