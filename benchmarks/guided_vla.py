"""What guidance costs on an expert of a VLA's size: CPU seconds a chunk of LeRobot's SmolVLA, of random weights.

    .venv-lerobot/bin/python benchmarks/guided_vla.py [--quick]

The language model and the action expert have SmolVLA's own sizes (16 layers, 960 and 720 wide), ten steps, chunks of 50
actions, one observation; two small pictures stand for the cameras. The critic is a run's default, two networks of three
layers of 256, that sees a state and all 50 actions. Ways take turns; medians. bptt takes minutes.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/lerobot"))
from tiny import ACTION, STATE, batch, smolvla

from qgf.lerobot import guide, unguide
from qgf.torch.networks import MLP, CriticEnsemble, Pessimistic

CHUNK = 50
SIZES = dict(hidden_size=960, intermediate_size=2560, num_hidden_layers=16, num_attention_heads=15)
SIZES |= dict(num_key_value_heads=5, head_dim=64)
TURNS = dict(none=5, ood=5, qgf=5, jacobian=3, chain=1, bptt=1)


def main(quick: bool) -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        sizes = dict(chunk_size=CHUNK, n_action_steps=CHUNK, num_steps=10)
        policy = smolvla(Path(folder), SIZES, **sizes)
    critic = Pessimistic(CriticEnsemble(MLP(STATE + CHUNK * ACTION, 1, 256, 3) for _ in range(2)))
    for x in critic.parameters():
        torch.nn.init.normal_(x, std=0.05)
    value = lambda seen, a: critic(seen["observation.state"], a.flatten(1))
    seen = batch(policy, 1)
    expert = sum(x.numel() for x in policy.model.vlm_with_expert.lm_expert.parameters())
    told = sum(x.numel() for x in critic.parameters())
    print(f"expert {expert / 1e6:.0f} M parameters, critic {told / 1e6:.2f} M, {torch.get_num_threads()} threads")
    seconds: dict[str, list[float]] = {name: [] for name in TURNS if not (quick and TURNS[name] == 1)}
    for turn in range(max(TURNS.values())):
        for name in seconds:
            if turn < TURNS[name]:
                unguide(policy) if name == "none" else guide(policy, value, weight=0.01, guide=name)
                if turn == 0 and name == "none":
                    policy.predict_action_chunk(dict(seen))  # once for what is only there after the first
                start = process_time()
                policy.predict_action_chunk(dict(seen))
                seconds[name].append(process_time() - start)
    plain = median(seconds["none"])
    for name, every in seconds.items():
        print(f"{name:10s} {median(every):8.2f} CPU s a chunk, {median(every) / plain:6.2f} x unguided")


if __name__ == "__main__":
    main("--quick" in sys.argv)
