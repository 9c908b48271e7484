"""In what imports or uses this file, OGBench's episodes are short, and all are played two at a time: an untrained
policy walks a maze for its 1,000 steps, of which most show nothing new, and each lane costs a process. Lanes change no
result.
"""

from functools import partial

from qgf.environments import vector
from qgf.environments.ogbench.family import OGBench
from qgf.environments.ogbench.names import split_name

STEPS = 200


def maker(family: OGBench, name: str):
    cut = {} if split_name(name).visual else dict(max_episode_steps=STEPS)
    return partial(family._make, name, described=False, **cut)


OGBench.maker = maker
make_vector_env = vector.make_vector_env
vector.make_vector_env = lambda env, horizon, lanes=2, *more: make_vector_env(env, horizon, min(lanes, 2), *more)
