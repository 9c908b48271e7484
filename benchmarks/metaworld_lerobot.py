"""A LeRobot policy on Meta-World, guided: data by scripted experts, and arms of the same episodes.

    make test-lerobot && python=.venv-lerobot/bin/python
    $python benchmarks/metaworld_lerobot.py collect door-open-v3 --episodes 200 --noise 5 --out runs/door-open
    $python benchmarks/metaworld_lerobot.py clip --out runs/clip
    .venv-lerobot/bin/lerobot-train --dataset.root=runs/door-open ...  (all of it: docs/lerobot.md)
    qgf train runs/door-open --horizon 8 --critic mc --held-out 0.2 ... --out runs/door-open-critic
    $python benchmarks/metaworld_lerobot.py play door-open-v3 POLICY runs/door-open-critic --out runs/door-open.csv

Experts are noisy, each episode by its own amount, so that a critic sees good and bad. An episode ends at its success,
or after 200 steps. `clip` writes a text encoder of random weights, which tells tasks apart and needs no download.

`play` starts every arm from the same places, of which none is in the data, some episodes side by side; chunks are drawn
with the same noise in every arm. Intervals are Wilson's, p McNemar's against the first arm; CPU time is of one chunk
for one robot, the median of several.
"""

import argparse
import csv
from pathlib import Path
from statistics import median
from time import process_time

import gymnasium as gym
import numpy as np
import torch

STEPS, FIRST, SIDE = 200, 10_000, 25
"""Steps of an episode; played episodes have seeds from FIRST on, those of the data from 0; so many are side by side."""
ARMS = {
    "none": dict(guide="none"),
    "placebo": dict(guide="placebo", strength=1.0),
    "best-of-4": dict(guide="none", best_of=4),
    "ood": dict(guide="ood", strength=1.0),
    "jacobian": dict(guide="jacobian", strength=1.0),
    "qgf": dict(guide="qgf", strength=1.0),
}


def environment(task: str, seed: int = 0):
    import metaworld  # noqa: F401  registers its environments

    return gym.make("Meta-World/MT1", env_name=task, seed=seed)


def places(task: str, episodes: int) -> list:
    """Where objects are at the start of every episode: Meta-World draws 50 when an environment is made."""
    found: list = []
    while len(found) < episodes:
        found += environment(task, FIRST + len(found)).get_wrapper_attr("tasks")
    return found[:episodes]


def clip(out: Path) -> None:
    """A small CLIP of random weights, whose words are characters: multi-task DiT reads its task through one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = {word: k for k, word in enumerate(["<pad>", "<unk>", "<eos>", *map(chr, range(32, 127)), "\n"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = dict(pad_token="<pad>", unk_token="<unk>", eos_token="<eos>", model_max_length=77)
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(out)
    size = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    text = size | dict(vocab_size=len(words), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    vision = size | dict(image_size=64, patch_size=16)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(out)


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


class Arms:
    """A policy and a task, played by one arm after another."""

    def __init__(self, task: str, base: str, run: str, episodes: int):
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        config = PreTrainedConfig.from_pretrained(base)
        config.pretrained_path = base
        self.policy = get_policy_class(config.type).from_pretrained(base, config=config)
        self.before, self.after = make_pre_post_processors(config, pretrained_path=base)
        self.task, self.run, self.places = task, run, places(task, episodes)
        self.envs = [environment(task) for _ in range(min(SIDE, episodes))]
        for env in self.envs:
            env.get_wrapper_attr("toggle_sample_tasks_on_reset")(False)

    def start(self, env, k: int) -> np.ndarray:
        env.unwrapped.set_task(self.places[k])
        return env.reset(seed=FIRST + k)[0]

    def seen(self, obs: np.ndarray) -> dict:
        states = torch.as_tensor(obs, dtype=torch.float32)
        return self.before({"observation.state": states, "task": [self.task] * len(obs)})

    def some(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Episodes `first` and on, one in each environment: which succeed, and after how many steps."""
        envs = self.envs[: len(self.places) - first]
        states = np.stack([self.start(env, k) for k, env in enumerate(envs, first)])
        playing, steps = np.ones(len(envs), bool), np.full(len(envs), STEPS)
        self.policy.reset()
        torch.manual_seed(FIRST + first)
        for step in range(STEPS):
            actions = self.after(self.policy.select_action(self.seen(states))).numpy()
            for i in np.flatnonzero(playing):
                states[i], _, _, _, info = envs[i].step(np.clip(actions[i], -1, 1))
                if info["success"]:
                    playing[i], steps[i] = False, step + 1
            if not playing.any():
                break
        return ~playing, steps

    def cost(self, chunks: int = 15) -> float:
        """CPU seconds of one chunk for one robot, the median of several."""
        seen, times = self.seen(self.start(self.envs[0], 0)[None]), []
        for _ in range(chunks):
            self.policy.reset()
            start = process_time()
            self.policy.select_action(dict(seen))
            times.append(process_time() - start)
        return median(times)

    def played(self, arm: str) -> tuple[list[dict], float]:
        """A row for every episode, and the cost."""
        from qgf.lerobot import guide, unguide

        guide(self.policy, self.run, **ARMS[arm])
        won, steps = map(np.concatenate, zip(*map(self.some, range(0, len(self.places), SIDE)), strict=True))
        cost = self.cost()
        unguide(self.policy)
        both = enumerate(zip(won, steps, strict=True))
        return [dict(arm=arm, episode=k, success=int(s), steps=int(n)) for k, (s, n) in both], cost


def play(task: str, base: str, run: str, episodes: int, out: Path, arms: list[str]) -> None:
    """The arms on the same episodes; a table, and a row for every episode in `out`."""
    from qgf.statistics import mcnemar, wilson

    playing, rows, success = Arms(task, base, run, episodes), [], {}
    for arm in arms:
        mine, cost = playing.played(arm)
        rows += mine
        success[arm] = np.array([row["success"] for row in mine])
        low, high = wilson(int(success[arm].sum()), episodes)
        p = "" if arm == arms[0] else f", p = {mcnemar(success[arm], success[arms[0]]):.2g}"
        rate = f"{100 * success[arm].mean():3.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        print(f"{arm:10s} {rate}, {1000 * cost:.0f} CPU ms a chunk{p}", flush=True)
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["collect", "clip", "play"])
    parser.add_argument("task", nargs="?")
    parser.add_argument("policy", nargs="*", help="to play: the policy's folder and the run of its critic")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--noise", type=float, default=1.0, help="most of the expert's noise")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    asked = parser.parse_args()
    if asked.what == "clip":
        return clip(asked.out)
    if asked.what == "collect":
        collect(asked.task, asked.episodes, asked.out, asked.noise)
    else:
        play(asked.task, *asked.policy, asked.episodes, asked.out, asked.arms)


if __name__ == "__main__":
    main()
