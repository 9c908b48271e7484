"""Evaluate a run: every arm for every seed's policy."""

from __future__ import annotations

from dataclasses import replace

from qgf.errors import UserError
from qgf.playing.arm import Arm, check
from qgf.playing.episodes import _check_episodes, _check_execute, environments, evaluate
from qgf.playing.scores import Score
from qgf.playing.warm import check_warm


def share_of(episodes: int, tasks: list[str]) -> int:
    """Episodes of each task. Raises UserError if they cannot be spread evenly."""
    if episodes % len(tasks):
        raise UserError(f"episodes are spread evenly over {len(tasks)} goals: {episodes} is no multiple of it")
    return episodes // len(tasks)


def evaluate_run(
    run, chosen: list[Arm], env_name: str, episodes: int, seed: int, progress=None, rule: str = "", keys=()
) -> list[Score]:
    """Every arm for every seed's policy of a run, on one set of environment processes.

    `progress(arm, policy_seed)` returns the progress function of one evaluation; `rule` and `keys` are `evaluate`'s.
    """
    from qgf.training.trained import load_trained

    policies = [load_trained(folder) for folder in run.policy_dirs()]
    ways = [[arm.of(trained.policy()) for arm in chosen] for trained in policies]  # fails early on a bad option
    for arm, way in zip(chosen, ways[0], strict=True):
        _check_execute(arm.execute, way.horizon)
        check_warm(arm.warm, arm.execute, way)
        check(way)
    _check_episodes(episodes)
    envs = environments(env_name, policies[0].spec.horizon, episodes, keys, rule)
    scores = []
    try:
        for policy_seed, trained in enumerate(policies):
            for arm, policy in zip(chosen, ways[policy_seed], strict=True):
                tell = progress(arm, policy_seed) if progress else lambda *_: None
                own = run.config.seed + policy_seed
                score = evaluate(
                    policy,
                    env_name,
                    episodes,
                    seed,
                    envs,
                    tell,
                    execute=arm.execute,
                    rule=rule,
                    training_seed=own,
                    warm=arm.warm,
                )
                scores.append(replace(score, arm=arm, policy_seed=policy_seed, updates=trained.updates))
    finally:
        envs.close()
    return scores
