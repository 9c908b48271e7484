"""A LeRobot policy on Meta-World, guided: data by scripted experts, and arms of the same episodes.

    make test-lerobot && python=.venv-lerobot/bin/python
    $python benchmarks/metaworld_lerobot.py collect push-v3 --episodes 200 --out runs/push
    .venv-lerobot/bin/lerobot-train --dataset.root=runs/push ...  (all of it: docs/lerobot.md)
    qgf train runs/push --horizon 8 --critic mc --out runs/push-critic
    $python benchmarks/metaworld_lerobot.py play push-v3 POLICY runs/push-critic --episodes 100 --out runs/push.csv

Experts are noisy, each episode by its own amount, so that a critic sees good and bad. An episode ends at its success,
or after 200 steps. Episode k of every arm starts from seed k and draws its policy's noise from it, so that arms are
paired; intervals are Wilson's, p McNemar's against the first arm.
"""

import argparse
import csv
from pathlib import Path
from time import process_time

import gymnasium as gym
import numpy as np
import torch

STEPS, FIRST = 200, 10_000
"""Steps of an episode; played episodes have seeds from FIRST on, those of the data from 0."""
ARMS = {
    "none": dict(guide="none"),
    "placebo": dict(guide="placebo", strength=1.0),
    "best-of-4": dict(guide="none", best_of=4),
    "ood": dict(guide="ood", strength=1.0),
    "jacobian": dict(guide="jacobian", strength=1.0),
    "qgf": dict(guide="qgf", strength=1.0),
}


def environment(task: str):
    import metaworld  # noqa: F401  registers its environments

    return gym.make("Meta-World/MT1", env_name=task, seed=0)


def collect(task: str, episodes: int, out: Path, noise: float) -> None:
    """Rollouts of the task's scripted expert as a LeRobotDataset; prints how many succeed."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from metaworld.policies import ENV_POLICY_MAP

    env, expert, rng, won = environment(task), ENV_POLICY_MAP[task](), np.random.default_rng(0), 0
    vector = lambda n: dict(dtype="float32", shape=(n,), names=None)
    features = {"observation.state": vector(39), "action": vector(4)}
    features |= {"next.success": dict(dtype="bool", shape=(1,), names=None)}
    data = LeRobotDataset.create(f"local/{out.name}", fps=80, features=features, root=out, use_videos=False)
    for episode in range(episodes):
        (obs, _), level, success = env.reset(seed=episode), noise * rng.uniform(), False
        for _ in range(STEPS):
            action = np.clip(expert.get_action(obs) + level * rng.normal(size=4), -1, 1).astype(np.float32)
            seen = obs.astype(np.float32)
            obs, _, _, _, info = env.step(action)
            success = bool(info["success"])
            frame = {"observation.state": seen, "action": action, "next.success": np.array([success]), "task": task}
            data.add_frame(frame)
            if success:
                break
        won += success
        data.save_episode()
    data.finalize()
    print(f"{out}: {won} of {episodes} episodes succeed")


def play(task: str, base: str, run: str, episodes: int, out: Path, arms: list[str]) -> None:
    """The arms on the same episodes; a table, and a row for every episode in `out`."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    from qgf.lerobot import guide, unguide
    from qgf.statistics import mcnemar, wilson

    config = PreTrainedConfig.from_pretrained(base)
    config.pretrained_path = base
    policy = get_policy_class(config.type).from_pretrained(base, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=base)
    env, rows, success = environment(task), [], {}
    for arm in arms:
        guide(policy, run, **ARMS[arm])
        for k in range(episodes):
            (obs, _), steps, seconds = env.reset(seed=FIRST + k), 0, 0.0
            policy.reset()
            torch.manual_seed(FIRST + k)
            for steps in range(1, STEPS + 1):  # noqa: B007
                seen = before({"observation.state": torch.as_tensor(obs, dtype=torch.float32), "task": task})
                start = process_time()
                action = after(policy.select_action(seen))[0].numpy()
                seconds += process_time() - start
                obs, _, _, _, info = env.step(np.clip(action, -1, 1))
                if info["success"]:
                    break
            rows.append(dict(arm=arm, episode=k, success=int(info["success"]), steps=steps, cpu_s=round(seconds, 3)))
        unguide(policy)
        mine = [row for row in rows if row["arm"] == arm]
        success[arm] = np.array([row["success"] for row in mine])
        low, high = wilson(int(success[arm].sum()), episodes)
        chunks = sum(-(-row["steps"] // config.n_action_steps) for row in mine)
        cost = 1000 * sum(row["cpu_s"] for row in mine) / chunks
        p = "" if arm == arms[0] else f", p = {mcnemar(success[arm], success[arms[0]]):.2g}"
        rate = f"{100 * success[arm].mean():3.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        print(f"{arm:10s} {rate}, {cost:.0f} CPU ms a chunk{p}", flush=True)
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["collect", "play"])
    parser.add_argument("task")
    parser.add_argument("policy", nargs="*", help="to play: the policy's folder and the run of its critic")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--noise", type=float, default=1.0, help="most of the expert's noise")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    asked = parser.parse_args()
    if asked.what == "collect":
        collect(asked.task, asked.episodes, asked.out, asked.noise)
    else:
        play(asked.task, *asked.policy, asked.episodes, asked.out, asked.arms)


if __name__ == "__main__":
    main()
