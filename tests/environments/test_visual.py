"""OGBench's visual names and what environments show, without drawing anything."""

import gymnasium
import numpy as np
import pytest

from qgf.environments import family_of
from qgf.environments.chunk import ChunkEnv
from qgf.environments.datasets import load_dataset
from qgf.environments.ogbench.names import known_names, parse_name
from qgf.environments.ogbench.visual import Later
from qgf.environments.pictures import shown
from qgf.environments.vector import make_vector_env
from qgf.errors import UserError

CUBE, MAZE = "visual-cube-single-play-singletask-task2-v0", "visual-pointmaze-medium-navigate-singletask-task3-v0"
Box, Dict = gymnasium.spaces.Box, gymnasium.spaces.Dict
PICTURE = Box(0, 255, (4, 5, 3), np.uint8)


def test_visual_names():
    parsed = parse_name(CUBE)
    assert (parsed.group, parsed.dataset, parsed.visual) == ("cube", "visual-cube-single-play-v0", True)
    assert parsed.with_states == CUBE.removeprefix("visual-")
    assert parse_name(MAZE).visual and not parse_name(MAZE.removeprefix("visual-")).visual
    names = known_names("singletask")
    assert {CUBE, MAZE} <= set(names) and "visual-antmaze-medium-navigate-singletask-task1-v0" in names
    family = family_of(MAZE)
    assert family.maze(MAZE) is None and family.lanes(MAZE) == 16 and not family.forks(MAZE) and family.forks(CUBE[7:])
    with pytest.raises(UserError, match="unknown environment"):
        parse_name("visual-antsoccer-arena-navigate-v0")


def test_rewards_of_visual_data_need_no_pictures_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("mujoco.Renderer", lambda *_, **__: pytest.fail("something is drawn"))
    rng = np.random.default_rng(0)
    goal = np.array([4.0, 12.0])  # of task 3: cell (4, 2)
    qpos = np.where(np.arange(6)[:, None] == 3, goal, rng.uniform(0, 2, (6, 2)))
    arrays = dict(observations=rng.integers(0, 256, (6, 64, 64, 3), np.uint8), actions=np.zeros((6, 2)), qpos=qpos)
    np.savez(tmp_path / "visual-pointmaze-medium-navigate-v0.npz", terminals=np.arange(6) == 5, **arrays)
    data = load_dataset(MAZE, tmp_path, download=False)
    np.testing.assert_array_equal(data.rewards, [-1, -1, -1, 0, -1, -1])
    assert data.cameras == (("image", (64, 64, 3)),) and data.obs_dim == 0


class Seen(gymnasium.Env):
    """Shows how many steps it has made, in a picture that counts how often it is drawn."""

    observation_space = Dict(top=PICTURE, speed=Box(-1, 1, (2,), np.float64), load=Box(0, 9, (1,), np.float32))
    action_space = Box(-1, 1, (1,), np.float32)

    def __init__(self):
        self.steps, self.drawn = 0, 0

    def _draw(self):
        self.drawn += 1
        return np.full((4, 5, 3), self.steps, np.uint8)

    def _obs(self):
        return dict(top=Later(self._draw), speed=np.array([0.5, -0.5]), load=np.array([self.steps], np.float32))

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self._obs(), {}

    def step(self, action):
        self.steps += 1
        return self._obs(), 1.0, False, self.steps == 7, dict(success=False)


def test_a_picture_is_drawn_once_a_chunk():
    env = Seen()
    chunked = ChunkEnv(env, 5)
    obs, _ = chunked.reset(seed=0)
    assert set(obs) == {"top", "state"} and env.drawn == 1
    np.testing.assert_array_equal(obs["state"], np.float32([0.5, -0.5, 0]))  # side by side in the space's order
    obs, *_, info = chunked.step(np.zeros((5, 1)))
    assert env.drawn == 2 and obs["top"].max() == 5 and obs["top"].dtype == np.uint8 and info["steps"] == 5
    obs, _, _, truncated, info = chunked.step(np.zeros((5, 1)))
    assert truncated and env.drawn == 3 and obs["top"].max() == 7 and info["steps"] == 2
    chunked.step(np.zeros((5, 1)))
    assert env.drawn == 3


def test_what_is_shown_of_a_space():
    space, look = shown("x", Seen.observation_space, ("speed", "top"))
    assert {name: part.shape for name, part in space.spaces.items()} == {"top": (4, 5, 3), "state": (2,)}
    space, look = shown("x", PICTURE)
    assert set(space.spaces) == {"image"} and set(look(np.zeros((4, 5, 3), np.uint8))) == {"image"}
    assert shown("x", Seen.observation_space, ("speed",))[0].shape == (2,)
    with pytest.raises(UserError, match="have no 'far'"):
        shown("x", Seen.observation_space, ("far",))


def test_lanes_hand_on_pictures():
    envs = make_vector_env(f"{__name__}:Seen", 5, 2)
    try:
        assert envs.single_observation_space["top"] == PICTURE
        obs, _ = envs.reset(seed=[1, 2], options=dict(reset_mask=np.ones(2, bool)))
        assert obs["top"].shape == (2, 4, 5, 3) and obs["top"].dtype == np.uint8
        obs, *_ = envs.step(np.zeros((2, 5, 1), np.float32))
        assert obs["top"].max() == 5
    finally:
        envs.close()
