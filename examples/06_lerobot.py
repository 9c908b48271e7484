"""A policy that lerobot-train made, guided by a critic that qgf train made of the same data.

    python 06_lerobot.py POLICY RUN DATASET

POLICY is a checkpoint's folder pretrained_model, RUN one of `qgf train DATASET --horizon N` with N the policy's
n_action_steps, DATASET a LeRobotDataset. Needs `pip install 'qgf[lerobot]'` and what the policy itself needs.
"""

import sys

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from torch.utils.data import DataLoader, Subset

from qgf.lerobot import calibrate, guide

base, run, root = sys.argv[1:]
config = PreTrainedConfig.from_pretrained(base)
config.pretrained_path = base
policy = get_policy_class(config.type).from_pretrained(base, config=config)
before, after = make_pre_post_processors(config, pretrained_path=base)

# Thirty-two states of the data, as the policy is asked about them.
dataset = LeRobotDataset("local/data", root=root)
frames = torch.linspace(0, len(dataset) - 1, 32).long().tolist()
seen = [{k: x for k, x in batch.items() if k != "action"} for batch in DataLoader(Subset(dataset, frames), 16)]
batches = [before(batch) for batch in seen]

guide(policy, run, strength=1.0)
print("one standard deviation:", calibrate(policy, batches, chunks=8))  # kept beside the policy: once is enough

for strength in (0.0, 0.25, 1.0, 4.0):
    guide(policy, run, strength=strength, guide="qgf")
    values = []
    for batch in batches:
        torch.manual_seed(0)
        policy.reset()
        action = after(policy.select_action(dict(batch)))  # [16, A], in the robot's units
        values.append(policy.guidance.q(rows=slice(None))(policy.guidance.chunk).mean())
    rows = policy.guidance_log
    ratio = sum(row["ratio"] for row in rows) / max(len(rows), 1)
    print(f"strength {strength:4}: Q {float(torch.stack(values).mean()):8.3f}, |w g| / |v| {ratio:.3f}")
