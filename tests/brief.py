"""In what imports or uses this file, OGBench's episodes are short and played two at a time: an untrained policy walks a
maze for its 1,000 steps, of which most show nothing new, and each of 16 lanes costs a process. Lanes change no result.
"""

from functools import partial

from qgf.environments.ogbench.family import OGBench
from qgf.environments.ogbench.names import split_name

STEPS = 200


def maker(family: OGBench, name: str):
    cut = {} if split_name(name).visual else dict(max_episode_steps=STEPS)
    return partial(family._make, name, described=False, **cut)


OGBench.maker = maker
OGBench.lanes = lambda family, name: 2
