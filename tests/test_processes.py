"""Workers: clean interpreters that know nothing of the program that starts them, and end with it."""

import os
import subprocess
import sys

import processes
from qgf.processes import start

PROGRAM = """
import sys
open(sys.argv[1], "a").write("imported ")
import gymnasium
import jax.numpy as jnp
import numpy as np
import qgf

class Spy(gymnasium.Env):
    "What its process has loaded, as its observation; solved if that is no JAX."
    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        import os, sys
        self.seen = np.array(["jax" in sys.modules, os.environ["OMP_NUM_THREADS"] == "1"], np.float32)
        return self.seen, {}

    def step(self, action):
        return self.seen, 0.0, True, False, dict(success=bool(self.seen[0] == 0))

gymnasium.register("Spy-v0", entry_point=Spy)
zero = lambda obs, a, t=0.0: jnp.zeros_like(a)
policy = qgf.guided_flow(zero, lambda obs, a: 0.0 * a[0], action_dim=1, weight=0.0, steps=1)
score = qgf.evaluate(policy, "Spy-v0", episodes=4)
print(score.rate, [list(map(int, path[0])) for path in score.paths])
"""


def echo(connection):
    """A worker that tells about itself and answers until it is closed."""
    main = vars(sys.modules["__main__"])
    connection.send((os.getpid(), main.get("__file__"), sys.argv, sorted(sys.modules)))
    while True:
        connection.send(connection.recv())


def test_a_worker_is_a_fresh_interpreter_that_answers():
    worker = start(echo)
    pid, program, words, modules = worker.connection.recv()
    assert (pid, program, words) == (worker.process.pid, None, ["-c"])
    assert "pytest" not in modules and "jax" not in modules and __name__ in modules
    worker.connection.send("here")
    assert worker.connection.recv() == "here"
    worker.stop(5)
    assert worker.process.returncode is not None


def test_a_worker_has_one_thread_for_linear_algebra_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for given, found in ((None, "1"), ("3", "3")):
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        worker = start(threads)
        assert worker.connection.recv() == found
        worker.stop()
        assert os.environ.get("OMP_NUM_THREADS") == given


def threads(connection):
    connection.send(os.environ["OMP_NUM_THREADS"])


def test_a_program_needs_no_guard_and_its_environments_no_jax(tmp_path):
    """Imported once, by itself; what it registers is known to the environments' processes, and JAX is not."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "count"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"1.0 {[[0, 1]] * 4}\n"
    assert (tmp_path / "count").read_text() == "imported "


PLAYING = """
import sys
import numpy as np
from qgf.environments.vector import make_vector_env
envs = make_vector_env("pointmaze-medium-navigate-singletask-task1-v0", 5, 3)
envs.reset(seed=[1, 2, 3], options=dict(reset_mask=np.ones(3, bool)))
open(sys.argv[1], "w").close()
while True:
    envs.step(np.zeros((3, 5, 2), np.float32))
"""


def test_environments_end_with_a_program_that_is_killed(tmp_path):
    program = processes.start(PLAYING, tmp_path / "playing")
    try:
        processes.wait_until((tmp_path / "playing").exists, program)
        processes.kill(program)
        assert processes.session_ends(program, seconds=20)
    finally:
        processes.clear(program)
