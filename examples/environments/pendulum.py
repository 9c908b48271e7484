"""Gymnasium's pendulum, swung up by hand: a controller for `qgf collect`.

qgf --use examples/environments/pendulum.py collect Pendulum-v1 --transitions 40000
"""

import numpy as np

from qgf.environments import CONTROLLERS


@CONTROLLERS("Pendulum-v1")
def swing_up(rng):
    """Torques in [-2, 2]: pump energy below, hold above. How much noise is on them is drawn for every episode."""
    level = rng.uniform(0, 3)

    def act(obs):
        cos, sin, speed = obs
        short_of_energy = speed**2 / 6 + 5 * (cos - 1) < 0
        pump = (2 if short_of_energy else -2) * (np.sign(speed) or 1)
        torque = -10 * np.arctan2(sin, cos) - 2 * speed if cos > 0.9 else pump
        return [torque + level * rng.normal()]

    return act
