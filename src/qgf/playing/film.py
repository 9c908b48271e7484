"""Films of episodes: mp4 where ffmpeg is at hand, else gif."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from qgf.environments import family_of
from qgf.environments.chunk import ChunkEnv
from qgf.environments.maze import Maze
from qgf.environments.simulators import quiet
from qgf.errors import UserError
from qgf.files import atomic_path, placed
from qgf.method.policy import Policy, act_jit
from qgf.playing.episodes import decision_keys, episode_seeds, noise_key, stream_of
from qgf.playing.units import to_environment

SIZE = 400


def film(
    policy: Policy,
    env_name: str,
    path: Path,
    episodes: int = 3,
    seed: int = 0,
    fps: int = 20,
    execute: int | None = None,
    keys: Sequence[str] = (),
    training_seed: int | None = None,
) -> Path:
    """Write `path`.mp4 (or .gif without ffmpeg) of the first episodes that `evaluate` plays; returns its path.

    Mazes are drawn from above; other environments are rendered by MuJoCo, which needs OpenGL (UserError if absent).
    """
    family = family_of(env_name)
    maze = family.maze(env_name)
    stream = stream_of(env_name, training_seed)
    frames: list[np.ndarray] = []
    chunked = ChunkEnv(_Recorder(family.make(env_name, SIZE), maze, frames), policy.horizon, keys=keys, name=env_name)
    played = to_environment(policy, chunked.action_space, env_name)
    with quiet():
        for k, episode_seed in enumerate(episode_seeds(seed, episodes, stream)):
            obs, _ = chunked.reset(seed=episode_seed)
            over, count = False, 0
            while not over:
                key = decision_keys(noise_key(seed, stream), np.array([[k], [count]]))
                chunk = np.asarray(act_jit(policy, obs[None], key)[0][0])
                obs, _, terminated, truncated, _ = chunked.step(played(chunk)[:execute])
                over, count = terminated or truncated, count + 1
    return _write(frames, path, fps)


class _Recorder(gymnasium.Wrapper):
    """Appends a frame after every reset and step."""

    def __init__(self, env, maze: Maze | None, frames: list[np.ndarray]):
        super().__init__(env)
        self.maze, self.frames = maze, frames
        self.trail: list[np.ndarray] = []  # places in the maze

    def reset(self, **kwargs):
        result = self.env.reset(**kwargs)
        self.trail.clear()
        self._shoot(result[0])
        return result

    def step(self, action):
        result = self.env.step(action)
        self._shoot(result[0])
        return result

    def _shoot(self, obs):
        if self.maze is not None:
            self.trail.append(obs[:2])
            self.frames.append(_draw(self.maze, np.array(self.trail)))
            return
        try:
            picture = self.env.render()
        except Exception as error:  # MuJoCo, its back ends and pygame raise many types
            raise UserError(
                f"this machine cannot render {self.env} ({type(error).__name__}: {error}); MuJoCo needs MUJOCO_GL set "
                "to egl or osmesa, and that library"
            ) from error
        if not isinstance(picture, np.ndarray):
            raise UserError(f"{self.env} gives no pictures to film: it needs a render_mode 'rgb_array'")
        self.frames.append(picture)


def _draw(maze: Maze, trail: np.ndarray) -> np.ndarray:
    """The maze from above with the way walked so far."""
    left, right, bottom, top = maze.extent
    scale = SIZE / (right - left)
    height = int((top - bottom) * scale) // 2 * 2
    picture = Image.new("RGB", (SIZE, height), "#ffffff")
    pen = ImageDraw.Draw(picture)
    place = lambda xy: ((xy[0] - left) * scale, height - (xy[1] - bottom) * scale)

    def disc(xy, radius, colour):
        x, y = place(xy)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    for i, j in np.argwhere(maze.walls):
        x, y = place((left + j * maze.unit, bottom + (i + 1) * maze.unit))
        pen.rectangle((x, y, x + maze.unit * scale, y + maze.unit * scale), fill="#cbd5e1")
    disc(maze.goal, maze.radius * scale, "#86efac")
    if len(trail) > 1:
        pen.line([place(xy) for xy in trail], fill="#0891b2", width=2)
    disc(trail[-1], 7, "#0f172a")
    return np.asarray(picture)


def _write(frames: list[np.ndarray], path: Path, fps: int) -> Path:
    try:
        import imageio_ffmpeg
    except ImportError:
        path = path.with_suffix(".gif")
        images = [Image.fromarray(frame) for frame in frames[::2]]
        with atomic_path(path) as temporary:
            images[0].save(temporary, "gif", save_all=True, append_images=images[1:], duration=2000 // fps, loop=0)
        return path
    path = path.with_suffix(".mp4")
    with atomic_path(path) as temporary, placed(path, ""):
        _encode(imageio_ffmpeg.get_ffmpeg_exe(), frames, temporary, fps)
    return path


def _encode(ffmpeg: str, frames: list[np.ndarray], path: Path, fps: int) -> None:
    """Frames [height, width, 3] as H.264. What `imageio_ffmpeg.write_frames` does, without the Python that it runs
    between fork and exec: in a process with JAX's threads that may hang, and JAX says so.
    """
    height, width = frames[0].shape[:2]
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    coded = f"-an -vcodec h264 -pix_fmt yuv420p -crf 25 -f mp4 -vf scale={width + width % 2}:{height + height % 2}"
    command = [ffmpeg, "-y", "-v", "error", *raw.split(), *coded.split(), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdin is not None
        with suppress(BrokenPipeError):  # it gave up: its status tells
            for frame in frames:
                program.stdin.write(frame.tobytes())
        said = program.communicate()[1].decode(errors="replace").strip()
    if program.returncode:
        raise UserError(f"ffmpeg failed ({said.splitlines()[-1] if said else program.returncode})")
