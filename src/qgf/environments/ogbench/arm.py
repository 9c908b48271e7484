"""The robot arm's control step, as OGBench computes it, to the last bit, without what it computes more than once.

Rotations are quaternions (w, x, y, z) of Python floats. Every operation is the one of `ogbench.manipspace.lie` and
`DiffIKController`, in the same order; NumPy's arc tangent is not the C library's in the last bit, so it stays.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import mujoco
import numpy as np

Quaternion = tuple[float, float, float, float]
DOWN: Quaternion = (0.0, 1.0, 0.0, 0.0)
TINY = 1e-10
"""Angles squared below it have a Taylor series for sine and cosine."""


def within(x: float, low: float, high: float) -> float:
    """x, not below `low` nor above `high`; what is no number stays so."""
    return min(max(x, low), high)


def length(x: np.ndarray) -> float:
    """The norm of a vector."""
    return sqrt(x.dot(x))


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation b, then a."""
    w0, x0, y0, z0 = a
    w1, x1, y1, z1 = b
    return (
        -x0 * x1 - y0 * y1 - z0 * z1 + w0 * w1,
        x0 * w1 + y0 * z1 - z0 * y1 + w0 * x1,
        -x0 * z1 + y0 * w1 + z0 * x1 + w0 * y1,
        x0 * y1 - y0 * x1 + z0 * w1 + w0 * z1,
    )


def inverse(a: Quaternion) -> Quaternion:
    return a[0], -a[1], -a[2], -a[3]


def about_z(angle: float) -> Quaternion:
    """A turn of so many radians about the vertical axis."""
    square = angle * angle
    if square < TINY:
        real = 1.0 - square / 8.0 + square * square / 384.0
        factor = 0.5 - square / 48.0 + square * square / 3840.0
    else:
        size = sqrt(square)
        real, factor = float(np.cos(0.5 * size)), float(np.sin(0.5 * size)) / size
    return real, factor * 0.0, factor * 0.0, factor * angle


def yaw(a: Quaternion) -> float:
    """The angle about the vertical axis."""
    w, x, y, z = a
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y**2 + z**2)))


def of_matrix(matrix: np.ndarray) -> Quaternion:
    """The quaternion of a rotation matrix [9]."""
    out = np.empty(4)
    mujoco.mju_mat2Quat(out, matrix)
    w, x, y, z = out.tolist()
    return w, x, y, z


class Reach:
    """Joint positions [6] that bring the arm's flange to a pose: OGBench's damped least squares, from where it is."""

    def __init__(self, ik: Any):
        self.model, self.data, self.most = ik._model, ik._data, ik._max_angle_change
        self.site, self.damping, self.jacobian = int(ik._site_ids[0]), ik._damping, ik._jac
        self.place, self.turn = self.data.site_xpos[self.site], self.data.site_xmat[self.site]
        self.error, self.now, self.missing = np.empty(6), np.empty(4), np.empty(4)

    def __call__(self, place: np.ndarray, turn: np.ndarray, joints: np.ndarray, near: float = 1e-4) -> np.ndarray:
        model, data, error, now = self.model, self.data, self.error, self.now
        shift, twist = error[:3], error[3:]
        data.qpos = joints
        for _ in range(20):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            np.subtract(place, self.place, out=shift)
            mujoco.mju_mat2Quat(now, self.turn)
            mujoco.mju_negQuat(now, now)
            mujoco.mju_mulQuat(self.missing, turn, now)
            mujoco.mju_quat2Vel(twist, self.missing, 1.0)
            if length(shift) <= near and length(twist) <= near:
                break
            mujoco.mj_jacSite(model, data, self.jacobian[:3], self.jacobian[3:], self.site)
            jacobian = self.jacobian
            update = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + self.damping, error)
            largest = np.abs(update).max()
            if largest > self.most:
                update *= self.most / largest
            mujoco.mj_integratePos(model, data.qpos, update, 1.0)
        return data.qpos.copy()
