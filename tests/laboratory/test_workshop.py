"""What a study needs is made when it is first needed: its data, and its runs, several at a time."""

import os
import shutil

import pytest

import qgf.laboratory.workshop
from conftest import TASK
from qgf.environments.ogbench.family import OGBench
from qgf.errors import UserError
from qgf.files import locked
from qgf.laboratory.compare import compare
from qgf.laboratory.study import read_study
from qgf.plugins import use

TEXT = """
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1]
[train.tiny]
width = 16
depth = 1
horizon = 50
[method.qgf]
strength = 1
"""
TWO = """
episodes = 1
use = ["mine.py"]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1]
[train.long]
method = "mine"
steps = 1000000000
width = 16
depth = 1
[train.wild]
method = "mine"
steps = 1000
log_every = 20
learning_rate = 1e30
width = 16
depth = 1
[method.mine]
train = ["long", "wild"]
strength = 1
"""
MINE = """
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC
class Mine(BC):
    name = "mine"
METHODS["mine"] = Mine
"""


def test_data_that_are_missing_are_collected(tmp_path, maze_folder, monkeypatch):
    asked = []

    def collect(self, name, transitions, directory, progress):
        asked.append((name, transitions))
        shutil.copytree(maze_folder, directory, dirs_exist_ok=True)

    monkeypatch.setattr(OGBench, "collect", collect)
    shop, env = stating(tmp_path / "file", tmp_path / "data", 4000)
    first, second = (shop.dataset(env, 1) for _ in range(2))
    assert asked == [(TASK, 4000)]
    assert (first.name, first.transitions) == (TASK, second.transitions)


def write(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(text)
    return read_study(folder / "study.toml")


def stating(folder, data, transitions):
    """The workshop of a study that states how many transitions its data have, and its environment."""
    study = write(folder, TEXT.replace("tasks = [1]", f"tasks = [1]\ntransitions = {transitions}"))
    return qgf.laboratory.workshop.Workshop(study, folder, data, lambda *_: None), study.environments[0]


@pytest.mark.parametrize("stated", [3001, 4000])
def test_data_have_whole_episodes(tmp_path, maze_folder, stated):
    shop, env = stating(tmp_path, maze_folder, stated)
    assert shop.dataset(env, 1).transitions == 4000


@pytest.mark.parametrize("stated, wanted", [(3000, 3000), (4001, 5000)])
def test_data_of_another_size_are_refused(tmp_path, maze_folder, stated, wanted):
    shop, env = stating(tmp_path, maze_folder, stated)
    with pytest.raises(UserError, match=r"-v0\.npz holds 4000 transitions") as caught:
        shop.dataset(env, 1)
    said = str(caught.value)
    assert f"a study of {wanted}; use another --data-dir, or change the transitions of {env.name}" in said
    assert "\n" not in said


# Several runs at a time


@pytest.fixture
def two_cores(monkeypatch):
    """The same one twice, where there is no other."""
    one, *others = qgf.laboratory.workshop.cores()
    monkeypatch.setattr(qgf.laboratory.workshop, "cores", lambda: [one, *others, one][:2])


def test_a_training_that_fails_stops_the_others_and_says_why(maze_folder, tmp_path, two_cores, forget):
    """With a method of the user's own, by `--use` alone, which the processes that train have to know."""
    (tmp_path / "mine.py").write_text(MINE)
    use(tmp_path / "mine.py")
    seen = set()
    with pytest.raises(UserError, match=r"task1-wild-seed0: training diverged before 20 updates"):
        study = write(tmp_path, TWO.replace('use = ["mine.py"]', ""))
        compare(study, tmp_path, maze_folder, lambda name, *_: seen.add(name))
    assert all(name.startswith("train pointmaze-medium-navigate-task1") for name in seen)
    for name in ("long", "wild"):
        with locked(tmp_path / "runs" / f"pointmaze-medium-navigate-task1-{name}-seed0"):  # nobody is at it
            pass


def test_a_training_whose_process_dies_is_one_clear_line(maze_folder, tmp_path, two_cores, forget):
    dies = f"import os\nif os.getpid() != {os.getpid()}:\n    os._exit(7)\n"
    (tmp_path / "mine.py").write_text(MINE + dies)
    use(tmp_path / "mine.py")
    with pytest.raises(UserError, match=r"task1-\w+-seed0: its training ended with status 7; fewer --jobs") as caught:
        compare(write(tmp_path, TWO), tmp_path, maze_folder)
    assert "\n" not in str(caught.value)


def test_at_least_one_run_at_a_time(maze_folder, tmp_path):
    with pytest.raises(UserError, match="jobs must be at least 1, got 0"):
        compare(write(tmp_path, TEXT), tmp_path, maze_folder, jobs=0)


def test_no_more_teams_than_runs_cores_or_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(qgf.laboratory.workshop, "cores", lambda: list(range(8)))
    teams = lambda text, jobs=None: qgf.laboratory.workshop.Workshop(
        write(tmp_path, text), tmp_path, tmp_path, print, jobs
    )._teams()
    five = TEXT.replace("tasks = [1]", "tasks = [1, 2, 3, 4, 5]")
    assert (teams(TEXT), teams(five), teams(five, 3), teams(five.replace("5]", "5]\nseeds = [0, 1]"))) == (1, 5, 3, 8)


def test_runs_of_a_method_without_a_flow_to_lend_borrow_none(tmp_path):
    """Their policy is their only flow, another for every task."""
    text = TEXT.replace("tasks = [1]", "tasks = [1, 2]")
    lenders = {}
    for method in ("bc", "edp"):
        study = write(tmp_path, text.replace("[train.tiny]", f'[train.tiny]\nmethod = "{method}"'))
        shop = qgf.laboratory.workshop.Workshop(study, tmp_path, tmp_path, print)
        lenders[method] = shop.lenders(shop.job(study.environments[0], 2, "tiny", 0))
    assert lenders["bc"][0].task == 1 and lenders["edp"] == (None, None)
