"""What benchmarks ask of runs: states of their data, and how ways of acting do on their held-out episodes."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import qgf
from qgf.environments.datasets import dataset_of, environment_of
from qgf.laboratory.analysis import some_states
from qgf.method.policy import Policy
from qgf.playing.episodes import environments
from qgf.playing.scores import Score
from qgf.training.run import Run

Way = TypeVar("Way")


def states_of(run: Run, data_dir: Path | None, n: int) -> Any:
    """n observations of held-out episodes at which chunks start."""
    return some_states(dataset_of(run.record, data_dir), run.config.horizon, n).observations


def scores_of(run: Run, ways: Mapping[Way, Policy], episodes: int) -> dict[Way, Score]:
    """Every way on the held-out episodes of the run's task and training seed."""
    env = environment_of(run.record["dataset"])
    assert env, "data with an environment"
    with closing(environments(env, run.config.horizon, episodes)) as envs:
        play = lambda policy: qgf.evaluate(policy, env, episodes, envs=envs, training_seed=run.config.seed)
        return {way: play(policy) for way, policy in ways.items()}


def outcomes(score: Score) -> str:
    """1 for every episode that succeeded and 0 for every other, as tables keep them."""
    assert score.success is not None, "an environment that says what success is"
    return "".join(f"{won:d}" for won in score.success)
