"""OGBench's manipulation environments, stepped at less cost and to the same numbers, bit for bit.

What MuJoCo does is untouched. Around it, OGBench solves inverse kinematics with general transforms, describes the state
three times in every step, and finds joints by their names; here each is done once, from addresses. What that is worth
says `benchmarks/evaluator.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from ogbench.manipspace.envs.cube_env import CubeEnv
from ogbench.manipspace.envs.puzzle_env import PuzzleEnv
from ogbench.manipspace.envs.scene_env import SceneEnv

from qgf.environments.ogbench.arm import DOWN, Reach, about_z, inverse, length, of_matrix, product, within, yaw

CENTRE, SCALE = np.array([0.425, 0.0, 0.0]), 10.0
"""Observed positions are (x - CENTRE) * SCALE."""
if TYPE_CHECKING:
    from ogbench.manipspace.envs.manipspace_env import ManipSpaceEnv as Base
else:
    Base = object


class Lean(Base):
    """What all of them have: control, and the arm's part of the observation.

    `described`: whether a step's info describes the state as OGBench's does; otherwise it says `success` alone.
    """

    def __init__(self, *args: Any, described: bool = True, **options: Any):
        self.described = described
        self._actions = super().action_space
        super().__init__(*args, **options)
        self._reach = Reach(self._ik)

    @property
    def action_space(self):
        return self._actions

    def reset(self, *args: Any, seed: int | None = None, **options: Any):
        """As OGBench's, but the random actions that settle the goal come from the seed, too: the solver starts where
        they left it, and so an episode that is played again could differ in its last digits.
        """
        if seed is not None:
            self._actions.seed(seed)
        return super().reset(*args, seed=seed, **options)

    def post_compilation(self) -> None:
        super().post_compilation()
        attach = self._T_pa.wxyz_xyz.tolist()
        self._attach, self._offset = tuple(attach[:4]), (0.0, *attach[4:])
        self._arm = slice(self._arm_joint_ids[0], self._arm_joint_ids[-1] + 1)
        self._pinch, self._pinch_turn = (x[self._pinch_site_id] for x in (self._data.site_xpos, self._data.site_xmat))
        self._pad = self._data.cfrc_ext[self._model.body("ur5e/robotiq/right_pad").id]

    def _places(self, *names: str) -> np.ndarray:
        """Of hinges and slides: where the position and the velocity of each stand, [2, n]."""
        joints = [self._model.joint(name) for name in names]
        return np.array([[joint.qposadr[0] for joint in joints], [joint.dofadr[0] for joint in joints]])

    def set_control(self, action: np.ndarray) -> None:
        action = self.unnormalize_action(action)
        turn = product(product(about_z(float(action[3])), about_z(yaw(of_matrix(self._pinch_turn)))), inverse(DOWN))
        turn = product(about_z(within(yaw(turn), -np.pi, np.pi)), DOWN)
        low, high = self._workspace_bounds
        place = np.minimum(np.maximum(self._pinch + action[:3], low), high)
        flange = np.array(product(product(turn, self._offset), inverse(turn))[1:]) + place
        joints = self._reach(flange, np.array(product(turn, self._attach)), self._data.qpos[self._arm])
        self._data.ctrl[self._arm_actuator_ids] = joints
        self._data.ctrl[self._gripper_actuator_ids] = 255.0 * within(self._opening() + float(action[4]), 0.0, 1.0)

    def _opening(self) -> float:
        return within(float(self._data.qpos[self._gripper_opening_joint_id]) / 0.8, 0.0, 1.0)

    def pre_step(self) -> None:
        self._prev_qpos = self._data.qpos.copy()
        self._prev_qvel = self._data.qvel.copy()

    def compute_observation(self) -> np.ndarray:
        if self._ob_type == "pixels":
            return self.get_pixel_observation()
        angle, force = yaw(of_matrix(self._pinch_turn)), within(length(self._pad) / 50, 0.0, 1.0)
        arm = self._data.qpos[self._arm], self._data.qvel[self._arm], (self._pinch - CENTRE) * SCALE
        hand = np.cos(angle), np.sin(angle), self._opening() * 3.0, force
        return np.concatenate([*arm, hand, *self._objects()])

    def _objects(self) -> list[Any]:
        """The observation's parts beside the arm's."""
        return []

    def get_step_info(self) -> dict[str, Any]:
        return super().get_step_info() if self.described else {}


class Cubes(Lean):
    """Environments with cubes."""

    def post_compilation_objects(self) -> None:
        super().post_compilation_objects()
        self._cubes = [self._data.joint(f"object_joint_{i}").qpos for i in range(self._num_cubes)]
        self._targets = [self._data.mocap_pos[i] for i in self._cube_target_mocap_ids]

    def _placed(self) -> list[bool]:
        pairs = zip(self._cubes, self._targets, strict=True)
        return [length(cube[:3] - target) <= 0.04 for cube, target in pairs]

    def _objects(self) -> list[Any]:
        parts: list[Any] = []
        for cube in self._cubes:
            angle = yaw(tuple(cube[3:].tolist()))
            parts += [(cube[:3] - CENTRE) * SCALE, cube[3:], (np.cos(angle), np.sin(angle))]
        return parts


class Buttons(Lean):
    """Environments with buttons."""

    def post_compilation_objects(self) -> None:
        super().post_compilation_objects()
        self._buttons = self._places(*(f"buttonbox_joint_{i}" for i in range(self._num_buttons)))
        self._faces = [faces[0] for faces in self._button_geom_ids_list]

    def pre_step(self) -> None:
        super().pre_step()
        self._prev_button_states = self._cur_button_states.copy()
        self._heights = self._data.qpos[self._buttons[0]]

    def _pressed(self) -> list[int]:
        """Which went down in this step."""
        now = self._data.qpos[self._buttons[0]]
        return np.flatnonzero((self._heights > -0.02) & (now <= -0.02)).tolist()

    def _show(self, off: str, on: str) -> None:
        lit = (self._cur_button_states != 0)[:, None]
        self._model.geom_rgba[self._faces] = np.where(lit, self._colors[on], self._colors[off])

    def _right(self) -> list[bool]:
        return (self._cur_button_states == self._target_button_states).tolist()

    def _objects(self) -> list[Any]:
        state, (place, speed) = self._cur_button_states, self._buttons
        parts = [state == 0, state == 1, self._data.qpos[place] * 120.0, self._data.qvel[speed]]
        return [*super()._objects(), np.stack(parts, 1).ravel()]


class LeanCube(Cubes, CubeEnv):
    """One cube or several."""

    def _compute_successes(self) -> list[bool]:
        return self._placed()


class LeanScene(Buttons, Cubes, SceneEnv):
    """A cube, two buttons that lock, a drawer and a window."""

    def post_compilation_objects(self) -> None:
        super().post_compilation_objects()
        self._slides = self._places("drawer_slide", "window_slide")
        self._handles = [self._model.material(f"{name}_handle").id for name in ("drawer", "window")]

    def pre_step(self) -> None:
        super().pre_step()
        self._prev_ob_info = {f"privileged/button_{i}_pos": [x] for i, x in enumerate(self._heights)}

    def _apply_button_states(self) -> None:
        self._show("red", "white")
        shut = self._cur_button_states == 0
        self._model.dof_damping[self._slides[1]] = np.where(shut, 1e6, 2.0)
        self._model.mat_rgba[self._handles] = self._model.geom_rgba[self._faces]
        mujoco.mj_forward(self._model, self._data)

    def _compute_successes(self) -> tuple[list[bool], list[bool], bool, bool]:
        drawer, window = self._data.qpos[self._slides[0]].tolist()
        slid = abs(drawer - self._target_drawer_pos) <= 0.04, abs(window - self._target_window_pos) <= 0.04
        return self._placed(), self._right(), *slid

    def _objects(self) -> list[Any]:
        place, speed = self._data.qpos[self._slides[0]], self._data.qvel[self._slides[1]]
        return [*super()._objects(), (place[0] * 18.0, speed[0], place[1] * 15.0, speed[1])]


class LeanPuzzle(Buttons, PuzzleEnv):
    """A board of buttons, each of which turns its neighbours, too."""

    def _apply_button_states(self) -> None:
        self._show("red", "blue")
        mujoco.mj_forward(self._model, self._data)

    def _compute_successes(self) -> list[bool]:
        return self._right()

    def post_step(self) -> None:
        for i in self._pressed():
            row, column = divmod(i, self._num_cols)
            for x, y in ((row, column), (row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if 0 <= x < self._num_rows and 0 <= y < self._num_cols:
                    self._cur_button_states[x * self._num_cols + y] ^= 1
        self._apply_button_states()
        right = self._right()
        self._success = right[self._target_button] if self._mode == "data_collection" else all(right)


LEAN: dict[str, type] = dict(cube=LeanCube, scene=LeanScene, puzzle=LeanPuzzle)
"""Group of environments -> its class here."""
