"""A study on a Ray cluster of two machines, on loopback: with a worker and a machine lost, the bytes of a local one.

Not among the tests that are always run: `make test-ray`.
"""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from qgf.errors import UserError
from qgf.laboratory.compare import compare
from qgf.laboratory.engines.engine import Asked
from qgf.laboratory.study import read_study

ray = pytest.importorskip("ray")
os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")  # a busy machine takes long to start one

TEXT = """
episodes = 2
[tuning]
rungs = [1, 1]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
seeds = [0, 1]
[train.tiny]
width = 16
depth = 1
steps = 3000
batch_size = 16
log_every = 200
checkpoint_every = 400
horizon = 50
[method.qgf]
strength = [0.5, 1, 2, 4]
"""
FILES = ("episodes.csv", "results.csv", "per_task.csv")


@pytest.fixture(scope="module")
def cluster():
    """A head that performs no tasks, and two machines that perform one each."""
    from ray.cluster_utils import Cluster

    small = dict(object_store_memory=100_000_000)
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False, **small))
    for _ in range(2):
        cluster.add_node(num_cpus=1, **small)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def workers(folder: Path) -> set[int]:
    """The processes that hold a run of a study, as its locks tell."""
    found = set()
    for lock in (folder / "runs").glob("*/.lock"):
        words = lock.read_text().split(", process ")
        found |= {int(words[1].split()[0])} if len(words) > 1 else set()
    return found


def losing(cluster, folder: Path, lost: list) -> None:
    """Kill a process that trains, then a machine on which one does."""
    checkpoints = lambda: len(list(folder.glob("runs/*/checkpoints/*/")))
    wait_for(lambda: workers(folder) and checkpoints())
    os.kill(victim := min(workers(folder)), signal.SIGKILL)
    lost.append(victim)
    before = checkpoints()
    wait_for(lambda: workers(folder) - {victim} and checkpoints() > before)
    machine = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    cluster.remove_node(machine, allow_graceful=False)
    lost.append(machine)


def wait_for(condition) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def run(folder: Path, data: Path, text=TEXT, **how) -> dict[str, bytes]:
    folder.mkdir()
    (folder / "tiny.toml").write_text(text)
    compare(read_study(folder / "tiny.toml"), folder, data, **how)
    return {name: (folder / "tiny" / name).read_bytes() for name in FILES}


def test_a_study_that_loses_a_worker_and_a_machine_ends_with_the_bytes_of_a_local_one(maze_folder, tmp_path, cluster):
    lost: list = []
    folder = tmp_path / "far"
    killer = threading.Thread(target=losing, args=(cluster, folder, lost), daemon=True)
    killer.start()
    far = run(folder, maze_folder, engine=Asked(f"ray:{cluster.address}"))
    killer.join(10)
    assert len(lost) == 2  # and the study was not over before
    assert far == run(tmp_path / "near", maze_folder, jobs=2)


def test_a_users_mistake_is_one_line_and_not_tried_again(maze_folder, tmp_path, cluster):
    text = TEXT.replace("steps = 3000", "steps = 2000\nlearning_rate = 1e30")
    with pytest.raises(UserError, match=r"training diverged before") as caught:
        run(tmp_path / "wild", maze_folder, text, engine=Asked(f"ray:{cluster.address}"))
    assert "\n" not in str(caught.value)


def test_no_cluster_at_an_address_is_one_line(maze_folder, tmp_path):
    with pytest.raises(UserError, match="no Ray cluster answers"):
        run(tmp_path / "none", maze_folder, engine=Asked("ray:127.0.0.1:1"))
