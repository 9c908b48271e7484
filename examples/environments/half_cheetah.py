"""MuJoCo's half cheetah, trotting: a controller for `qgf collect`.

qgf --use examples/environments/half_cheetah.py collect HalfCheetah-v5 --transitions 100000
"""

import numpy as np

from qgf.environments import CONTROLLERS

# Of each joint, found by trying: swing, phase, rest. The whole of it runs 2.9 metres a second.
SWING = np.array([1.02, 1.12, 1.37, 0.67, 1.34, 0.32])
PHASE = np.array([3.64, 0.43, 4.87, 6.41, 0.19, 6.24])
REST = np.array([0.53, 0.31, -0.08, -0.32, 0.46, 0.17])
SPEED = 1.04


@CONTROLLERS("HalfCheetah-v5")
def gait(rng):
    """Every joint swings; how much of the swing, how fast and how noisily is drawn for every episode."""
    part, speed, level = rng.uniform(0.3, 1), SPEED * rng.uniform(0.7, 1), rng.uniform(0, 0.5)
    step = rng.integers(100)

    def act(obs):
        nonlocal step
        step += 1
        return REST + part * SWING * np.sin(speed * step + PHASE) + level * rng.normal(size=6)

    return act
