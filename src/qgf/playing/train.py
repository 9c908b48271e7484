"""Train on a dataset given by name, and play while training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from qgf.data import Dataset
from qgf.data.dataset import expendable
from qgf.data.stored import Stored
from qgf.environments.datasets import environment_of, fitted, load_dataset
from qgf.errors import UserError
from qgf.method.policy import Policy
from qgf.playing.episodes import Played, on_demand
from qgf.playing.episodes import evaluate as play
from qgf.playing.tune import TUNING_SEED
from qgf.training import loop
from qgf.training.checkpoint import KEEP
from qgf.training.config import TrainConfig
from qgf.training.run import Run
from qgf.training.validation import held_out
from qgf.training.watch import Evaluate

EPISODES = 20
"""Of an evaluation while training."""


def train(
    dataset: Dataset | Stored | str | Path,
    config: TrainConfig = TrainConfig(),
    directory: str | Path | None = None,
    flow: str | Path | None = None,
    critic_from: str | Path | None = None,
    *,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: loop.Progress = lambda step, logs: None,
    log: Iterable[str] = (),
    keep: int = KEEP,
    eval_every: int | None = None,
    evaluate: Evaluate | None = None,
    eval_episodes: int = EPISODES,
    env: str | None = None,
    patience: int | None = None,
    success: str = "",
    by_data: bool = False,
    memory: int | str | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train a flow and a critic on a dataset, or on that of a name or file (`load_dataset`); see `training.loop.train`.

    With `eval_every` and no `evaluate` of your own, the policy plays `eval_episodes` episodes in `env`, by default the
    environment of the dataset's name; the best by success, then by return, is kept in best/. `success` says what that
    is (a rule, see `evaluate`). They are the episodes that tuning plays, not those that results are reported on. What
    `env` takes also says what actions mean (`datasets.fitted`).

    With `by_data` nothing is played: the best is that whose critic explains most of held-out data (`validation`).

    Raises UserError for what `load_dataset` and `loop.train` refuse, and
    if no environment is known.
    """
    dataset = expendable(load_dataset(dataset, data_dir)) if isinstance(dataset, (str, Path)) else dataset
    if env is not None:
        dataset = fitted(dataset, env)

    def run(evaluate: Evaluate | None) -> Run:
        return loop.train(
            dataset, config, directory, flow, critic_from, overwrite=overwrite, progress=progress, log=log, keep=keep,
            evaluate=evaluate, eval_every=eval_every, patience=patience, env=env, memory=memory,
            tell=tell,
        )  # fmt: skip

    if eval_every is None or evaluate is not None:
        return run(evaluate)
    if by_data:
        return run(held_out(dataset, config))
    name = env or environment_of(dataset.name)
    if name is None:
        raise UserError(
            f"{dataset.name} does not tell its environment: say which to play with --env NAME, or judge the critic on "
            "held-out data with --eval-by-data"
        )
    with episodes_of(name, config.horizon, eval_episodes, keys=dataset.keys, rule=success) as played:
        return run(played)


@contextmanager
def episodes_of(
    env: str,
    horizon: int,
    episodes: int,
    progress: Played = lambda *_: None,
    keys: Sequence[str] = (),
    rule: str = "",
) -> Iterator[Evaluate]:
    """A function that plays so many tuning episodes with the policy it is given and returns success, where that is
    defined, and return, the means; on environment processes that end with the block.
    """
    with on_demand(env, horizon, episodes, keys, rule) as envs:

        def evaluate(policy: Policy) -> dict[str, float]:
            score = play(policy, env, episodes, TUNING_SEED, envs(), progress, rule=rule)
            success = {} if score.success is None else {"success": score.rate}
            return success | {"return": float(np.mean(score.returns))}

        yield evaluate
